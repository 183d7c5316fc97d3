package s3

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
)

// Types of checksums.
const (
	fullObject = "FULL_OBJECT"
	composite  = "COMPOSITE"
)

// maxPutBytes is how much one PutObject or UploadPart may carry: 5 GiB.
const maxPutBytes = 5 << 30

// algorithms are the supported checksums. S3 also knows three of the xxHash
// family, which are refused.
var algorithms = [...]blob.Algorithm{
	blob.CRC32, blob.CRC32C, blob.CRC64NVME, blob.SHA1, blob.SHA256, blob.SHA512, blob.MD5,
}

// The generated types have one member per checksum algorithm, with the same
// names everywhere: ChecksumCRC32, ChecksumSHA256 and so on. The three functions
// below are the only place that goes over them.

// claims returns the checksums that members of in carry, in base64.
func claims(in any) (map[blob.Algorithm]string, error) {
	found := map[blob.Algorithm]string{}
	v := reflect.ValueOf(in).Elem()
	for _, a := range algorithms {
		if sum := v.FieldByName("Checksum" + string(a)).Interface().(*string); sum != nil {
			found[a] = *sum
		}
	}
	for _, a := range []string{"XXHASH64", "XXHASH3", "XXHASH128"} {
		if !v.FieldByName("Checksum" + a).IsNil() {
			return nil, notImplemented("checksum algorithm " + a)
		}
	}
	return found, nil
}

// setSum puts a checksum into its member of out; an empty algorithm sets none.
func setSum(out any, a blob.Algorithm, sum string) {
	if a != "" {
		reflect.ValueOf(out).Elem().FieldByName("Checksum" + string(a)).Set(reflect.ValueOf(&sum))
	}
}

// supported turns a member's name of an algorithm into it; nil into "".
func supported(name *string) (blob.Algorithm, error) {
	if name == nil {
		return "", nil
	}
	a := blob.Algorithm(strings.ToUpper(*name))
	if a.New() == nil {
		return "", notImplemented("checksum algorithm " + *name)
	}
	return a, nil
}

// incoming is a request's body with what its client says about it.
type incoming struct {
	body   io.Reader
	length *int64
	md5    *string // Content-MD5, base64

	// algorithm is that of the checksum which the client sends, or asks for,
	// or "". sum is its value in base64 if it is a member of the input; it
	// may also follow the body as a trailer.
	algorithm blob.Algorithm
	sum       string
}

// newIncoming reads the checksum members of an input.
func newIncoming(ctx context.Context, in any, body io.Reader, length *int64, md5, algorithm *string) (*incoming, error) {
	sums, err := claims(in)
	if err != nil {
		return nil, err
	}
	if len(sums) > 1 {
		return nil, invalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	inc := &incoming{body: body, length: length, md5: md5}
	if value(inc.length) > maxPutBytes {
		return nil, entityTooLarge()
	}
	if inc.body == nil {
		inc.body = http.NoBody
	}
	for a, sum := range sums {
		inc.algorithm, inc.sum = a, sum
	}
	if inc.algorithm == "" {
		inc.algorithm, err = trailerAlgorithm(awsapi.RequestFrom(ctx).HTTP)
	}
	if inc.algorithm == "" && err == nil {
		inc.algorithm, err = supported(algorithm)
	}
	return inc, err
}

func entityTooLarge() error {
	return badRequest("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size").With("MaxSizeAllowed", int64(maxPutBytes))
}

// trailerAlgorithm is that of the checksum announced to follow the body.
func trailerAlgorithm(r *http.Request) (blob.Algorithm, error) {
	if r == nil {
		return "", nil
	}
	name, ok := strings.CutPrefix(strings.ToLower(r.Header.Get("X-Amz-Trailer")), "x-amz-checksum-")
	if !ok {
		return "", nil
	}
	return supported(&name)
}

// received is a body that has become a blob.
type received struct {
	blob.Part
	md5 []byte
	sum []byte // by the algorithm asked for
}

// receive stores a body, with a checksum by algorithm want. What the client
// declared is checked before anything is acknowledged.
func (s *Service) receive(ctx context.Context, inc *incoming, want blob.Algorithm) (*received, error) {
	sums := map[blob.Algorithm][]byte{blob.MD5: nil, want: nil}
	if inc.algorithm != "" && !verifiedByWire(ctx, inc) {
		sums[inc.algorithm] = nil
	}
	if verifiedByWire(ctx, inc) && want == inc.algorithm && want != blob.MD5 {
		delete(sums, want) // it has been computed once already
	}
	opts := blob.Options{Check: inc.check}
	for a := range sums {
		opts.Sums = append(opts.Sums, a)
	}
	info, err := s.blobs.Put(ctx, inc.body, opts)
	if err != nil {
		return nil, bytesError(err)
	}
	got := &received{Part: blob.Part{ID: info.ID, Size: info.Size}, md5: info.Sums[blob.MD5], sum: info.Sums[want]}
	if got.sum == nil {
		got.sum, err = wireSum(ctx, want)
	}
	if err != nil {
		s.discard(info.ID)
		return nil, err
	}
	return got, nil
}

// verifiedByWire says whether the wire layer computes and compares the
// checksum that the client sends; it does for every HTTP request that carries
// one, and for calls from within there is no wire.
func verifiedByWire(ctx context.Context, inc *incoming) bool {
	r := awsapi.RequestFrom(ctx).HTTP
	if r == nil || inc.algorithm == "" {
		return false
	}
	trailer, _ := trailerAlgorithm(r)
	return inc.sum != "" || trailer == inc.algorithm
}

// wireSum is the checksum that the wire layer verified while the body was read.
func wireSum(ctx context.Context, a blob.Algorithm) ([]byte, error) {
	declared := awsapi.RequestFrom(ctx).Checksums()[strings.ToLower(string(a))]
	sum, err := base64.StdEncoding.DecodeString(declared)
	if err != nil || len(sum) != a.New().Size() {
		return nil, badRequest("MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema.")
	}
	return sum, nil
}

// check compares what was stored with what the client declared.
func (inc *incoming) check(info blob.Info) error {
	if inc.length != nil && *inc.length != info.Size {
		return badRequest("IncompleteBody", "The request declares %d bytes and carries %d", *inc.length, info.Size)
	}
	if info.Size > maxPutBytes {
		return entityTooLarge()
	}
	if inc.md5 != nil {
		want, err := base64.StdEncoding.DecodeString(*inc.md5)
		if err != nil || len(want) != len(info.Sums[blob.MD5]) {
			return badRequest("InvalidDigest", "The Content-MD5 you specified was invalid.")
		}
		if string(want) != string(info.Sums[blob.MD5]) {
			return badRequest("BadDigest", "The Content-MD5 you specified did not match what we received.")
		}
	}
	if sum, computed := info.Sums[inc.algorithm]; computed && inc.sum != "" && inc.sum != base64Sum(sum) {
		return badRequest("BadDigest", "The %s you specified did not match the calculated checksum.", inc.algorithm)
	}
	return nil
}

func base64Sum(sum []byte) string { return base64.StdEncoding.EncodeToString(sum) }

// compositeSum is the checksum of the parts' checksums.
func compositeSum(a blob.Algorithm, parts []*part) string {
	h := a.New()
	for _, p := range parts {
		h.Write(p.Sum)
	}
	return fmt.Sprintf("%s-%d", base64Sum(h.Sum(nil)), len(parts))
}

// wholeSum is the CRC of the parts one after the other.
func wholeSum(a blob.Algorithm, parts []*part) string {
	sum := make([]byte, a.New().Size())
	for _, p := range parts {
		sum = a.Concat(sum, p.Sum, p.Blob.Size)
	}
	return base64Sum(sum)
}
