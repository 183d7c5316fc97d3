package wiretest

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/svc/iam"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/smruntime"
)

// TestClient drives every protocol with the generated types.
func TestClient(t *testing.T) {
	server, _ := newServer(t)
	ctx := t.Context()
	c := awsclient.New(server.URL, awsapi.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootSecret}, "r", nil)

	put := &s3.PutObjectInput{Bucket: "b", Key: "a//ü", Body: strings.NewReader("hello"), Metadata: map[string]string{"breed": "pug"}, ContentType: ptr("text/plain")}
	if _, err := awsclient.Do[s3.PutObjectOutput](ctx, c, s3.Model, "PutObject", put); err != nil {
		t.Fatal(err)
	}
	get, err := awsclient.Do[s3.GetObjectOutput](ctx, c, s3.Model, "GetObject", &s3.GetObjectInput{Bucket: "b", Key: "a//ü"})
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	if b, err := io.ReadAll(get.Body); err != nil || string(b) != "hello" || get.Metadata["breed"] != "pug" || *get.ContentType != "text/plain" {
		t.Errorf("%q %v %v", b, get, err)
	}
	list, err := awsclient.Do[s3.ListObjectsV2Output](ctx, c, s3.Model, "ListObjectsV2", &s3.ListObjectsV2Input{Bucket: "b"})
	if err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != "a//ü" {
		t.Errorf("%v, %v", list, err)
	}
	region, err := awsclient.Do[s3.GetBucketLocationOutput](ctx, c, s3.Model, "GetBucketLocation", &s3.GetBucketLocationInput{Bucket: "b"})
	if err != nil || *region.LocationConstraint != "r" {
		t.Errorf("%v, %v", region, err)
	}
	del := &s3.DeleteObjectsInput{Bucket: "b", Delete: &s3.Delete{Objects: []*s3.ObjectIdentifier{{Key: "a//ü"}}}}
	if out, err := awsclient.Do[s3.DeleteObjectsOutput](ctx, c, s3.Model, "DeleteObjects", del); err != nil || len(out.Deleted) != 1 {
		t.Errorf("%v, %v", out, err)
	}

	job := &sagemaker.CreateTrainingJobInput{
		TrainingJobName: "j", RoleArn: "arn:aws:iam::123456789012:role/r",
		OutputDataConfig:  &sagemaker.OutputDataConfig{S3OutputPath: "s3://b/o"},
		StoppingCondition: &sagemaker.StoppingCondition{MaxRuntimeInSeconds: ptr(int64(60))},
		HyperParameters:   map[string]string{"epochs": "3"},
	}
	if _, err := awsclient.Do[sagemaker.CreateTrainingJobOutput](ctx, c, sagemaker.Model, "CreateTrainingJob", job); err != nil {
		t.Fatal(err)
	}
	got, err := awsclient.Do[sagemaker.DescribeTrainingJobOutput](ctx, c, sagemaker.Model, "DescribeTrainingJob", &sagemaker.DescribeTrainingJobInput{TrainingJobName: "j"})
	if err != nil || cmp.Diff(got.HyperParameters, job.HyperParameters) != "" || !got.CreationTime.Equal(day) {
		t.Errorf("%v, %v", got, err)
	}
	role, err := awsclient.Do[iam.CreateRoleOutput](ctx, c, iam.Model, "CreateRole", &iam.CreateRoleInput{RoleName: "r", AssumeRolePolicyDocument: "{}", Tags: []*iam.Tag{{Key: "k", Value: "v"}}})
	if err != nil || role.Role.Tags[0].Value != "v" || !role.Role.CreateDate.Equal(day) {
		t.Errorf("%v, %v", role, err)
	}
	out, err := awsclient.Do[smruntime.InvokeEndpointOutput](ctx, c, smruntime.Model, "InvokeEndpoint", &smruntime.InvokeEndpointInput{EndpointName: "e", Body: []byte("abc")})
	if err != nil || string(out.Body) != "cba" {
		t.Errorf("%v, %v", out, err)
	}

	for code, call := range map[string]func() error{
		"NoSuchKey": func() error {
			_, err := awsclient.Do[s3.GetObjectOutput](ctx, c, s3.Model, "GetObject", &s3.GetObjectInput{Bucket: "b", Key: "none"})
			return err
		},
		"NotFound": func() error {
			_, err := awsclient.Do[s3.HeadObjectOutput](ctx, c, s3.Model, "HeadObject", &s3.HeadObjectInput{Bucket: "b", Key: "none"})
			return err
		},
		"ResourceNotFound": func() error {
			_, err := awsclient.Do[sagemaker.DescribeTrainingJobOutput](ctx, c, sagemaker.Model, "DescribeTrainingJob", &sagemaker.DescribeTrainingJobInput{TrainingJobName: "none"})
			return err
		},
		"NoSuchEntity": func() error {
			_, err := awsclient.Do[iam.GetRoleOutput](ctx, c, iam.Model, "GetRole", &iam.GetRoleInput{RoleName: "none"})
			return err
		},
		"ModelError": func() error {
			_, err := awsclient.Do[smruntime.InvokeEndpointOutput](ctx, c, smruntime.Model, "InvokeEndpoint", &smruntime.InvokeEndpointInput{EndpointName: "broken"})
			return err
		},
	} {
		var e *awsapi.Error
		if err := call(); !errors.As(err, &e) || e.Code != code {
			t.Errorf("want %s, got %v", code, err)
		}
	}
}
