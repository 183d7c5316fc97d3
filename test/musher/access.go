package musher

import (
	"errors"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// Region is what the tests' clients name.
const Region = "eu-central-1"

// Account is the account of the servers.
const Account = "123456789012"

// Access is where a server is, and who talks to it.
type Access struct{ Endpoint, KeyID, Secret, Token string }

// As is the same server seen by somebody else.
func (a Access) As(keyID, secret, token string) Access {
	return Access{a.Endpoint, keyID, secret, token}
}

// Config makes clients of aws-sdk-go-v2 as their users would, but for the
// retries: tests want to see the first answer.
func (a Access) Config() aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: &a.Endpoint, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(a.KeyID, a.Secret, a.Token),
	}
}

// S3 is a client for buckets; the path names them.
func (a Access) S3() *s3.Client {
	return s3.NewFromConfig(a.Config(), func(o *s3.Options) { o.UsePathStyle = true })
}

// IAM is a client for users and roles.
func (a Access) IAM() *iam.Client { return iam.NewFromConfig(a.Config()) }

// STS is a client for sessions.
func (a Access) STS() *sts.Client { return sts.NewFromConfig(a.Config()) }

// SageMaker is a client for jobs, models and endpoints.
func (a Access) SageMaker() *sagemaker.Client { return sagemaker.NewFromConfig(a.Config()) }

// Runtime is a client for predictions.
func (a Access) Runtime() *sagemakerruntime.Client { return sagemakerruntime.NewFromConfig(a.Config()) }

// Env is this process's environment, pointed at the server as `musher env`
// does it, for programs that a test starts.
func (a Access) Env() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "BOTO_") {
			env = append(env, v)
		}
	}
	env = append(env,
		"AWS_ENDPOINT_URL="+a.Endpoint, "AWS_ACCESS_KEY_ID="+a.KeyID, "AWS_SECRET_ACCESS_KEY="+a.Secret,
		"AWS_REGION="+Region, "AWS_DEFAULT_REGION="+Region, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=")
	if a.Token != "" {
		env = append(env, "AWS_SESSION_TOKEN="+a.Token)
	}
	return env
}

// Code is the error code that a client sees; empty for no error, and the whole
// text where the error is not a service's.
func Code(err error) string {
	var api smithy.APIError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &api):
		return api.ErrorCode()
	}
	return err.Error()
}

// Message is the text beside the code.
func Message(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorMessage()
	}
	return ""
}
