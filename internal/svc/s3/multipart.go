package s3

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
	"github.com/musher/musher/internal/state"
)

// Limits of multipart uploads.
const (
	maxPartNumber = 10_000
	minPartBytes  = 5 << 20 // of every part but the last
)

func checkPartNumber(n int64) error {
	if n < 1 || n > maxPartNumber {
		return invalidArgument("partNumber", "Part number must be an integer between 1 and %d, inclusive", maxPartNumber).With("ArgumentValue", n)
	}
	return nil
}

func (s *Service) createMultipartUpload(ctx context.Context, in *CreateMultipartUploadInput) (*CreateMultipartUploadOutput, error) {
	o, err := s.newObject(in.Key, in) // validates the same members
	if err != nil {
		return nil, err
	}
	algorithm, sumType, err := uploadSum(in.ChecksumAlgorithm, in.ChecksumType)
	if err != nil {
		return nil, err
	}
	r := awsapi.RequestFrom(ctx)
	u := &upload{Initiated: o.Modified, SumAlgorithm: algorithm, SumType: sumType, attributes: o.attributes}
	if r.Caller != nil {
		u.Initiator = r.Caller.ARN
	}
	id := newUploadID()
	err = s.update(ctx, func(t *tables) error {
		if _, err := t.bucket(in.Bucket, in.ExpectedBucketOwner); err != nil {
			return err
		}
		return t.uploads.Insert(t.tx, state.Key(in.Bucket, in.Key, id), u)
	})
	if err != nil {
		return nil, err
	}
	out := &CreateMultipartUploadOutput{
		Bucket: &in.Bucket, Key: &in.Key, UploadId: &id,
		ServerSideEncryption: optional(u.Encryption.Algorithm), SSEKMSKeyId: optional(u.Encryption.KMSKeyID),
		SSEKMSEncryptionContext: optional(u.Encryption.Context), BucketKeyEnabled: optional(u.Encryption.BucketKey),
	}
	if algorithm != "" {
		out.ChecksumAlgorithm, out.ChecksumType = new(string(algorithm)), &sumType
	}
	return out, nil
}

// newUploadID begins with the time, so that IDs are ordered by it.
func newUploadID() string {
	var chance [16]byte
	rand.Read(chance[:]) //nolint:errcheck // it never fails
	return fmt.Sprintf("%016x%x", time.Now().UnixNano(), chance)
}

// uploadSum is the checksum that an upload's object will have. Only CRCs of
// parts can be turned into one of the whole.
func uploadSum(name, kind *string) (blob.Algorithm, string, error) {
	a, err := supported(name)
	if err != nil {
		return "", "", err
	}
	if a == "" {
		if kind != nil {
			return "", "", invalidRequest("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return "", fullObject, nil
	}
	bits, _ := a.Polynomial()
	usual := composite
	if a == blob.CRC64NVME {
		usual = fullObject
	}
	sumType := cmp.Or(value(kind), usual)
	if sumType == fullObject && bits == 0 || sumType == composite && a == blob.CRC64NVME {
		return "", "", invalidRequest("The %s checksum type cannot be used with the %s checksum algorithm.", sumType, strings.ToLower(string(a)))
	}
	return a, sumType, nil
}

// findUpload reads an upload's row.
func (s *Service) findUpload(ctx context.Context, bucket, key, id string, owner *string) (u *upload, err error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	err = s.view(ctx, func(t *tables) error {
		if _, err := t.bucket(bucket, owner); err != nil {
			return err
		}
		u, err = t.upload(bucket, key, id)
		return err
	})
	return u, err
}

func (s *Service) uploadPart(ctx context.Context, in *UploadPartInput) (*UploadPartOutput, error) {
	if err := checkPartNumber(in.PartNumber); err != nil {
		return nil, err
	}
	if in.SSECustomerAlgorithm != nil {
		return nil, notImplemented("encryption with customer-provided keys")
	}
	u, err := s.findUpload(ctx, in.Bucket, in.Key, in.UploadId, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	inc, err := newIncoming(ctx, in, in.Body, in.ContentLength, in.ContentMD5, in.ChecksumAlgorithm)
	if err != nil {
		return nil, err
	}
	if u.SumAlgorithm != "" && inc.algorithm != "" && inc.algorithm != u.SumAlgorithm {
		return nil, invalidRequest("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
			strings.ToLower(string(u.SumAlgorithm)), strings.ToLower(string(inc.algorithm)))
	}
	got, err := s.receive(ctx, inc, u.algorithm())
	if err != nil {
		return nil, err
	}
	p := &part{Number: int(in.PartNumber), Blob: got.Part, MD5: got.md5, Sum: got.sum, Modified: now()}
	if err := s.storePart(ctx, in.Bucket, in.Key, in.UploadId, p); err != nil {
		return nil, bytesError(err)
	}
	out := &UploadPartOutput{ETag: new(quoted(hex.EncodeToString(p.MD5))), ServerSideEncryption: optional(u.Encryption.Algorithm)}
	if sum := inc.sum; sum != "" {
		setSum(out, inc.algorithm, sum)
	} else {
		setSum(out, u.SumAlgorithm, base64Sum(p.Sum))
	}
	return out, nil
}

// storePart records a part in place of an earlier one of its number.
func (s *Service) storePart(ctx context.Context, bucket, key, id string, p *part) error {
	return s.adopt(ctx, []blob.ID{p.Blob.ID}, func(t *tables) error {
		if _, err := t.upload(bucket, key, id); err != nil {
			return err
		}
		old, err := t.parts.Get(t.tx, partKey(id, p.Number))
		switch {
		case err == nil:
			t.dead = append(t.dead, old.Blob.ID)
		case !errors.Is(err, state.ErrNotFound):
			return err
		}
		return t.parts.Put(t.tx, partKey(id, p.Number), p)
	})
}

func (s *Service) completeMultipartUpload(ctx context.Context, in *CompleteMultipartUploadInput) (*CompleteMultipartUploadOutput, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	if in.MultipartUpload == nil || len(in.MultipartUpload.Parts) == 0 {
		return nil, badRequest("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	chosen := in.MultipartUpload.Parts
	if err := checkOrder(chosen); err != nil {
		return nil, err
	}
	var o *object
	err := s.update(ctx, func(t *tables) (err error) {
		if _, err := t.bucket(in.Bucket, in.ExpectedBucketOwner); err != nil {
			return err
		}
		if o, err = t.completed(in); o != nil || err != nil {
			return err
		}
		o, err = t.complete(in)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &CompleteMultipartUploadOutput{
		Location: new(location(ctx, in.Bucket, in.Key)), Bucket: &in.Bucket, Key: &in.Key, ETag: new(quoted(o.ETag)), ChecksumType: &o.SumType,
		ServerSideEncryption: optional(o.Encryption.Algorithm), SSEKMSKeyId: optional(o.Encryption.KMSKeyID), BucketKeyEnabled: optional(o.Encryption.BucketKey),
	}
	setSum(out, o.SumAlgorithm, o.Sum)
	return out, nil
}

// checkOrder requires ascending part numbers, each with its ETag.
func checkOrder(chosen []*CompletedPart) error {
	for i, c := range chosen {
		if c.PartNumber == nil || c.ETag == nil {
			return badRequest("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
		}
		if err := checkPartNumber(*c.PartNumber); err != nil {
			return err
		}
		if i > 0 && *c.PartNumber <= *chosen[i-1].PartNumber {
			return badRequest("InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
		}
	}
	return nil
}

// completed returns the object where this very completion has been done
// already and the client asks again, because the answer got lost.
func (t *tables) completed(in *CompleteMultipartUploadInput) (*object, error) {
	_, err := t.upload(in.Bucket, in.Key, in.UploadId)
	var gone *awsapi.Error
	if !errors.As(err, &gone) {
		return nil, err
	}
	o, err := t.object(in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	sum := md5.New()
	for _, c := range in.MultipartUpload.Parts {
		raw, _ := hex.DecodeString(unquoted(*c.ETag))
		sum.Write(raw)
	}
	if o == nil || o.UploadID != in.UploadId || o.ETag != multipartETag(sum.Sum(nil), len(in.MultipartUpload.Parts)) {
		return nil, gone
	}
	return o, nil
}

func multipartETag(md5OfMD5s []byte, parts int) string {
	return fmt.Sprintf("%x-%d", md5OfMD5s, parts)
}

// complete makes the object out of the chosen parts and forgets the upload.
func (t *tables) complete(in *CompleteMultipartUploadInput) (*object, error) {
	u, err := t.upload(in.Bucket, in.Key, in.UploadId)
	if err != nil {
		return nil, err
	}
	if err := t.mayWrite(in.Bucket, in.Key, nil, in.IfMatch, in.IfNoneMatch); err != nil {
		return nil, err
	}
	uploaded, err := t.deleteUpload(in.Bucket, in.Key, in.UploadId)
	if err != nil {
		return nil, err
	}
	parts, unused, err := choose(uploaded, in, u.SumAlgorithm)
	if err != nil {
		return nil, err
	}
	for _, p := range unused {
		t.dead = append(t.dead, p.Blob.ID)
	}
	o := assemble(u, parts)
	o.UploadID = in.UploadId
	if err := checkWhole(o, in); err != nil {
		return nil, err
	}
	return o, t.putObject(in.Bucket, in.Key, o)
}

// choose finds the parts that the client lists among those uploaded.
func choose(uploaded []*part, in *CompleteMultipartUploadInput, a blob.Algorithm) (chosen, unused []*part, err error) {
	byNumber := map[int]*part{}
	for _, p := range uploaded {
		byNumber[p.Number] = p
	}
	listed := in.MultipartUpload.Parts
	for i, c := range listed {
		p := byNumber[int(*c.PartNumber)]
		if p == nil || hex.EncodeToString(p.MD5) != unquoted(*c.ETag) || !sumAgrees(c, p, a) {
			return nil, nil, badRequest("InvalidPart", "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.").
				With("UploadId", in.UploadId).With("PartNumber", *c.PartNumber).With("ETag", unquoted(*c.ETag))
		}
		if i < len(listed)-1 && p.Blob.Size < minPartBytes {
			return nil, nil, badRequest("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size").
				With("ProposedSize", p.Blob.Size).With("MinSizeAllowed", int64(minPartBytes)).With("PartNumber", *c.PartNumber).With("ETag", unquoted(*c.ETag))
		}
		chosen = append(chosen, p)
		delete(byNumber, p.Number)
	}
	for _, p := range byNumber {
		unused = append(unused, p)
	}
	return chosen, unused, nil
}

// sumAgrees compares the checksum that a completion lists for a part, if it
// lists one by the upload's algorithm.
func sumAgrees(c *CompletedPart, p *part, a blob.Algorithm) bool {
	sums, err := claims(c)
	if err != nil || a == "" {
		return err == nil
	}
	sum, listed := sums[a]
	return !listed || sum == base64Sum(p.Sum)
}

// assemble is the object that parts make.
func assemble(u *upload, parts []*part) *object {
	o := &object{attributes: u.attributes, Modified: now(), PartsCount: len(parts), SumAlgorithm: u.algorithm(), SumType: u.SumType}
	sum := md5.New()
	for _, p := range parts {
		o.Parts = append(o.Parts, p.Blob)
		o.Size += p.Blob.Size
		sum.Write(p.MD5)
	}
	o.ETag = multipartETag(sum.Sum(nil), len(parts))
	if u.SumType == composite {
		o.Sum = compositeSum(o.SumAlgorithm, parts)
	} else {
		o.Sum = wholeSum(o.SumAlgorithm, parts)
	}
	return o
}

// checkWhole compares the object with what the client says of it.
func checkWhole(o *object, in *CompleteMultipartUploadInput) error {
	if in.MpuObjectSize != nil && *in.MpuObjectSize != o.Size {
		return invalidRequest("The provided 'x-amz-mp-object-size' header value %d does not match what was computed: %d", *in.MpuObjectSize, o.Size)
	}
	if in.ChecksumType != nil && *in.ChecksumType != o.SumType {
		return invalidRequest("The upload was created using the %s checksum mode. The complete request must use the same checksum mode.", o.SumType)
	}
	sums, err := claims(in)
	if err != nil {
		return err
	}
	// Clients send a composite checksum with and without its number of parts.
	bare, _, _ := strings.Cut(o.Sum, "-")
	if sum, ok := sums[o.SumAlgorithm]; ok && sum != o.Sum && sum != bare {
		return badRequest("BadDigest", "The %s you specified did not match the calculated checksum.", o.SumAlgorithm)
	}
	return nil
}

// location is the object's URL, as the client reached it.
func location(ctx context.Context, bucket, key string) string {
	path := "/" + bucket + "/" + (&url.URL{Path: key}).EscapedPath()
	r := awsapi.RequestFrom(ctx).HTTP
	if r == nil {
		return path
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + path
}

func (s *Service) abortMultipartUpload(ctx context.Context, in *AbortMultipartUploadInput) (*AbortMultipartUploadOutput, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	err := s.update(ctx, func(t *tables) error {
		if _, err := t.bucket(in.Bucket, in.ExpectedBucketOwner); err != nil {
			return err
		}
		u, err := t.upload(in.Bucket, in.Key, in.UploadId)
		if err != nil {
			return err
		}
		if at := in.IfMatchInitiatedTime; at != nil && !at.Equal(u.Initiated) {
			return preconditionFailed("x-amz-if-match-initiated-time")
		}
		return t.abort(in.Bucket, in.Key, in.UploadId)
	})
	return nil, err
}

func (t *tables) abort(bucket, key, id string) error {
	parts, err := t.deleteUpload(bucket, key, id)
	for _, p := range parts {
		t.dead = append(t.dead, p.Blob.ID)
	}
	return err
}

// abortUploads aborts all uploads of a bucket.
func (t *tables) abortUploads(bucket string) error {
	var all []listedUpload
	err := t.eachUpload(bucket, "", func(u listedUpload) bool {
		all = append(all, u)
		return true
	})
	if err != nil {
		return err
	}
	for _, u := range all {
		if err := t.abort(bucket, u.key, u.id); err != nil {
			return err
		}
	}
	return nil
}
