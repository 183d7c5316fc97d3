package sagemaker

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/musher/musher/internal/awsapi"
)

// ARN names a resource of this service; kind is "training-job", "endpoint" …
func ARN(r *awsapi.Request, kind, name string) string {
	return fmt.Sprintf("arn:aws:sagemaker:%s:%s:%s/%s", r.Region, r.Account, kind, strings.ToLower(name))
}

// Needs returns the permission for one of this service's operations, on a
// resource by its kind and name.
func Needs(r *awsapi.Request, kind, name string) awsapi.Permission {
	return awsapi.Permission{Action: "sagemaker:" + r.Operation, Resource: ARN(r, kind, name)}
}

// NeedsToPass returns the permission to hand a role to SageMaker.
func NeedsToPass(roleARN string) awsapi.Permission {
	return awsapi.Permission{
		Action: "iam:PassRole", Resource: roleARN,
		Context: map[string][]string{"iam:PassedToService": {Principal}},
	}
}

// SplitS3URI takes s3://bucket/key apart.
func SplitS3URI(uri string) (bucket, key string, err error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return "", "", fmt.Errorf("%q is not an S3 URI (s3://bucket/key)", uri)
	}
	// The key is taken as it was written: url.Parse would unescape it.
	_, rest, _ := strings.Cut(uri, "://")
	bucket, key, _ = strings.Cut(rest, "/")
	return bucket, key, nil
}

// Invalid is the error for input that the service refuses.
func Invalid(format string, args ...any) *awsapi.Error {
	return awsapi.Errorf("ValidationException", format, args...)
}
