package s3

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
)

// now is the time that objects carry: whole seconds, as S3's headers can say
// no more.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

func (s *Service) putObject(ctx context.Context, in *PutObjectInput) (*PutObjectOutput, error) {
	o, err := s.newObject(in.Key, in)
	if err != nil {
		return nil, err
	}
	if in.WriteOffsetBytes != nil {
		return nil, notImplemented("appending to objects")
	}
	inc, err := newIncoming(ctx, in, in.Body, in.ContentLength, in.ContentMD5, in.ChecksumAlgorithm)
	if err != nil {
		return nil, err
	}
	// What is bound to fail fails before the bytes are taken.
	allowed := func(t *tables) error {
		return t.mayWrite(in.Bucket, in.Key, in.ExpectedBucketOwner, in.IfMatch, in.IfNoneMatch)
	}
	if err := s.view(ctx, allowed); err != nil {
		return nil, err
	}
	got, err := s.receive(ctx, inc, inc.algorithmOrDefault())
	if err != nil {
		return nil, err
	}
	o.fill(got, inc.algorithmOrDefault())
	err = s.adopt(ctx, o.blobs(), func(t *tables) error {
		if err := allowed(t); err != nil {
			return err
		}
		return t.putObject(in.Bucket, in.Key, o)
	})
	if err != nil {
		return nil, bytesError(err)
	}
	out := &PutObjectOutput{
		ETag: new(quoted(o.ETag)), ChecksumType: &o.SumType,
		ServerSideEncryption: optional(o.Encryption.Algorithm), SSEKMSKeyId: optional(o.Encryption.KMSKeyID),
		SSEKMSEncryptionContext: optional(o.Encryption.Context), BucketKeyEnabled: optional(o.Encryption.BucketKey),
	}
	setSum(out, o.SumAlgorithm, o.Sum)
	return out, nil
}

// newObject is an object as the members of in describe it, without bytes.
func (s *Service) newObject(key string, in any) (*object, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	a, err := s.attributes(in)
	if err != nil {
		return nil, err
	}
	if a.ContentType == "" {
		a.ContentType = "binary/octet-stream"
	}
	if a.StorageClass == "STANDARD" {
		a.StorageClass = ""
	}
	return &object{attributes: a, Modified: now()}, nil
}

// algorithmOrDefault is the client's choice, or what S3 adds by itself.
func (inc *incoming) algorithmOrDefault() blob.Algorithm {
	if inc.algorithm == "" {
		return blob.CRC64NVME
	}
	return inc.algorithm
}

// fill makes a received body the object's content.
func (o *object) fill(got *received, a blob.Algorithm) {
	o.Parts, o.Size, o.ETag = []blob.Part{got.Part}, got.Size, hex.EncodeToString(got.md5)
	o.SumAlgorithm, o.SumType, o.Sum = a, fullObject, base64Sum(got.sum)
}

// mayWrite checks that a bucket is there and the conditions of a write hold.
func (t *tables) mayWrite(bucket, key string, owner, ifMatch, ifNoneMatch *string) error {
	if _, err := t.bucket(bucket, owner); err != nil {
		return err
	}
	if ifMatch == nil && ifNoneMatch == nil {
		return nil
	}
	old, err := t.object(bucket, key)
	if err != nil {
		return err
	}
	return checkWrite(key, old, ifMatch, ifNoneMatch)
}

// lookUp reads an object's row and checks that it may be read.
func (s *Service) lookUp(ctx context.Context, bucket, key string, owner, version *string, c conditions) (o *object, err error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if version != nil && *version != "null" {
		return nil, invalidArgument("versionId", "Invalid version id specified")
	}
	err = s.view(ctx, func(t *tables) error {
		if _, err := t.bucket(bucket, owner); err != nil {
			return err
		}
		o, err = t.object(bucket, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, s.missing(ctx, bucket, key)
	}
	return o, c.check(o)
}

func (s *Service) headObject(ctx context.Context, in *HeadObjectInput) (*HeadObjectOutput, error) {
	o, at, err := s.find(ctx, in)
	if err != nil {
		return nil, err
	}
	return describe(in, o, at), nil
}

// find looks up what a read asks for.
func (s *Service) find(ctx context.Context, in *HeadObjectInput) (*object, span, error) {
	if in.SSECustomerAlgorithm != nil {
		return nil, span{}, invalidRequest("The encryption parameters are not applicable to this object.")
	}
	if r := awsapi.RequestFrom(ctx).HTTP; r != nil && r.Header.Get("X-Amz-Server-Side-Encryption") != "" {
		return nil, span{}, invalidArgument("x-amz-server-side-encryption", "x-amz-server-side-encryption header is not supported for this operation.")
	}
	c := conditions{in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince}
	o, err := s.lookUp(ctx, in.Bucket, in.Key, in.ExpectedBucketOwner, in.VersionId, c)
	if err != nil {
		return nil, span{}, err
	}
	at, err := spanOf(o, in.Range, in.PartNumber)
	return o, at, err
}

// describe is the answer to a read, without the bytes.
func describe(in *HeadObjectInput, o *object, at span) *HeadObjectOutput {
	out := &HeadObjectOutput{
		AcceptRanges: new("bytes"), LastModified: &o.Modified, ContentLength: &at.n, ETag: new(quoted(o.ETag)),
		ContentRange: at.contentRange(o.Size), Metadata: o.Metadata,
		CacheControl:       override(in.ResponseCacheControl, o.CacheControl),
		ContentDisposition: override(in.ResponseContentDisposition, o.ContentDisposition),
		ContentEncoding:    override(in.ResponseContentEncoding, o.ContentEncoding),
		ContentLanguage:    override(in.ResponseContentLanguage, o.ContentLanguage),
		ContentType:        override(in.ResponseContentType, o.ContentType),
		Expires:            override(httpDate(in.ResponseExpires), o.Expires),

		WebsiteRedirectLocation: optional(o.WebsiteRedirect), StorageClass: optional(o.StorageClass),
		ServerSideEncryption: optional(o.Encryption.Algorithm), SSEKMSKeyId: optional(o.Encryption.KMSKeyID),
		BucketKeyEnabled: optional(o.Encryption.BucketKey), TagCount: optional(int64(len(o.Tags))),
	}
	if in.PartNumber != nil {
		out.PartsCount = optional(int64(o.PartsCount))
	}
	if value(in.ChecksumMode) == "ENABLED" && at.n == o.Size && o.SumAlgorithm != "" {
		out.ChecksumType = &o.SumType
		setSum(out, o.SumAlgorithm, o.Sum)
	}
	return out
}

func override(asked *string, stored string) *string {
	if asked != nil {
		return asked
	}
	return optional(stored)
}

func httpDate(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return new(t.UTC().Format(http.TimeFormat))
}

// readAttempts is how often getObject looks again when the object is replaced
// between reading its row and opening its blobs.
const readAttempts = 10

func (s *Service) getObject(ctx context.Context, in *GetObjectInput) (*GetObjectOutput, error) {
	for attempt := 1; ; attempt++ {
		out, err := s.tryGetObject(ctx, in)
		if attempt < readAttempts && errors.Is(err, blob.ErrNotFound) {
			continue
		}
		return out, err
	}
}

func (s *Service) tryGetObject(ctx context.Context, in *GetObjectInput) (*GetObjectOutput, error) {
	head := HeadObjectInput(*in) // the same members
	o, at, err := s.find(ctx, &head)
	if err != nil {
		return nil, err
	}
	body, err := s.blobs.Reader(o.Parts, at.off, at.n)
	if err != nil {
		return nil, err
	}
	out := &GetObjectOutput{}
	copyMembers(out, describe(&head, o, at))
	out.Body = body
	return out, nil
}

func (s *Service) deleteObject(ctx context.Context, in *DeleteObjectInput) (*DeleteObjectOutput, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	if in.VersionId != nil && *in.VersionId != "null" {
		return nil, invalidArgument("versionId", "Invalid version id specified")
	}
	err := s.update(ctx, func(t *tables) error {
		if err := t.mayDelete(in); err != nil {
			return err
		}
		return t.deleteObject(in.Bucket, in.Key)
	})
	return nil, err
}

// mayDelete checks the conditions of a deletion; without one, deleting what is
// not there succeeds.
func (t *tables) mayDelete(in *DeleteObjectInput) error {
	if _, err := t.bucket(in.Bucket, in.ExpectedBucketOwner); err != nil {
		return err
	}
	if in.IfMatch == nil && in.IfMatchSize == nil && in.IfMatchLastModifiedTime == nil {
		return nil
	}
	o, err := t.object(in.Bucket, in.Key)
	if err != nil || o == nil {
		return err
	}
	switch {
	case in.IfMatch != nil && !etagMatches(*in.IfMatch, o.ETag):
		return preconditionFailed("If-Match")
	case in.IfMatchSize != nil && *in.IfMatchSize != o.Size:
		return preconditionFailed("x-amz-if-match-size")
	case in.IfMatchLastModifiedTime != nil && !in.IfMatchLastModifiedTime.Equal(o.Modified):
		return preconditionFailed("x-amz-if-match-last-modified-time")
	}
	return nil
}

// maxDeletes is how many keys one DeleteObjects may name.
const maxDeletes = 1000

func (s *Service) deleteObjects(ctx context.Context, in *DeleteObjectsInput) (*DeleteObjectsOutput, error) {
	if n := len(in.Delete.Objects); n == 0 || n > maxDeletes {
		return nil, badRequest("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	out := &DeleteObjectsOutput{}
	var keys []string
	for _, id := range in.Delete.Objects {
		if err := s.mayDeleteKey(ctx, in.Bucket, id); err != nil {
			out.Errors = append(out.Errors, keyError(id, err))
			continue
		}
		keys = append(keys, id.Key)
	}
	err := s.update(ctx, func(t *tables) error {
		if _, err := t.bucket(in.Bucket, in.ExpectedBucketOwner); err != nil {
			return err
		}
		for _, key := range keys {
			if err := t.deleteObject(in.Bucket, key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !value(in.Delete.Quiet) {
		for _, key := range keys {
			out.Deleted = append(out.Deleted, &DeletedObject{Key: &key})
		}
	}
	return out, nil
}

func (s *Service) mayDeleteKey(ctx context.Context, bucket string, id *ObjectIdentifier) error {
	switch {
	case id.VersionId != nil && *id.VersionId != "null":
		return badRequest("NoSuchVersion", "The specified version does not exist.")
	case id.ETag != nil || id.LastModifiedTime != nil || id.Size != nil:
		return notImplemented("conditions in DeleteObjects")
	}
	if err := checkKey(id.Key); err != nil {
		return err
	}
	return s.may(ctx, "s3:DeleteObject", objectARN(bucket, id.Key))
}

// keyError is the entry for a key that was not deleted.
func keyError(id *ObjectIdentifier, err error) *Error {
	entry := &Error{Key: &id.Key, VersionId: id.VersionId, Code: new("InternalError"), Message: new("We encountered an internal error. Please try again.")}
	var known *awsapi.Error
	if errors.As(err, &known) {
		entry.Code, entry.Message = &known.Code, &known.Message
	}
	return entry
}
