package sagemaker

import (
	"context"
	"io"
	"maps"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
)

// Principal is the service that execution roles must trust.
const Principal = "sagemaker.amazonaws.com"

// Roles lets a family act as an execution role.
type Roles interface {
	// Session assumes the role as SageMaker does. It fails with an error that
	// a user can read where the role is missing or does not trust Principal.
	Session(ctx context.Context, roleARN, name string) (*awsapi.Caller, error)
	// Environment returns the variables by which a piece of work, and nothing
	// else, gets the role's temporary credentials while it runs. The AWS
	// clients read them, and renew the credentials by themselves.
	Environment(workID, roleARN, name string) map[string]string
}

// Provision is what a piece of work needs of the machine before it can start:
// the variables that tell where it is, and what of it lies outside of the
// folders that work sees anyway.
type Provision struct {
	Env    map[string]string
	Mounts []runner.Mount
}

// WorkEnvironment starts the environment of a piece of work: what every
// program expects, and what the request asks for, without keys and profiles.
// Those would come before the role's for every client.
func WorkEnvironment(dir string, asked map[string]string) map[string]string {
	env := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": dir, "LANG": "C.UTF-8",
	}
	maps.Copy(env, asked)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"} {
		delete(env, name)
	}
	return env
}

// Images finds what runs here for a container image.
type Images interface {
	// Resolve fails with an error that tells how to add a runtime for it.
	Resolve(image string) (runtimes.Runtime, error)
}

// Logs takes what work prints to CloudWatch Logs.
type Logs interface {
	// Follow takes the lines of a file, as it grows, into a log stream; both
	// are made where they are missing. It goes on after a restart of the
	// server and is harmless to repeat. A file that is not there yet is waited for.
	Follow(ctx context.Context, group, stream, path string) error
	// Finish takes what is left of the stream's file and stops following it.
	// When it returns, GetLogEvents has all of it.
	Finish(ctx context.Context, group, stream string) error
}

// Datum is one measurement for CloudWatch.
type Datum struct {
	Name       string
	Dimensions map[string]string
	Value      float64
	Count      float64 // how often it was measured; 0: once
	Time       time.Time
	Unit       string // as CloudWatch names them; empty: None
	HighRes    bool   // kept by the second, not by the minute
}

// Metrics takes measurements to CloudWatch.
type Metrics interface {
	Put(ctx context.Context, namespace string, data ...Datum) error
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
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, as *awsapi.Caller, bucket, key string) error
}
