package awsapi

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// chunkReader decodes an aws-chunked body: chunks of "SIZE;chunk-signature=…",
// a last one of size 0, and trailers. Where chunks are signed, each signature
// covers the chunk and the signature before it; a chunk that does not match is
// an error before the body's end.
type chunkReader struct {
	r         *bufio.Reader
	decoded   int64    // length that the client announced
	announced []string // trailers to come, lower case
	trailers  map[string]string

	signed       bool
	key          []byte
	stamp, scope string
	previous     string // signature
	current      string
	hash         hash.Hash

	left int64 // of the current chunk
	err  error
}

// maxChunkLine bounds a chunk's head or a trailer.
const maxChunkLine = 4 << 10

// newChunkReader returns nil if the payload is not chunked.
func newChunkReader(r *http.Request, payload string, s *signature, key []byte) (*chunkReader, *Error) {
	c := &chunkReader{trailers: map[string]string{}, hash: sha256.New()}
	switch payload {
	case streamingSigned:
		c.signed = true
	case streamingSignedTrailer:
		c.signed = true
		c.announced = announcedTrailers(r.Header)
	case streamingUnsignedTrailer:
		c.announced = announcedTrailers(r.Header)
	default:
		return nil, nil
	}
	n, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return nil, Errorf("MissingContentLength", "You must provide the Content-Length HTTP header.").WithStatus(http.StatusLengthRequired)
	}
	c.decoded = n
	c.r = bufio.NewReaderSize(r.Body, 64<<10)
	c.key, c.stamp, c.scope, c.previous = key, s.stamp, s.scopeText(), s.signature
	c.left = -1
	return c, nil
}

func announcedTrailers(h http.Header) []string {
	var names []string
	for _, v := range h.Values("X-Amz-Trailer") {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

func malformedChunk() *Error {
	return Errorf("InvalidRequest", "The aws-chunked body is not well-formed").WithStatus(http.StatusBadRequest)
}

func (c *chunkReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.left <= 0 {
		if c.err = c.next(); c.err != nil {
			return 0, c.err
		}
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	if c.signed {
		c.hash.Write(p[:n])
	}
	switch {
	case errors.Is(err, io.EOF):
		c.err = incompleteBody()
	case err != nil:
		c.err = err
	case c.left == 0:
		c.err = c.endChunk()
	}
	return n, c.err
}

// next reads the head of a chunk; after the last one, everything to the end.
func (c *chunkReader) next() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	size, extension, _ := strings.Cut(line, ";")
	n, perr := strconv.ParseInt(size, 16, 64)
	if perr != nil || n < 0 || size[0] == '+' || size[0] == '-' {
		return malformedChunk()
	}
	if c.signed {
		sig, ok := strings.CutPrefix(extension, "chunk-signature=")
		if !ok {
			return malformedChunk()
		}
		c.current = sig
	}
	c.left = n
	c.hash.Reset()
	if n > 0 {
		return nil
	}
	return c.last()
}

// line reads up to CR LF, which it leaves out.
func (c *chunkReader) line() (string, error) {
	b, err := c.r.ReadSlice('\n')
	switch {
	case err == io.EOF:
		return "", incompleteBody()
	case errors.Is(err, bufio.ErrBufferFull) || len(b) > maxChunkLine:
		return "", malformedChunk()
	case err != nil:
		return "", err
	case len(b) < 2 || b[len(b)-2] != '\r':
		return "", malformedChunk()
	}
	return string(b[:len(b)-2]), nil
}

// endChunk checks a chunk's signature and skips the line end behind it.
func (c *chunkReader) endChunk() error {
	if err := c.verify(); err != nil {
		return err
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	if line != "" {
		return malformedChunk()
	}
	return nil
}

func (c *chunkReader) verify() error {
	if !c.signed {
		return nil
	}
	toSign := "AWS4-HMAC-SHA256-PAYLOAD\n" + c.stamp + "\n" + c.scope + "\n" + c.previous + "\n" +
		emptyHash + "\n" + hex.EncodeToString(c.hash.Sum(nil))
	want := hex.EncodeToString(hmacSHA256(c.key, toSign))
	if !hmac.Equal([]byte(want), []byte(c.current)) {
		return chunkMismatch()
	}
	c.previous = c.current
	return nil
}

func chunkMismatch() *Error {
	return Errorf("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.")
}

// last reads what follows the chunk of size 0: trailers, up to an empty line.
// Some clients end the body without that line.
func (c *chunkReader) last() error {
	if err := c.verify(); err != nil {
		return err
	}
	var covered strings.Builder
	signature := ""
	for {
		line, err := c.line()
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != "IncompleteBody" || c.r.Buffered() > 0 {
				return err
			}
			break
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || len(c.trailers) > 16 {
			return malformedChunk()
		}
		if name == "x-amz-trailer-signature" {
			signature = value
			continue
		}
		c.trailers[name] = value
		covered.WriteString(name + ":" + value + "\n")
	}
	if c.signed && len(c.announced) > 0 {
		return c.verifyTrailer(covered.String(), signature)
	}
	return io.EOF
}

func (c *chunkReader) verifyTrailer(covered, signature string) error {
	sum := sha256.Sum256([]byte(covered))
	toSign := "AWS4-HMAC-SHA256-TRAILER\n" + c.stamp + "\n" + c.scope + "\n" + c.previous + "\n" + hex.EncodeToString(sum[:])
	want := hex.EncodeToString(hmacSHA256(c.key, toSign))
	if !hmac.Equal([]byte(want), []byte(signature)) {
		return chunkMismatch()
	}
	return io.EOF
}
