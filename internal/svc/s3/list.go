package s3

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/musher/musher/internal/awsapi"
)

// maxListed is the most items that one page of any listing holds.
const maxListed = 1000

// query is a listing as S3 defines it: the keys with a prefix, those with the
// delimiter behind the prefix rolled up to one entry each, behind a marker.
type query struct {
	prefix    string
	delimiter string
	after     string // a key or a rolled-up prefix; all up to and under it is skipped
	max       int
}

// entry is one item of a page: an object, or a prefix that stands for many.
type entry struct {
	key    string
	object *object // nil for a common prefix
}

// page is the answer to a query, in byte order.
type page struct {
	entries   []entry
	truncated bool
}

// last is where the next page continues.
func (p page) last() string {
	if len(p.entries) == 0 {
		return ""
	}
	return p.entries[len(p.entries)-1].key
}

// source visits the keys with a prefix that are >= from, in byte order, until
// visit returns false.
type source func(prefix, from string, visit func(key string, o *object) bool) error

// list answers a query. Where many keys share a common prefix it jumps over
// them, so the cost depends on the length of the page and not on what lies
// under the prefixes.
func list(keys source, q query) (page, error) {
	var p page
	if q.max <= 0 {
		return p, nil
	}
	from, done := q.start()
	for !done {
		jump := ""
		err := keys(q.prefix, from, func(key string, o *object) bool {
			common := commonPrefix(key, q.prefix, q.delimiter)
			if common != "" && common == p.last() {
				jump = successor(common)
				return false
			}
			if len(p.entries) == q.max {
				p.truncated = true
				return false
			}
			if common != "" {
				p.entries = append(p.entries, entry{key: common})
			} else {
				p.entries = append(p.entries, entry{key: key, object: o})
			}
			return true
		})
		if err != nil {
			return page{}, err
		}
		from, done = jump, jump == ""
	}
	return p, nil
}

// start returns the first key that may be listed; done says that there is
// none.
func (q query) start() (from string, done bool) {
	if q.after == "" {
		return "", false
	}
	if common := commonPrefix(q.after, q.prefix, q.delimiter); common != "" {
		from = successor(common)
		return from, from == ""
	}
	return q.after + "\x00", false
}

// commonPrefix returns the part of key up to and including the first delimiter
// behind the prefix, or nothing.
func commonPrefix(key, prefix, delimiter string) string {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok || delimiter == "" {
		return ""
	}
	i := strings.Index(rest, delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(prefix)+i+len(delimiter)]
}

// successor returns the first string behind all strings that start with s, or
// nothing where there is none.
func successor(s string) string {
	b := []byte(s)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

// spelling turns a query's encoding into that of keys in listings. A space
// becomes %20, which every decoder understands, whether or not it takes a plus
// for one.
var spelling = strings.NewReplacer("%2F", "/", "+", "%20")

// urlEncoder returns how keys are written in a listing.
func urlEncoder(encodingType *string) func(string) string {
	if value(encodingType) != "url" {
		return func(s string) string { return s }
	}
	return func(s string) string { return spelling.Replace(url.QueryEscape(s)) }
}

// pageSize validates max-keys and its kin.
func pageSize(name string, asked *int64) (int, error) {
	if asked == nil {
		return maxListed, nil
	}
	if *asked < 0 {
		return 0, invalidArgument(name, "Argument %s must be an integer between 0 and 2147483647", name)
	}
	return int(min(*asked, maxListed)), nil
}

// Continuation tokens are opaque to clients; a version digit lets their
// content change one day.

func token(after string) *string {
	return new(base64.RawURLEncoding.EncodeToString([]byte("1" + after)))
}

func parseToken(token string) (after string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) == 0 || raw[0] != '1' {
		return "", invalidArgument("continuation-token", "The continuation token provided is incorrect")
	}
	return string(raw[1:]), nil
}

func (s *Service) listObjects(ctx context.Context, in *ListObjectsInput) (*ListObjectsOutput, error) {
	limit, err := pageSize("max-keys", in.MaxKeys)
	if err != nil {
		return nil, err
	}
	q := query{prefix: value(in.Prefix), delimiter: value(in.Delimiter), after: value(in.Marker), max: limit}
	p, err := s.listBucket(ctx, in.Bucket, in.ExpectedBucketOwner, q)
	if err != nil {
		return nil, err
	}
	encode := urlEncoder(in.EncodingType)
	out := &ListObjectsOutput{
		Name: &in.Bucket, Prefix: new(encode(q.prefix)), Marker: new(encode(q.after)), MaxKeys: new(int64(limit)),
		Delimiter: encoded(in.Delimiter, encode), EncodingType: in.EncodingType, IsTruncated: &p.truncated,
	}
	out.Contents, out.CommonPrefixes = render(p, encode, ownerOf(ctx))
	// The real service names the next marker only with a delimiter; without
	// one the last key is it.
	if p.truncated && q.delimiter != "" {
		out.NextMarker = new(encode(p.last()))
	}
	return out, nil
}

func (s *Service) listObjectsV2(ctx context.Context, in *ListObjectsV2Input) (*ListObjectsV2Output, error) {
	limit, err := pageSize("max-keys", in.MaxKeys)
	if err != nil {
		return nil, err
	}
	q := query{prefix: value(in.Prefix), delimiter: value(in.Delimiter), after: value(in.StartAfter), max: limit}
	if value(in.ContinuationToken) != "" {
		if q.after, err = parseToken(*in.ContinuationToken); err != nil {
			return nil, err
		}
	}
	p, err := s.listBucket(ctx, in.Bucket, in.ExpectedBucketOwner, q)
	if err != nil {
		return nil, err
	}
	encode := urlEncoder(in.EncodingType)
	out := &ListObjectsV2Output{
		Name: &in.Bucket, Prefix: new(encode(q.prefix)), MaxKeys: new(int64(limit)), KeyCount: new(int64(len(p.entries))),
		Delimiter: encoded(in.Delimiter, encode), StartAfter: encoded(in.StartAfter, encode), EncodingType: in.EncodingType,
		ContinuationToken: in.ContinuationToken, IsTruncated: &p.truncated,
	}
	var owner *Owner
	if value(in.FetchOwner) {
		owner = ownerOf(ctx)
	}
	out.Contents, out.CommonPrefixes = render(p, encode, owner)
	if p.truncated {
		out.NextContinuationToken = token(p.last())
	}
	return out, nil
}

func (s *Service) listBucket(ctx context.Context, bucket string, owner *string, q query) (p page, err error) {
	err = s.view(ctx, func(tx *tables) error {
		if _, err := tx.bucket(bucket, owner); err != nil {
			return err
		}
		p, err = list(tx.keys(bucket), q)
		return err
	})
	return p, err
}

func render(p page, encode func(string) string, owner *Owner) (contents []*Object, prefixes []*CommonPrefix) {
	for _, e := range p.entries {
		if e.object == nil {
			prefixes = append(prefixes, &CommonPrefix{Prefix: new(encode(e.key))})
			continue
		}
		o := &Object{
			Key: new(encode(e.key)), LastModified: &e.object.Modified, ETag: new(quoted(e.object.ETag)),
			Size: new(e.object.Size), StorageClass: new(e.object.storageClass()), Owner: owner,
		}
		if e.object.SumAlgorithm != "" {
			o.ChecksumAlgorithm = []string{string(e.object.SumAlgorithm)}
			o.ChecksumType = new(e.object.SumType)
		}
		contents = append(contents, o)
	}
	return contents, prefixes
}

// encoded repeats a member of the request in the answer, if it says anything.
func encoded(s *string, encode func(string) string) *string {
	if value(s) == "" {
		return nil
	}
	return new(encode(*s))
}

// ownerOf describes the account, which owns everything in it.
func ownerOf(ctx context.Context) *Owner {
	account := awsapi.RequestFrom(ctx).Account
	return &Owner{ID: new(canonicalID(account)), DisplayName: new(account)}
}
