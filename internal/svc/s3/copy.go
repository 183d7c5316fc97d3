package s3

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
)

// parseCopySource reads "/bucket/key?versionId=null", URL-encoded.
func parseCopySource(source string) (bucket, key string, err error) {
	path, version, versioned := strings.Cut(source, "?versionId=")
	if versioned && version != "null" {
		return "", "", invalidArgument("x-amz-copy-source", "Invalid version id specified")
	}
	path, err = url.PathUnescape(path)
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if err != nil || !ok || bucket == "" || key == "" {
		return "", "", invalidArgument("x-amz-copy-source", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	return bucket, key, nil
}

// copySource is an object that is about to be copied.
type copySource struct {
	bucket, key string
	*object
}

// findSource looks up the source of a copy.
func (s *Service) findSource(ctx context.Context, source string, owner *string, c conditions) (*copySource, error) {
	bucket, key, err := parseCopySource(source)
	if err != nil {
		return nil, err
	}
	o, err := s.lookUp(ctx, bucket, key, owner, nil, c)
	if isNotModified(err) { // a copy has no answer without a body
		err = preconditionFailed("x-amz-copy-source-If-None-Match")
	}
	if err != nil {
		return nil, err
	}
	return &copySource{bucket, key, o}, nil
}

func isNotModified(err error) bool {
	var e *awsapi.Error
	return errors.As(err, &e) && e.Status == http.StatusNotModified
}

func (s *Service) copyObject(ctx context.Context, in *CopyObjectInput) (*CopyObjectOutput, error) {
	for attempt := 1; ; attempt++ {
		out, err := s.tryCopyObject(ctx, in)
		if attempt < readAttempts && errors.Is(err, blob.ErrNotFound) {
			continue // the source was replaced meanwhile
		}
		return out, bytesError(err)
	}
}

func (s *Service) tryCopyObject(ctx context.Context, in *CopyObjectInput) (*CopyObjectOutput, error) {
	c := conditions{in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince}
	source, err := s.findSource(ctx, in.CopySource, in.ExpectedSourceBucketOwner, c)
	if err != nil {
		return nil, err
	}
	o, err := s.planCopy(in, source)
	if err != nil {
		return nil, err
	}
	if err := s.duplicate(ctx, o, source); err != nil {
		return nil, err
	}
	err = s.adopt(ctx, o.blobs(), func(t *tables) error {
		if err := t.mayWrite(in.Bucket, in.Key, in.ExpectedBucketOwner, in.IfMatch, in.IfNoneMatch); err != nil {
			return err
		}
		return t.putObject(in.Bucket, in.Key, o)
	})
	if err != nil {
		return nil, err
	}
	result := &CopyObjectResult{ETag: new(quoted(o.ETag)), LastModified: &o.Modified, ChecksumType: &o.SumType}
	setSum(result, o.SumAlgorithm, o.Sum)
	return &CopyObjectOutput{
		CopyObjectResult: result, ServerSideEncryption: optional(o.Encryption.Algorithm),
		SSEKMSKeyId: optional(o.Encryption.KMSKeyID), BucketKeyEnabled: optional(o.Encryption.BucketKey),
	}, nil
}

// planCopy is the copy without its bytes: attributes from the source or from
// the request, as the directives say. SumAlgorithm is what is asked for.
func (s *Service) planCopy(in *CopyObjectInput, source *copySource) (*object, error) {
	if in.CopySourceSSECustomerAlgorithm != nil {
		return nil, notImplemented("encryption with customer-provided keys")
	}
	o, err := s.newObject(in.Key, in)
	if err != nil {
		return nil, err
	}
	replace := value(in.MetadataDirective) == "REPLACE"
	if source.bucket == in.Bucket && source.key == in.Key && !replace && in.StorageClass == nil &&
		in.WebsiteRedirectLocation == nil && in.ServerSideEncryption == nil {
		return nil, invalidRequest("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	asked := o.attributes
	if !replace {
		o.attributes = source.attributes
		o.StorageClass, o.Encryption, o.WebsiteRedirect = asked.StorageClass, asked.Encryption, asked.WebsiteRedirect
	}
	o.Tags = source.Tags
	if value(in.TaggingDirective) == "REPLACE" {
		o.Tags = asked.Tags
	}
	o.SumAlgorithm, err = supported(in.ChecksumAlgorithm)
	if o.SumAlgorithm == "" {
		o.SumAlgorithm = source.SumAlgorithm
	}
	if o.SumAlgorithm == "" {
		o.SumAlgorithm = blob.CRC64NVME
	}
	return o, err
}

// duplicate gives o the bytes of source. No byte is written: the blobs are
// linked. They are read only where a checksum is needed that the source has
// not got, above all the MD5 of what was uploaded in parts.
func (s *Service) duplicate(ctx context.Context, o *object, source *copySource) error {
	o.Size = source.Size
	if source.PartsCount == 0 && source.SumType == fullObject && source.SumAlgorithm == o.SumAlgorithm {
		o.ETag, o.SumType, o.Sum = source.ETag, source.SumType, source.Sum
	} else if err := s.digest(ctx, o, source); err != nil {
		return err
	}
	for _, p := range source.Parts {
		id, err := s.blobs.Link(p.ID)
		if err != nil {
			s.discard(o.blobs()...)
			o.Parts = nil
			return err
		}
		o.Parts = append(o.Parts, blob.Part{ID: id, Size: p.Size})
	}
	return nil
}

// digest reads source and sets o's ETag and checksum.
func (s *Service) digest(ctx context.Context, o *object, source *copySource) error {
	r, err := s.blobs.Reader(source.Parts, 0, source.Size)
	if err != nil {
		return err
	}
	defer r.Close()
	md5, sum := blob.MD5.New(), o.SumAlgorithm.New()
	if _, err := io.Copy(io.MultiWriter(md5, sum), contextReader{ctx, r}); err != nil {
		return err
	}
	o.ETag = hex.EncodeToString(md5.Sum(nil))
	o.SumType, o.Sum = fullObject, base64Sum(sum.Sum(nil))
	return nil
}

// contextReader stops reading when its client has gone.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

func (s *Service) uploadPartCopy(ctx context.Context, in *UploadPartCopyInput) (*UploadPartCopyOutput, error) {
	if err := checkPartNumber(in.PartNumber); err != nil {
		return nil, err
	}
	if in.CopySourceSSECustomerAlgorithm != nil || in.SSECustomerAlgorithm != nil {
		return nil, notImplemented("encryption with customer-provided keys")
	}
	u, err := s.findUpload(ctx, in.Bucket, in.Key, in.UploadId, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	var p *part
	for attempt := 1; ; attempt++ {
		p, err = s.copyPart(ctx, in, u)
		if attempt == readAttempts || !errors.Is(err, blob.ErrNotFound) {
			break
		}
	}
	if err != nil {
		return nil, bytesError(err)
	}
	if err := s.storePart(ctx, in.Bucket, in.Key, in.UploadId, p); err != nil {
		return nil, bytesError(err)
	}
	result := &CopyPartResult{ETag: new(quoted(hex.EncodeToString(p.MD5))), LastModified: &p.Modified}
	if u.SumAlgorithm != "" {
		setSum(result, u.SumAlgorithm, base64Sum(p.Sum))
	}
	return &UploadPartCopyOutput{CopyPartResult: result, ServerSideEncryption: optional(u.Encryption.Algorithm)}, nil
}

// copyPart stores a range of the source as a new blob.
func (s *Service) copyPart(ctx context.Context, in *UploadPartCopyInput, u *upload) (*part, error) {
	c := conditions{in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince}
	source, err := s.findSource(ctx, in.CopySource, in.ExpectedSourceBucketOwner, c)
	if err != nil {
		return nil, err
	}
	at, err := copyRange(in.CopySourceRange, source.Size)
	if err != nil {
		return nil, err
	}
	r, err := s.blobs.Reader(source.Parts, at.off, at.n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	got, err := s.receive(ctx, &incoming{body: r}, u.algorithm())
	if err != nil {
		return nil, err
	}
	return &part{Number: int(in.PartNumber), Blob: got.Part, MD5: got.md5, Sum: got.sum, Modified: now()}, nil
}

// copyRange reads x-amz-copy-source-range, which is stricter than Range: both
// ends must be given and lie inside.
func copyRange(header *string, size int64) (span, error) {
	if header == nil {
		return span{n: size}, nil
	}
	first, last, ok := parseRange(*header)
	if !ok || first < 0 || last < 0 {
		return span{}, invalidArgument("x-amz-copy-source-range", "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	}
	if last >= size {
		return span{}, invalidArgument("x-amz-copy-source-range", "Range specified is not valid for source object of size: %d", size)
	}
	return span{off: first, n: last - first + 1}, nil
}
