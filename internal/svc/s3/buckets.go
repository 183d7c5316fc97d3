package s3

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// homeRegion is the region that S3 treats in a special way: it may be named by
// naming none, and only from it can buckets of other regions be made.
const homeRegion = "us-east-1"

func (s *Service) createBucket(ctx context.Context, in *CreateBucketInput) (*CreateBucketOutput, error) {
	if !validBucketName(in.Bucket) {
		return nil, badRequest("InvalidBucketName", "The specified bucket is not valid.").With("BucketName", in.Bucket)
	}
	if err := refuseBucketFeatures(in); err != nil {
		return nil, err
	}
	r := awsapi.RequestFrom(ctx)
	region, err := bucketRegion(r.Region, in.CreateBucketConfiguration)
	if err != nil {
		return nil, err
	}
	row := &bucket{Account: r.Account, Region: region, Created: now()}
	err = s.update(ctx, func(t *tables) error {
		err := t.buckets.Insert(t.tx, in.Bucket, row)
		if errors.Is(err, state.ErrExists) {
			return t.existingBucket(in.Bucket, region)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &CreateBucketOutput{Location: new("/" + in.Bucket), BucketArn: new(bucketARN(in.Bucket))}, nil
}

// existingBucket decides about making a bucket that is there: us-east-1 alone
// takes it for success, which old tools rely on.
func (t *tables) existingBucket(name, region string) error {
	old, err := t.buckets.Get(t.tx, name)
	if err != nil {
		return err
	}
	if region == homeRegion && old.Region == homeRegion {
		return nil
	}
	return awsapi.Errorf("BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.").
		WithStatus(http.StatusConflict).With("BucketName", name)
}

func refuseBucketFeatures(in *CreateBucketInput) error {
	if value(in.ObjectLockEnabledForBucket) {
		return notImplemented("object lock")
	}
	if o := value(in.ObjectOwnership); o != "" && o != "BucketOwnerEnforced" {
		return notImplemented("object ownership " + o)
	}
	if acl := value(in.ACL); acl != "" && acl != "private" || anySet(in.GrantFullControl, in.GrantRead, in.GrantReadACP, in.GrantWrite, in.GrantWriteACP) {
		return badRequest("InvalidBucketAclWithObjectOwnership", "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting")
	}
	if c := in.CreateBucketConfiguration; c != nil {
		switch {
		case c.Location != nil || c.Bucket != nil:
			return notImplemented("directory buckets")
		case len(c.Tags) > 0:
			return notImplemented("bucket tags")
		}
	}
	return nil
}

// bucketRegion returns the region that a bucket is made in, from the region
// that the request was signed for and the constraint in its body.
func bucketRegion(signed string, c *CreateBucketConfiguration) (string, error) {
	signed = cmp.Or(signed, homeRegion)
	constraint := ""
	if c != nil {
		constraint = value(c.LocationConstraint)
	}
	if constraint == "EU" {
		constraint = "eu-west-1"
	}
	switch {
	case constraint == homeRegion:
		return "", badRequest("InvalidLocationConstraint", "The specified location-constraint is not valid").With("LocationConstraint", constraint)
	case signed == homeRegion:
		return cmp.Or(constraint, homeRegion), nil
	case constraint == signed:
		return signed, nil
	}
	return "", badRequest("IllegalLocationConstraintException",
		"The %s location constraint is incompatible for the region specific endpoint this request was sent to.", cmp.Or(constraint, "unspecified"))
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// validBucketName applies the naming rules of general purpose buckets.
func validBucketName(name string) bool {
	if !bucketName.MatchString(name) || strings.Contains(name, "..") || net.ParseIP(name) != nil {
		return false
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	return true
}

// getBucket reads a bucket's row.
func (s *Service) getBucket(ctx context.Context, name string, owner *string) (b *bucket, err error) {
	err = s.view(ctx, func(t *tables) error {
		b, err = t.bucket(name, owner)
		return err
	})
	return b, err
}

func (s *Service) headBucket(ctx context.Context, in *HeadBucketInput) (*HeadBucketOutput, error) {
	b, err := s.getBucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	return &HeadBucketOutput{BucketRegion: &b.Region, BucketArn: new(bucketARN(in.Bucket)), AccessPointAlias: new(false)}, nil
}

func (s *Service) getBucketLocation(ctx context.Context, in *GetBucketLocationInput) (*GetBucketLocationOutput, error) {
	b, err := s.getBucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	if b.Region == homeRegion { // it has no constraint
		return &GetBucketLocationOutput{}, nil
	}
	return &GetBucketLocationOutput{LocationConstraint: &b.Region}, nil
}

// getBucketVersioning answers as for a bucket that never had versions.
func (s *Service) getBucketVersioning(ctx context.Context, in *GetBucketVersioningInput) (*GetBucketVersioningOutput, error) {
	_, err := s.getBucket(ctx, in.Bucket, in.ExpectedBucketOwner)
	return &GetBucketVersioningOutput{}, err
}

func (s *Service) listBuckets(ctx context.Context, in *ListBucketsInput) (*ListBucketsOutput, error) {
	r := state.Range{Prefix: value(in.Prefix)}
	if in.ContinuationToken != nil {
		after, err := parseToken(*in.ContinuationToken)
		if err != nil {
			return nil, err
		}
		r.After = after
	}
	limit := 10_000
	if in.MaxBuckets != nil {
		limit = int(*in.MaxBuckets)
	}
	out := &ListBucketsOutput{Buckets: []*Bucket{}, Owner: ownerOf(ctx), Prefix: in.Prefix}
	err := s.view(ctx, func(t *tables) error {
		return t.buckets.Scan(t.tx, r, func(name string, b *bucket) (bool, error) {
			if in.BucketRegion != nil && *in.BucketRegion != b.Region {
				return true, nil
			}
			if len(out.Buckets) == limit {
				out.ContinuationToken = token(*out.Buckets[limit-1].Name)
				return false, nil
			}
			out.Buckets = append(out.Buckets, &Bucket{Name: &name, CreationDate: &b.Created, BucketRegion: &b.Region, BucketArn: new(bucketARN(name))})
			return true, nil
		})
	})
	return out, err
}

// deleteBucket deletes an empty bucket; multipart uploads that were never
// completed go with it.
func (s *Service) deleteBucket(ctx context.Context, in *DeleteBucketInput) (*DeleteBucketOutput, error) {
	err := s.update(ctx, func(t *tables) error {
		if _, err := t.bucket(in.Bucket, in.ExpectedBucketOwner); err != nil {
			return err
		}
		if err := t.requireEmpty(in.Bucket); err != nil {
			return err
		}
		if err := t.abortUploads(in.Bucket); err != nil {
			return err
		}
		return t.buckets.Delete(t.tx, in.Bucket)
	})
	return nil, err
}

func (t *tables) requireEmpty(bucket string) error {
	p, err := list(t.keys(bucket), query{max: 1})
	if err == nil && len(p.entries) > 0 {
		err = awsapi.Errorf("BucketNotEmpty", "The bucket you tried to delete is not empty").
			WithStatus(http.StatusConflict).With("BucketName", bucket)
	}
	return err
}

// canonicalID is the account's ID in owners: stable, and of the usual form.
func canonicalID(account string) string {
	sum := sha256.Sum256([]byte("canonical user of " + account))
	return hex.EncodeToString(sum[:])
}
