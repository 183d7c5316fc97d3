package sagemaker

import (
	"context"
	"io"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// Principal is the service that execution roles must trust.
const Principal = "sagemaker.amazonaws.com"

// Session is an execution role at work: whom a call comes from, and the keys
// that a process gets.
type Session struct {
	Caller          *awsapi.Caller
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Expires         time.Time
}

// Environment is the session as the AWS clients read it.
func (s *Session) Environment() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID":     s.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": s.SecretAccessKey,
		"AWS_SESSION_TOKEN":     s.SessionToken,
	}
}

// Roles lets a family act as an execution role.
type Roles interface {
	// Session assumes the role as SageMaker does. It fails with an error that
	// a user can read where the role is missing or does not trust Principal.
	Session(ctx context.Context, roleARN, name string, life time.Duration) (*Session, error)
}

// Object is one object of a bucket.
type Object struct {
	Key  string
	ETag string
	Size int64
}

// Objects is S3 as a caller sees it: every method is authorised as the call
// that it stands for, and fails with S3's own *awsapi.Error.
type Objects interface {
	// List visits the objects under a prefix in the order of their keys.
	List(ctx context.Context, as *awsapi.Caller, bucket, prefix string, visit func(Object) error) error
	// Get opens an object.
	Get(ctx context.Context, as *awsapi.Caller, bucket, key string) (io.ReadCloser, int64, error)
	// Head finds an object, or fails as Get would.
	Head(ctx context.Context, as *awsapi.Caller, bucket, key string) (Object, error)
	// Put stores an object of size bytes.
	Put(ctx context.Context, as *awsapi.Caller, bucket, key string, body io.Reader, size int64) error
}
