package awsapi

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"strings"
	"sync"
)

// checksums are the algorithms of x-amz-checksum headers. Those that the
// service has beyond these answer NotImplemented.
var checksums = map[string]func() hash.Hash{
	"crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"crc32c":    func() hash.Hash { return crc32.New(castagnoli) },
	"crc64nvme": func() hash.Hash { return crc64.New(nvme) },
	"sha1":      sha1.New,
	"sha256":    sha256.New,
	"sha512":    sha512.New,
	"md5":       md5.New,
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5)
)

const checksumPrefix = "x-amz-checksum-"

// NewChecksum returns the hash behind an x-amz-checksum header; the algorithm
// is its lower case name. The header's value is the base64 of the sum.
func NewChecksum(algorithm string) (hash.Hash, bool) {
	f, ok := checksums[algorithm]
	if !ok {
		return nil, false
	}
	return f(), true
}

// bodyCheck hands on a request's body and holds it against everything that the
// client declared of it. What does not fit is an error in place of io.EOF: a
// handler that stores only what ends in io.EOF never stores a damaged body.
type bodyCheck struct {
	src    io.Reader
	want   int64 // bytes, -1 if unknown
	got    int64
	checks []*check
	chunks *chunkReader // nil unless aws-chunked
	err    error

	digested bool // a digest was declared beside the signed hash

	mu   sync.Mutex // guards sums: a handler may ask from another goroutine
	sums map[string]string
}

// check is one digest of the body.
type check struct {
	hash    hash.Hash
	want    []byte
	trailer string // the header that will bring want, at the end
	name    string // of an x-amz-checksum algorithm
	wrong   func() *Error
}

// newBodyCheck reads from the headers what to hold the body against. payload
// is the signed X-Amz-Content-Sha256, "" if there is none.
func newBodyCheck(r *http.Request, op *operation, payload string, chunks *chunkReader) (*bodyCheck, *Error) {
	b := &bodyCheck{src: r.Body, want: r.ContentLength, chunks: chunks, sums: map[string]string{}}
	if chunks != nil {
		b.src, b.want = chunks, chunks.decoded
	}
	if len(payload) == 2*sha256.Size {
		want, err := hex.DecodeString(payload)
		if err != nil {
			return nil, badPayloadHash()
		}
		b.checks = append(b.checks, &check{hash: sha256.New(), want: want, wrong: func() *Error {
			return Errorf("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.").WithStatus(400)
		}})
	}
	if err := b.addMD5(r.Header.Get("Content-Md5")); err != nil {
		return nil, err
	}
	if op != nil && op.Checksummed {
		if err := b.addChecksums(r.Header); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func badPayloadHash() *Error {
	return Errorf("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.").
		WithStatus(400).With("ArgumentName", "x-amz-content-sha256")
}

func (b *bodyCheck) addMD5(header string) *Error {
	if header == "" {
		return nil
	}
	want, err := base64.StdEncoding.DecodeString(header)
	if err != nil || len(want) != md5.Size {
		return Errorf("InvalidDigest", "The Content-MD5 you specified was invalid.").WithStatus(400)
	}
	b.digested = true
	b.checks = append(b.checks, &check{hash: md5.New(), want: want, wrong: func() *Error {
		return Errorf("BadDigest", "The Content-MD5 you specified did not match what we received.").WithStatus(400)
	}})
	return nil
}

func (b *bodyCheck) addChecksums(h http.Header) *Error {
	found := 0
	for name, values := range h {
		algorithm, ok := strings.CutPrefix(strings.ToLower(name), checksumPrefix)
		if !ok || algorithm == "algorithm" || algorithm == "type" || algorithm == "mode" {
			continue
		}
		c, err := newCheck(algorithm)
		if err != nil {
			return err
		}
		want, derr := base64.StdEncoding.DecodeString(values[0])
		if derr != nil || len(want) != c.hash.Size() {
			return Errorf("InvalidRequest", "Value for %s header is invalid.", strings.ToLower(name)).WithStatus(400)
		}
		c.want = want
		b.sums[algorithm] = values[0]
		b.checks = append(b.checks, c)
		found++
	}
	if b.chunks != nil {
		for _, name := range b.chunks.announced {
			algorithm, ok := strings.CutPrefix(name, checksumPrefix)
			if !ok {
				return Errorf("InvalidRequest", "The value specified in the x-amz-trailer header is not supported").WithStatus(400)
			}
			c, err := newCheck(algorithm)
			if err != nil {
				return err
			}
			c.trailer = name
			b.checks = append(b.checks, c)
			found++
		}
	}
	b.digested = b.digested || found > 0
	if found > 1 {
		return Errorf("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.").WithStatus(400)
	}
	return nil
}

func newCheck(algorithm string) (*check, *Error) {
	h, ok := NewChecksum(algorithm)
	if !ok {
		return nil, Errorf("NotImplemented", "The checksum algorithm %s is not supported yet", clip(algorithm)).WithStatus(501)
	}
	return &check{hash: h, name: algorithm, wrong: func() *Error {
		return Errorf("BadDigest", "The %s you specified did not match the calculated checksum.", strings.ToUpper(algorithm)).WithStatus(400)
	}}, nil
}

func (b *bodyCheck) declared() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]string, len(b.sums))
	for k, v := range b.sums {
		out[k] = v
	}
	return out
}

func (b *bodyCheck) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.src.Read(p)
	b.got += int64(n)
	for _, c := range b.checks {
		c.hash.Write(p[:n])
	}
	switch {
	case b.want >= 0 && b.got > b.want:
		b.err = incompleteBody()
	case err == io.EOF:
		b.err = b.finish()
	case err != nil:
		b.err = readError(err)
	}
	return n, b.err
}

// readError names what a broken connection means to the client, if it still
// hears it.
func readError(err error) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, io.ErrUnexpectedEOF):
		return incompleteBody()
	}
	return Errorf("RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period. (%w)", err).WithStatus(400)
}

func incompleteBody() *Error {
	return Errorf("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header").WithStatus(400)
}

// finish is called at the body's end and decides how it ended.
func (b *bodyCheck) finish() error {
	if b.want >= 0 && b.got != b.want {
		return incompleteBody()
	}
	for _, c := range b.checks {
		if c.trailer != "" {
			text := b.chunks.trailers[c.trailer]
			want, err := base64.StdEncoding.DecodeString(text)
			if err != nil || len(want) != c.hash.Size() {
				return Errorf("MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema.").WithStatus(400)
			}
			c.want = want
			b.mu.Lock()
			b.sums[c.name] = text
			b.mu.Unlock()
		}
		if !bytes.Equal(c.hash.Sum(nil), c.want) {
			return c.wrong()
		}
	}
	return io.EOF
}
