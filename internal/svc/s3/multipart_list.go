package s3

import (
	"cmp"
	"context"
	"encoding/hex"
	"strings"

	"github.com/musher/musher/internal/state"
)

// listedUpload is an upload with the parts of its row's key.
type listedUpload struct {
	key, id string
	*upload
}

// eachUpload visits the uploads of keys with a prefix, by key and then by
// time, until visit returns false.
func (t *tables) eachUpload(bucket, prefix string, visit func(listedUpload) bool) error {
	home := state.Key(bucket, "")
	return t.uploads.Scan(t.tx, state.Range{Prefix: home + prefix}, func(row string, u *upload) (bool, error) {
		key, id, _ := strings.Cut(strings.TrimPrefix(row, home), "\x00")
		return visit(listedUpload{key, id, u}), nil
	})
}

func (s *Service) listMultipartUploads(ctx context.Context, in *ListMultipartUploadsInput) (*ListMultipartUploadsOutput, error) {
	limit, err := pageSize("max-uploads", in.MaxUploads)
	if err != nil {
		return nil, err
	}
	encode := urlEncoder(in.EncodingType)
	out := &ListMultipartUploadsOutput{
		Bucket: &in.Bucket, Prefix: encoded(in.Prefix, encode), Delimiter: encoded(in.Delimiter, encode), EncodingType: in.EncodingType,
		KeyMarker: new(encode(value(in.KeyMarker))), UploadIdMarker: new(value(in.UploadIdMarker)),
		MaxUploads: new(int64(limit)), IsTruncated: new(false),
	}
	owner := ownerOf(ctx)
	var last listedUpload // of the page; a common prefix has no ID
	err = s.view(ctx, func(t *tables) error {
		if _, err := t.bucket(in.Bucket, in.ExpectedBucketOwner); err != nil {
			return err
		}
		return t.eachUpload(in.Bucket, value(in.Prefix), func(u listedUpload) bool {
			if u.key == "" || !behindMarker(u, in) {
				return true
			}
			common := commonPrefix(u.key, value(in.Prefix), value(in.Delimiter))
			if common != "" && common == last.key {
				return true
			}
			if len(out.Uploads)+len(out.CommonPrefixes) == limit {
				*out.IsTruncated = limit > 0
				return false
			}
			if common != "" {
				last = listedUpload{key: common}
				out.CommonPrefixes = append(out.CommonPrefixes, &CommonPrefix{Prefix: new(encode(common))})
				return true
			}
			last = u
			out.Uploads = append(out.Uploads, u.render(encode, owner))
			return true
		})
	})
	if err != nil {
		return nil, err
	}
	if *out.IsTruncated {
		out.NextKeyMarker, out.NextUploadIdMarker = new(encode(last.key)), new(last.id)
	}
	return out, nil
}

// behindMarker says whether an upload belongs to the page that the markers
// begin.
func behindMarker(u listedUpload, in *ListMultipartUploadsInput) bool {
	marker := value(in.KeyMarker)
	if marker == "" {
		return true
	}
	if common := commonPrefix(u.key, value(in.Prefix), value(in.Delimiter)); common != "" && strings.HasPrefix(marker, common) {
		return false
	}
	if u.key == marker && value(in.UploadIdMarker) != "" {
		return u.id > *in.UploadIdMarker
	}
	return u.key > marker
}

func (u listedUpload) render(encode func(string) string, owner *Owner) *MultipartUpload {
	m := &MultipartUpload{
		UploadId: &u.id, Key: new(encode(u.key)), Initiated: &u.Initiated, StorageClass: new(cmp.Or(u.StorageClass, "STANDARD")),
		Owner: owner, Initiator: u.initiator(),
	}
	if u.SumAlgorithm != "" {
		m.ChecksumAlgorithm, m.ChecksumType = new(string(u.SumAlgorithm)), &u.SumType
	}
	return m
}

func (u *upload) initiator() *Initiator {
	_, name, _ := strings.Cut(u.Initiator, "/")
	return &Initiator{ID: &u.Initiator, DisplayName: &name}
}

func (s *Service) listParts(ctx context.Context, in *ListPartsInput) (*ListPartsOutput, error) {
	limit, err := pageSize("max-parts", in.MaxParts)
	if err != nil {
		return nil, err
	}
	after := value(in.PartNumberMarker)
	if after < 0 {
		return nil, invalidArgument("part-number-marker", "Argument part-number-marker must be an integer between 0 and 2147483647")
	}
	var u *upload
	var parts []*part
	err = s.view(ctx, func(t *tables) (err error) {
		if _, err = t.bucket(in.Bucket, in.ExpectedBucketOwner); err != nil {
			return err
		}
		if u, err = t.upload(in.Bucket, in.Key, in.UploadId); err != nil {
			return err
		}
		parts, err = t.uploadParts(in.UploadId, int(after), limit+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	truncated := len(parts) > limit && limit > 0
	parts = parts[:min(limit, len(parts))]
	out := &ListPartsOutput{
		Bucket: &in.Bucket, Key: &in.Key, UploadId: &in.UploadId, PartNumberMarker: &after, NextPartNumberMarker: new(int64(0)),
		MaxParts: new(int64(limit)), IsTruncated: &truncated, StorageClass: new(cmp.Or(u.StorageClass, "STANDARD")),
		Owner: ownerOf(ctx), Initiator: u.initiator(),
	}
	if u.SumAlgorithm != "" {
		out.ChecksumAlgorithm, out.ChecksumType = new(string(u.SumAlgorithm)), &u.SumType
	}
	for _, p := range parts {
		out.Parts = append(out.Parts, p.render(u))
		*out.NextPartNumberMarker = int64(p.Number)
	}
	return out, nil
}

func (p *part) render(u *upload) *Part {
	out := &Part{PartNumber: new(int64(p.Number)), LastModified: &p.Modified, ETag: new(quoted(hex.EncodeToString(p.MD5))), Size: &p.Blob.Size}
	if u.SumAlgorithm != "" {
		setSum(out, u.SumAlgorithm, base64Sum(p.Sum))
	}
	return out
}
