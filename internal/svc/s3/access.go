package s3

import (
	"context"
	"strconv"

	"github.com/musher/musher/internal/awsapi"
)

// The permissions of each operation, by the service authorization reference.

func bucketARN(bucket string) string      { return "arn:aws:s3:::" + bucket }
func objectARN(bucket, key string) string { return "arn:aws:s3:::" + bucket + "/" + key }

// needs is a rule for operations that need one action on one resource.
func needs[In any](action string, arn func(*In) string) awsapi.Option {
	return awsapi.Access(func(_ *awsapi.Request, in *In) []awsapi.Permission {
		return []awsapi.Permission{{Action: action, Resource: arn(in)}}
	})
}

// listPermission is s3:ListBucket with the keys that policies narrow it by.
func listPermission(bucket string, prefix, delimiter *string, maxKeys *int64) awsapi.Permission {
	p := awsapi.Permission{Action: "s3:ListBucket", Resource: bucketARN(bucket), Context: map[string][]string{}}
	if prefix != nil {
		p.Context["s3:prefix"] = []string{*prefix}
	}
	if delimiter != nil {
		p.Context["s3:delimiter"] = []string{*delimiter}
	}
	if maxKeys != nil {
		p.Context["s3:max-keys"] = []string{strconv.FormatInt(*maxKeys, 10)}
	}
	return p
}

// writePermissions are those of a call that makes an object.
func writePermissions(bucket, key string, tagging, ifMatch *string) []awsapi.Permission {
	all := []awsapi.Permission{{Action: "s3:PutObject", Resource: objectARN(bucket, key)}}
	if value(tagging) != "" {
		all = append(all, awsapi.Permission{Action: "s3:PutObjectTagging", Resource: objectARN(bucket, key)})
	}
	// A conditional write tells something about what is there.
	if ifMatch != nil {
		all = append(all, awsapi.Permission{Action: "s3:GetObject", Resource: objectARN(bucket, key)})
	}
	return all
}

// copyPermissions adds reading the source; one that can't be parsed is left to
// the handler, which refuses it.
func copyPermissions(copySource string, all []awsapi.Permission) []awsapi.Permission {
	if bucket, key, err := parseCopySource(copySource); err == nil {
		all = append(all, awsapi.Permission{Action: "s3:GetObject", Resource: objectARN(bucket, key)})
	}
	return all
}

// may asks for one more decision about the caller of ctx.
func (s *Service) may(ctx context.Context, action, arn string) error {
	return s.authorizer.Authorize(ctx, awsapi.RequestFrom(ctx).Caller, []awsapi.Permission{{Action: action, Resource: arn}})
}

// missing is the error for a key that does not exist: only who may list the
// bucket learns that.
func (s *Service) missing(ctx context.Context, bucket, key string) error {
	if err := s.may(ctx, "s3:ListBucket", bucketARN(bucket)); err != nil {
		return err
	}
	return noSuchKey(key)
}
