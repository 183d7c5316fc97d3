package awsapi

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

func hexSHA256(t testing.TB, hexBody string) string {
	t.Helper()
	b, err := hex.DecodeString(hexBody)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := NewChecksum("sha256")
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

func checksum(algorithm string, b []byte) string {
	h, _ := NewChecksum(algorithm)
	h.Write(b)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// The example of the S3 guide, "Signature Calculations for the Authorization
// Header: Transferring Payload in Multiple Chunks": 66,560 times the letter a.
func signedExample() (body []byte, s *signature, key []byte) {
	body = fmt.Appendf(nil, "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n%s\r\n"+
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n%s\r\n"+
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
		strings.Repeat("a", 65536), strings.Repeat("a", 1024))
	s = &signature{
		version: 4, stamp: "20130524T000000Z", day: "20130524", region: "us-east-1", service: "s3",
		signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
	}
	return body, s, deriveKey(keyID{exampleSecret, s.day, s.region, s.service})
}

func readChunked(payload string, body []byte, length int, trailer string, s *signature, key []byte) ([]byte, error) {
	r := httptest.NewRequest("PUT", "/b/k", bytes.NewReader(body))
	r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(length))
	if trailer != "" {
		r.Header.Set("X-Amz-Trailer", trailer)
	}
	chunks, e := newChunkReader(r, payload, s, key)
	if e != nil {
		return nil, e
	}
	b, e := newBodyCheck(r, &operation{OperationModel: &OperationModel{Checksummed: true}}, payload, chunks)
	if e != nil {
		return nil, e
	}
	return io.ReadAll(iotest.OneByteReader(b))
}

func TestSignedChunks(t *testing.T) {
	body, s, key := signedExample()
	got, err := readChunked(streamingSigned, body, 66560, "", s, key)
	if err != nil || len(got) != 66560 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for _, at := range []int{20, 200, 65700, len(body) - 10} {
		broken := bytes.Clone(body)
		broken[at] ^= 1
		if _, err := readChunked(streamingSigned, broken, 66560, "", s, key); err == nil {
			t.Errorf("byte %d was changed and nobody noticed", at)
		}
	}
	for _, cut := range []int{0, 10, 90, 66000, len(body) - 2, len(body) - 50} {
		_, err := readChunked(streamingSigned, body[:cut], 66560, "", s, key)
		if cut == len(body)-2 {
			if err != nil {
				t.Errorf("without the last line end: %v", err)
			}
			continue
		}
		if e, ok := err.(*Error); !ok || e.Code != "IncompleteBody" {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestSignedTrailer(t *testing.T) {
	_, s, key := signedExample()
	data := "hello"
	sign := func(previous, kind string, hashes ...string) string {
		return hex.EncodeToString(hmacSHA256(key, "AWS4-HMAC-SHA256-"+kind+"\n"+s.stamp+"\n"+s.scopeText()+"\n"+previous+"\n"+strings.Join(hashes, "\n")))
	}
	first := sign(s.signature, "PAYLOAD", emptyHash, hexSHA256(t, hex.EncodeToString([]byte(data))))
	last := sign(first, "PAYLOAD", emptyHash, emptyHash)
	line := "x-amz-checksum-crc32c:" + checksum("crc32c", []byte(data))
	end := sign(last, "TRAILER", hexSHA256(t, hex.EncodeToString([]byte(line+"\n"))))
	body := "5;chunk-signature=" + first + "\r\n" + data + "\r\n0;chunk-signature=" + last + "\r\n" + line + "\r\nx-amz-trailer-signature:%s\r\n\r\n"
	got, err := readChunked(streamingSignedTrailer, fmt.Appendf(nil, body, end), 5, "x-amz-checksum-crc32c", s, key)
	if err != nil || string(got) != data {
		t.Fatalf("%q, %v", got, err)
	}
	_, err = readChunked(streamingSignedTrailer, fmt.Appendf(nil, body, first), 5, "x-amz-checksum-crc32c", s, key)
	if e, ok := err.(*Error); !ok || e.Code != "SignatureDoesNotMatch" {
		t.Errorf("wrong trailer signature: %v", err)
	}
}

func TestUnsignedTrailers(t *testing.T) {
	s := &signature{}
	data := []byte("hello, world")
	for algorithm := range checksums {
		name := "x-amz-checksum-" + algorithm
		body := fmt.Appendf(nil, "5\r\nhello\r\n7\r\n, world\r\n0\r\n%s:%s\r\n\r\n", name, checksum(algorithm, data))
		got, err := readChunked(streamingUnsignedTrailer, body, len(data), name, s, nil)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %q, %v", algorithm, got, err)
		}
	}
	tests := []struct{ what, body, trailer, code string }{
		{"wrong checksum", "c\r\nhello, world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "x-amz-checksum-crc32", "BadDigest"},
		{"no checksum", "c\r\nhello, world\r\n0\r\n\r\n", "x-amz-checksum-crc32", "MalformedTrailerError"},
		{"checksum of wrong length", "c\r\nhello, world\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n", "x-amz-checksum-crc32", "MalformedTrailerError"},
		{"unknown algorithm", "0\r\n\r\n", "x-amz-checksum-xxhash3", "NotImplemented"},
		{"unknown trailer", "0\r\n\r\n", "x-foo", "InvalidRequest"},
		{"two checksums", "0\r\n\r\n", "x-amz-checksum-crc32,x-amz-checksum-sha1", "InvalidRequest"},
		{"too short", "5\r\nhello\r\n0\r\n\r\n", "", "IncompleteBody"},
		{"too long", "d\r\nhello, world!\r\n0\r\n\r\n", "", "IncompleteBody"},
		{"not hexadecimal", "zz\r\nhello\r\n", "", "InvalidRequest"},
		{"negative", "-5\r\nhello\r\n", "", "InvalidRequest"},
		{"no carriage return", "5\nhello\n0\n\n", "", "InvalidRequest"},
		{"no line end after chunk", "5\r\nhelloX\r\n0\r\n\r\n", "", "InvalidRequest"},
		{"endless head", strings.Repeat("1", 100000), "", "InvalidRequest"},
		{"nothing", "", "", "IncompleteBody"},
	}
	for _, test := range tests {
		_, err := readChunked(streamingUnsignedTrailer, []byte(test.body), len(data), test.trailer, s, nil)
		if e, ok := err.(*Error); !ok || e.Code != test.code {
			t.Errorf("%s: %v, want %s", test.what, err, test.code)
		}
	}
}

func TestPlainBodiesAreChecked(t *testing.T) {
	data := []byte("hello")
	sum := md5.Sum(data)
	tests := []struct {
		what    string
		payload string
		header  map[string]string
		length  int64
		code    string
	}{
		{"nothing declared", unsignedPayload, nil, 5, ""},
		{"hash", hexSHA256(t, hex.EncodeToString(data)), nil, 5, ""},
		{"wrong hash", emptyHash, nil, 5, "XAmzContentSHA256Mismatch"},
		{"MD5", "", map[string]string{"Content-MD5": base64.StdEncoding.EncodeToString(sum[:])}, 5, ""},
		{"wrong MD5", "", map[string]string{"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, 5, "BadDigest"},
		{"checksum", "", map[string]string{"x-amz-checksum-crc64nvme": checksum("crc64nvme", data)}, 5, ""},
		{"wrong checksum", "", map[string]string{"x-amz-checksum-sha1": checksum("sha1", nil)}, 5, "BadDigest"},
		{"algorithm only", "", map[string]string{"x-amz-checksum-algorithm": "CRC32"}, 5, ""},
		{"short", "", nil, 6, "IncompleteBody"},
	}
	for _, test := range tests {
		r := httptest.NewRequest("PUT", "/b/k", nil)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), test.length
		for k, v := range test.header {
			r.Header.Set(k, v)
		}
		b, e := newBodyCheck(r, &operation{OperationModel: &OperationModel{Checksummed: true}}, test.payload, nil)
		if e != nil {
			t.Fatalf("%s: %v", test.what, e)
		}
		_, err := io.ReadAll(b)
		code := ""
		if e, ok := err.(*Error); ok {
			code = e.Code
		}
		if code != test.code {
			t.Errorf("%s: %v, want %q", test.what, err, test.code)
		}
	}
}

// Known sums of "123456789", from the catalogue of CRC parameters.
func TestChecksumAlgorithms(t *testing.T) {
	for algorithm, want := range map[string]string{
		"crc32": "cbf43926", "crc32c": "e3069283", "crc64nvme": "ae8b14860a799888",
	} {
		h, _ := NewChecksum(algorithm)
		h.Write([]byte("123456789"))
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s is %s, want %s", algorithm, got, want)
		}
	}
}

func TestUnchunkedHeaders(t *testing.T) {
	for sent, want := range map[string]string{"aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip, aws-chunked": "gzip", "br": "br"} {
		r := &http.Request{Header: http.Header{"Content-Encoding": {sent}, "X-Amz-Decoded-Content-Length": {"5"}}}
		unchunkHeaders(r)
		if got := r.Header.Get("Content-Encoding"); got != want || r.Header.Get("Content-Length") != "5" {
			t.Errorf("%q became %q", sent, got)
		}
	}
}

func FuzzChunkReader(f *testing.F) {
	body, s, key := signedExample()
	f.Add(body[:300], true)
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, body []byte, signed bool) {
		payload, trailer := streamingUnsignedTrailer, "x-amz-checksum-crc32"
		if signed {
			payload, trailer = streamingSigned, ""
		}
		got, err := readChunked(payload, body, 5, trailer, s, key)
		if err == nil && (len(got) != 5 || signed) {
			t.Errorf("%d bytes were accepted", len(got))
		}
	})
}
