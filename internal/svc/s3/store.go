package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
	"github.com/musher/musher/internal/state"
)

// bucket is the row of a bucket; its key is the name.
type bucket struct {
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Created time.Time `json:"created"`
}

// object is the row of an object; its key is state.Key(bucket, key).
type object struct {
	Parts    []blob.Part `json:"parts,omitempty"` // its bytes, one after the other
	Size     int64       `json:"size"`
	ETag     string      `json:"etag"` // without quotes
	Modified time.Time   `json:"modified"`

	// SumAlgorithm is empty for objects without a checksum. Sum is its value
	// as S3 writes it, base64 and, for a composite one, "-N".
	SumAlgorithm blob.Algorithm `json:"sum_algorithm,omitempty"`
	SumType      string         `json:"sum_type,omitempty"` // FULL_OBJECT or COMPOSITE
	Sum          string         `json:"sum,omitempty"`

	attributes

	// UploadID and PartsCount are set where it came from a multipart upload.
	UploadID   string `json:"upload_id,omitempty"`
	PartsCount int    `json:"parts_count,omitempty"`
}

// attributes are what a client says about an object beside its bytes.
type attributes struct {
	CacheControl       string            `json:"cache_control,omitempty"`
	ContentDisposition string            `json:"content_disposition,omitempty"`
	ContentEncoding    string            `json:"content_encoding,omitempty"`
	ContentLanguage    string            `json:"content_language,omitempty"`
	ContentType        string            `json:"content_type,omitempty"`
	Expires            string            `json:"expires,omitempty"`
	WebsiteRedirect    string            `json:"website_redirect,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
	Tags               []Tag             `json:"tags,omitempty"`
	StorageClass       string            `json:"storage_class,omitempty"` // empty: STANDARD
	Encryption         encryption        `json:"encryption,omitzero"`
}

// encryption is what was asked for and is echoed. Nothing is encrypted.
type encryption struct {
	Algorithm string `json:"algorithm,omitempty"`
	KMSKeyID  string `json:"kms_key_id,omitempty"`
	Context   string `json:"context,omitempty"`
	BucketKey bool   `json:"bucket_key,omitempty"`
}

func (o *object) storageClass() string { return cmp.Or(o.StorageClass, "STANDARD") }

// blobs are the IDs of the object's bytes.
func (o *object) blobs() []blob.ID {
	ids := make([]blob.ID, len(o.Parts))
	for i, p := range o.Parts {
		ids[i] = p.ID
	}
	return ids
}

// upload is the row of a multipart upload; its key is
// state.Key(bucket, key, id). Upload IDs begin with the time, so that uploads
// of one key are in the order of their initiation, as S3 lists them.
type upload struct {
	Initiated time.Time `json:"initiated"`
	Initiator string    `json:"initiator"` // ARN

	// SumAlgorithm is what the client asked for, or empty: then a CRC64NVME
	// of the whole is made, and parts may bring any checksum.
	SumAlgorithm blob.Algorithm `json:"sum_algorithm,omitempty"`
	SumType      string         `json:"sum_type"`

	attributes
}

func (u *upload) algorithm() blob.Algorithm { return cmp.Or(u.SumAlgorithm, blob.CRC64NVME) }

// part is the row of an uploaded part; its key is partKey.
type part struct {
	Number   int       `json:"number"`
	Blob     blob.Part `json:"blob"`
	MD5      []byte    `json:"md5"`
	Sum      []byte    `json:"sum"` // by the upload's algorithm
	Modified time.Time `json:"modified"`
}

func partKey(uploadID string, number int) string {
	return state.Key(uploadID, fmt.Sprintf("%05d", number))
}

// schema holds the service's tables.
type schema struct {
	buckets state.Table[bucket]
	objects state.Table[object]
	uploads state.Table[upload]
	parts   state.Table[part]
}

func newSchema(db *state.DB) schema {
	return schema{
		buckets: state.NewTable[bucket](db, "s3_buckets"),
		objects: state.NewTable[object](db, "s3_objects"),
		uploads: state.NewTable[upload](db, "s3_uploads"),
		parts:   state.NewTable[part](db, "s3_parts"),
	}
}

// tables are the service's tables inside one transaction, speaking S3's
// errors.
type tables struct {
	schema
	tx *state.Tx

	// dead are blobs that nothing refers to once the transaction is committed.
	dead []blob.ID
}

func (s *Service) view(ctx context.Context, fn func(*tables) error) error {
	return s.db.View(ctx, func(tx *state.Tx) error { return fn(&tables{schema: s.schema, tx: tx}) })
}

// update runs fn in a transaction and deletes the blobs that died of it.
func (s *Service) update(ctx context.Context, fn func(*tables) error) error {
	var t *tables
	err := s.db.Update(ctx, func(tx *state.Tx) error {
		t = &tables{schema: s.schema, tx: tx}
		return fn(t)
	})
	if err != nil {
		return err
	}
	s.discard(t.dead...)
	return nil
}

// adopt is update for a transaction that refers to new blobs. Where it
// certainly was not committed, they are deleted; where that is unknown (the
// disk failed during the commit), they stay, for Sweep to decide.
func (s *Service) adopt(ctx context.Context, blobs []blob.ID, fn func(*tables) error) error {
	err := s.update(ctx, fn)
	var refused *awsapi.Error
	if errors.As(err, &refused) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		s.discard(blobs...)
	}
	return err
}

// discard deletes blobs that nothing refers to. A failure costs space until
// the next Sweep and nothing else, so it is only logged.
func (s *Service) discard(ids ...blob.ID) {
	if err := s.blobs.Delete(ids...); err != nil {
		s.log.Warn("s3: cannot delete blobs that are no longer used", "err", err)
	}
}

// bucket returns a bucket, or NoSuchBucket, or AccessDenied where it belongs
// to another account than the client expects (nil: any).
func (t *tables) bucket(name string, expectedOwner *string) (*bucket, error) {
	b, err := t.buckets.Get(t.tx, name)
	if errors.Is(err, state.ErrNotFound) {
		return nil, noSuchBucket(name)
	}
	if err != nil {
		return nil, err
	}
	if expectedOwner != nil && *expectedOwner != b.Account {
		return nil, accessDenied("Access Denied")
	}
	return b, nil
}

// object returns an object, or nil.
func (t *tables) object(bucket, key string) (*object, error) {
	o, err := t.objects.Get(t.tx, state.Key(bucket, key))
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	return o, err
}

// putObject replaces an object.
func (t *tables) putObject(bucket, key string, o *object) error {
	old, err := t.object(bucket, key)
	if err != nil {
		return err
	}
	if old != nil {
		t.dead = append(t.dead, old.blobs()...)
	}
	return t.objects.Put(t.tx, state.Key(bucket, key), o)
}

// deleteObject deletes an object, or nothing.
func (t *tables) deleteObject(bucket, key string) error {
	old, err := t.object(bucket, key)
	if err != nil || old == nil {
		return err
	}
	t.dead = append(t.dead, old.blobs()...)
	return t.objects.Delete(t.tx, state.Key(bucket, key))
}

// keys is the source of a bucket's objects for list.
func (t *tables) keys(bucket string) source {
	home := state.Key(bucket, "")
	return func(prefix, from string, visit func(string, *object) bool) error {
		r := state.Range{Prefix: home + prefix, From: home + from}
		return t.objects.Scan(t.tx, r, func(key string, o *object) (bool, error) {
			return visit(strings.TrimPrefix(key, home), o), nil
		})
	}
}

// upload returns a multipart upload, or NoSuchUpload.
func (t *tables) upload(bucket, key, id string) (*upload, error) {
	u, err := t.uploads.Get(t.tx, state.Key(bucket, key, id))
	if errors.Is(err, state.ErrNotFound) || strings.Contains(id, "\x00") {
		return nil, noSuchUpload(id)
	}
	return u, err
}

// uploadParts returns the parts of an upload with numbers > after, in order.
func (t *tables) uploadParts(id string, after, limit int) (parts []*part, err error) {
	r := state.Range{Prefix: state.Key(id, ""), After: partKey(id, after)}
	err = t.parts.Scan(t.tx, r, func(_ string, p *part) (bool, error) {
		parts = append(parts, p)
		return len(parts) < limit, nil
	})
	return parts, err
}

// deleteUpload forgets an upload and its parts; it returns the parts' rows,
// whose blobs are the caller's to keep or to bury.
func (t *tables) deleteUpload(bucket, key, id string) ([]*part, error) {
	parts, err := t.uploadParts(id, 0, maxPartNumber)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := t.parts.Delete(t.tx, partKey(id, p.Number)); err != nil {
			return nil, err
		}
	}
	return parts, t.uploads.Delete(t.tx, state.Key(bucket, key, id))
}

// Sweep deletes blobs that an earlier process left without an owner. It may
// run beside everything else; one run after the start is enough.
func (s *Service) Sweep(ctx context.Context) error {
	owned := map[blob.ID]struct{}{}
	err := s.view(ctx, func(t *tables) error {
		err := t.objects.Scan(t.tx, state.Range{}, func(_ string, o *object) (bool, error) {
			for _, p := range o.Parts {
				owned[p.ID] = struct{}{}
			}
			return true, ctx.Err()
		})
		if err != nil {
			return err
		}
		return t.parts.Scan(t.tx, state.Range{}, func(_ string, p *part) (bool, error) {
			owned[p.Blob.ID] = struct{}{}
			return true, ctx.Err()
		})
	})
	if err != nil {
		return fmt.Errorf("s3: sweep: %w", err)
	}
	removed, err := s.blobs.Sweep(func(id blob.ID) bool { _, ok := owned[id]; return ok })
	if err != nil {
		return fmt.Errorf("s3: sweep: %w", err)
	}
	if removed > 0 {
		s.log.Info("s3: removed what unfinished uploads had left", "blobs", removed)
	}
	return nil
}
