package wiretest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	smtypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	rttypes "github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func goConfig(t *testing.T, server *httptest.Server) aws.Config {
	t.Helper()
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(),
		Credentials:      credentials.NewStaticCredentialsProvider(rootKey, rootSecret, ""),
		RetryMaxAttempts: 1,
	}
}

func TestGoSDK(t *testing.T) {
	for _, tls := range []bool{false, true} {
		name := map[bool]string{false: "http", true: "https"}[tls]
		t.Run(name, func(t *testing.T) {
			server, gateway := newServer(t)
			if tls {
				server = httptest.NewTLSServer(gateway)
				t.Cleanup(server.Close)
			}
			cfg := goConfig(t, server)
			t.Run("s3", func(t *testing.T) { goS3(t, cfg) })
			t.Run("errors", func(t *testing.T) { goErrors(t, cfg) })
		})
	}
}

// goS3: over https the SDK sends aws-chunked bodies with trailers.
func goS3(t *testing.T, cfg aws.Config) {
	ctx := t.Context()
	c := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	big := make([]byte, 1<<20)
	_, _ = rand.Read(big)
	for _, key := range []string{"plain", "a//b", "ü +%2F", "conf/x", "dot/../x"} {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b"), Key: &key, Body: bytes.NewReader(big), Metadata: map[string]string{"breed": "pug"}})
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b"), Key: &key})
		if err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		b, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(b, big) || got.Metadata["breed"] != "pug" {
			t.Errorf("%q: %d bytes, %v, %v", key, len(b), got.Metadata, err)
		}
	}
	listed, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("b")})
	if err != nil || len(listed.Contents) != 5 {
		t.Fatalf("%v, %v", listed, err)
	}
	deleted, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("b"), Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{{Key: aws.String("a//b")}}}})
	if err != nil || len(deleted.Deleted) != 1 {
		t.Fatalf("%v, %v", deleted, err)
	}
	location, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("b")})
	if err != nil || location.LocationConstraint != "eu-west-1" {
		t.Errorf("%v, %v", location, err)
	}
	if _, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: aws.String("b"), Key: aws.String("plain"), Tagging: &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}}); err != nil {
		t.Error(err)
	}
	put, err := s3.NewPresignClient(c).PresignPutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("pre"), Metadata: map[string]string{"m": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(put.Method, put.URL, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range put.SignedHeader {
		r.Header[k] = v
	}
	r.ContentLength = 1
	client := cfg.HTTPClient.(*http.Client)
	if a, err := client.Do(r); err != nil || a.StatusCode != 200 {
		t.Fatalf("presigned put: %v %v", a, err)
	}
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("b"), Key: aws.String("pre")})
	if err != nil || head.Metadata["m"] != "v" {
		t.Errorf("%v, %v", head, err)
	}
}

func goErrors(t *testing.T, cfg aws.Config) {
	ctx := t.Context()
	c := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("none")})
	if e := new(s3types.NoSuchKey); !errors.As(err, &e) {
		t.Errorf("get: %v", err)
	}
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("b"), Key: aws.String("none")})
	if e := new(s3types.NotFound); !errors.As(err, &e) {
		t.Errorf("head: %v", err)
	}
	_, err = sagemaker.NewFromConfig(cfg).DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String("none")})
	if e := new(smtypes.ResourceNotFound); !errors.As(err, &e) || e.ErrorMessage() != "Requested resource not found." {
		t.Errorf("describe: %v", err)
	}
	_, err = iam.NewFromConfig(cfg).GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("none")})
	if e := new(iamtypes.NoSuchEntityException); !errors.As(err, &e) || !strings.Contains(e.ErrorMessage(), "none") {
		t.Errorf("get role: %v", err)
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *who.Account != account {
		t.Errorf("%v, %v", who, err)
	}
	rt := sagemakerruntime.NewFromConfig(cfg)
	_, err = rt.InvokeEndpoint(ctx, &sagemakerruntime.InvokeEndpointInput{EndpointName: aws.String("broken"), Body: []byte("x")})
	if e := new(rttypes.ModelError); !errors.As(err, &e) || *e.OriginalStatusCode != 400 {
		t.Errorf("invoke: %v", err)
	}
	out, err := rt.InvokeEndpoint(ctx, &sagemakerruntime.InvokeEndpointInput{EndpointName: aws.String("dogs"), Body: []byte("abc")})
	if err != nil || string(out.Body) != "cba" {
		t.Errorf("%v, %v", out, err)
	}
}
