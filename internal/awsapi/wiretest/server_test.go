package wiretest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/iam"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/smruntime"
	"github.com/musher/musher/internal/svc/sts"
)

const (
	rootKey    = "AKIAIOSFODNN7EXAMPLE"
	rootSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	deniedKey  = "AKIADENIEDDENIEDDENI"
	account    = "123456789012"
)

// keys is an Authenticator that knows a root key, a user who may do nothing,
// and a session that is over.
type keys struct{}

func (keys) Credentials(_ context.Context, id, token string) (string, *awsapi.Caller, error) {
	switch {
	case id == rootKey && token == "":
		return rootSecret, &awsapi.Caller{Kind: awsapi.Root, Account: account, AccessKeyID: id, ARN: "arn:aws:iam::" + account + ":root"}, nil
	case id == deniedKey:
		return "denied", &awsapi.Caller{Kind: awsapi.User, Account: account, AccessKeyID: id, ARN: "arn:aws:iam::" + account + ":user/denied"}, nil
	case strings.HasPrefix(id, "ASIA"):
		return "", nil, awsapi.Errorf("ExpiredToken", "The security token included in the request is expired")
	}
	return "", nil, awsapi.Errorf("InvalidClientTokenId", "The security token included in the request is invalid.")
}

type rules struct{}

func (rules) Authorize(_ context.Context, c *awsapi.Caller, ps []awsapi.Permission) error {
	if c.Kind == awsapi.Root {
		return nil
	}
	p := ps[0]
	return awsapi.Errorf("AccessDenied", "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", c.ARN, p.Action, p.Resource, p.Action)
}

// world is the state behind the test's handlers.
type world struct {
	mu      sync.Mutex
	objects map[string]*object
	parts   map[int64][]byte
	jobs    map[string]*sagemaker.CreateTrainingJobInput
}

type object struct {
	data     []byte
	kind     string
	encoding *string
	meta     map[string]string
	sums     map[string]string
	tags     []*s3.Tag
}

func newServer(t testing.TB) (*httptest.Server, *awsapi.Gateway) {
	t.Helper()
	w := &world{objects: map[string]*object{}, parts: map[int64][]byte{}, jobs: map[string]*sagemaker.CreateTrainingJobInput{}}
	var log io.Writer = io.Discard
	if testing.Verbose() {
		log = t.Output()
	}
	g := awsapi.NewGateway(awsapi.Config{
		Account: account, Authenticator: keys{}, Authorizer: rules{},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}, w.s3(), w.iam(), w.sts(), w.sagemaker(), w.runtime())
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return server, g
}

func (w *world) s3() *awsapi.Service {
	s := awsapi.NewService(s3.Model)
	awsapi.Handle(s, "PutObject", w.putObject)
	awsapi.Handle(s, "GetObject", w.getObject)
	awsapi.Handle(s, "HeadObject", w.headObject)
	awsapi.Handle(s, "DeleteObjects", w.deleteObjects)
	awsapi.Handle(s, "ListObjectsV2", w.listObjects)
	awsapi.Handle(s, "CopyObject", w.copyObject)
	awsapi.Handle(s, "CreateMultipartUpload", w.createUpload)
	awsapi.Handle(s, "UploadPart", w.uploadPart)
	awsapi.Handle(s, "CompleteMultipartUpload", w.completeUpload)
	awsapi.Handle(s, "PutObjectTagging", w.putTagging)
	awsapi.Handle(s, "GetObjectTagging", w.getTagging)
	awsapi.Handle(s, "GetBucketLocation", func(ctx context.Context, in *s3.GetBucketLocationInput) (*s3.GetBucketLocationOutput, error) {
		region := awsapi.RequestFrom(ctx).Region
		return &s3.GetBucketLocationOutput{LocationConstraint: &region}, nil
	})
	awsapi.Handle(s, "CreateBucket", func(ctx context.Context, in *s3.CreateBucketInput) (*s3.CreateBucketOutput, error) {
		switch in.Bucket {
		case "panics":
			panic("the handler is broken")
		case "fails":
			return nil, fmt.Errorf("the disk is on fire")
		}
		location := "/" + in.Bucket
		return &s3.CreateBucketOutput{Location: &location}, nil
	})
	awsapi.Handle(s, "ListBuckets", func(ctx context.Context, in *s3.ListBucketsInput) (*s3.ListBucketsOutput, error) {
		return &s3.ListBucketsOutput{Buckets: []*s3.Bucket{{Name: ptr("one"), CreationDate: ptr(day)}}}, nil
	})
	return s
}

var day = time.Date(2026, 11, 22, 1, 2, 3, 456e6, time.UTC)

func ptr[T any](v T) *T { return &v }

func (w *world) find(bucket, key string) (*object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.objects[bucket+"/"+key]
	if o == nil {
		return nil, awsapi.Errorf("NoSuchKey", "The specified key does not exist.").With("Key", key)
	}
	return o, nil
}

func etag(b []byte) *string {
	sum := md5.Sum(b)
	return ptr(`"` + hex.EncodeToString(sum[:]) + `"`)
}

func (w *world) putObject(ctx context.Context, in *s3.PutObjectInput) (*s3.PutObjectOutput, error) {
	b, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	o := &object{data: b, meta: in.Metadata, encoding: in.ContentEncoding, sums: awsapi.RequestFrom(ctx).Checksums()}
	if in.ContentType != nil {
		o.kind = *in.ContentType
	}
	if in.ContentLength == nil || *in.ContentLength != int64(len(b)) {
		return nil, fmt.Errorf("content length is %v, not %d", in.ContentLength, len(b))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[in.Bucket+"/"+in.Key] = o
	out := &s3.PutObjectOutput{ETag: etag(b)}
	if sum, ok := o.sums["crc32"]; ok {
		out.ChecksumCRC32 = &sum
	}
	return out, nil
}

func (w *world) getObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	o, err := w.find(in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	data := o.data
	out := &s3.GetObjectOutput{
		ETag: etag(o.data), LastModified: ptr(day), ContentType: &o.kind, Metadata: o.meta, ContentEncoding: o.encoding,
	}
	if in.Range != nil {
		from, to := 0, len(data)-1
		_, _ = fmt.Sscanf(*in.Range, "bytes=%d-%d", &from, &to) // the end may be open
		out.ContentRange = ptr(fmt.Sprintf("bytes %d-%d/%d", from, to, len(data)))
		data = data[from : to+1]
	}
	if in.ResponseContentType != nil {
		out.ContentType = in.ResponseContentType
	}
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(data)), ptr(int64(len(data)))
	return out, nil
}

func (w *world) headObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	o, err := w.find(in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	return &s3.HeadObjectOutput{ETag: etag(o.data), ContentLength: ptr(int64(len(o.data))), Metadata: o.meta, LastModified: ptr(day)}, nil
}

func (w *world) deleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (*s3.DeleteObjectsOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := &s3.DeleteObjectsOutput{}
	for _, o := range in.Delete.Objects {
		delete(w.objects, in.Bucket+"/"+o.Key)
		out.Deleted = append(out.Deleted, &s3.DeletedObject{Key: &o.Key})
	}
	return out, nil
}

func (w *world) listObjects(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := &s3.ListObjectsV2Output{Name: &in.Bucket, IsTruncated: ptr(false), Prefix: in.Prefix, EncodingType: in.EncodingType}
	for name, o := range w.objects {
		bucket, key, _ := strings.Cut(name, "/")
		if bucket != in.Bucket || in.Prefix != nil && !strings.HasPrefix(key, *in.Prefix) {
			continue
		}
		if in.EncodingType != nil {
			key = awsapi.URIEncode(key, true)
		}
		out.Contents = append(out.Contents, &s3.Object{Key: &key, Size: ptr(int64(len(o.data))), ETag: etag(o.data), LastModified: ptr(day)})
	}
	sort.Slice(out.Contents, func(i, j int) bool { return *out.Contents[i].Key < *out.Contents[j].Key })
	out.KeyCount = ptr(int64(len(out.Contents)))
	return out, nil
}

func (w *world) copyObject(ctx context.Context, in *s3.CopyObjectInput) (*s3.CopyObjectOutput, error) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(in.CopySource, "/"), "/")
	o, err := w.find(bucket, key)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.objects[in.Bucket+"/"+in.Key] = o
	return &s3.CopyObjectOutput{CopyObjectResult: &s3.CopyObjectResult{ETag: etag(o.data), LastModified: ptr(day)}}, nil
}

func (w *world) createUpload(ctx context.Context, in *s3.CreateMultipartUploadInput) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{Bucket: &in.Bucket, Key: &in.Key, UploadId: ptr("upload-1")}, nil
}

func (w *world) uploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	b, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parts[in.PartNumber] = b
	return &s3.UploadPartOutput{ETag: etag(b)}, nil
}

func (w *world) completeUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (*s3.CompleteMultipartUploadOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []byte
	for _, p := range in.MultipartUpload.Parts {
		all = append(all, w.parts[*p.PartNumber]...)
	}
	w.objects[in.Bucket+"/"+in.Key] = &object{data: all}
	return &s3.CompleteMultipartUploadOutput{Bucket: &in.Bucket, Key: &in.Key, ETag: etag(all)}, nil
}

func (w *world) putTagging(ctx context.Context, in *s3.PutObjectTaggingInput) (*s3.PutObjectTaggingOutput, error) {
	o, err := w.find(in.Bucket, in.Key)
	if err == nil {
		o.tags = in.Tagging.TagSet
	}
	return nil, err
}

func (w *world) getTagging(ctx context.Context, in *s3.GetObjectTaggingInput) (*s3.GetObjectTaggingOutput, error) {
	o, err := w.find(in.Bucket, in.Key)
	if err != nil {
		return nil, err
	}
	return &s3.GetObjectTaggingOutput{TagSet: o.tags}, nil
}

func (w *world) iam() *awsapi.Service {
	s := awsapi.NewService(iam.Model)
	awsapi.Handle(s, "CreateRole", func(ctx context.Context, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
		if in.RoleName == "taken" {
			return nil, awsapi.Errorf("EntityAlreadyExistsException", "Role with name %s already exists.", in.RoleName)
		}
		return &iam.CreateRoleOutput{Role: &iam.Role{
			Path: "/", RoleName: in.RoleName, RoleId: "AROAEXAMPLEEXAMPLEEX", CreateDate: day,
			Arn: "arn:aws:iam::" + account + ":role/" + in.RoleName, AssumeRolePolicyDocument: &in.AssumeRolePolicyDocument,
			Tags: in.Tags,
		}}, nil
	})
	awsapi.Handle(s, "GetRole", func(ctx context.Context, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
		return nil, awsapi.Errorf("NoSuchEntity", "The role with name %s cannot be found.", in.RoleName)
	})
	awsapi.Handle(s, "ListRoles", func(ctx context.Context, in *iam.ListRolesInput) (*iam.ListRolesOutput, error) {
		return &iam.ListRolesOutput{}, nil
	})
	return s
}

func (w *world) sts() *awsapi.Service {
	s := awsapi.NewService(sts.Model)
	awsapi.Handle(s, "GetCallerIdentity", func(ctx context.Context, in *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
		c := awsapi.RequestFrom(ctx).Caller
		return &sts.GetCallerIdentityOutput{Account: &c.Account, Arn: &c.ARN, UserId: &c.UserID}, nil
	})
	awsapi.Handle(s, "AssumeRole", func(ctx context.Context, in *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
		if in.Policy != nil {
			return nil, awsapi.Errorf("MalformedPolicyDocument", "The policy is not valid: %s", *in.Policy)
		}
		return &sts.AssumeRoleOutput{Credentials: &sts.Credentials{
			AccessKeyId: "ASIAEXAMPLEEXAMPLEEX", SecretAccessKey: "s", SessionToken: "t<&>", Expiration: day,
		}}, nil
	})
	return s
}

func (w *world) sagemaker() *awsapi.Service {
	s := awsapi.NewService(sagemaker.Model)
	awsapi.Handle(s, "CreateTrainingJob", func(ctx context.Context, in *sagemaker.CreateTrainingJobInput) (*sagemaker.CreateTrainingJobOutput, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.jobs[in.TrainingJobName] != nil {
			return nil, awsapi.Errorf("ResourceInUse", "Training job names must be unique within an AWS account and region")
		}
		w.jobs[in.TrainingJobName] = in
		return &sagemaker.CreateTrainingJobOutput{TrainingJobArn: jobARN(in.TrainingJobName)}, nil
	})
	awsapi.Handle(s, "DescribeTrainingJob", w.describeJob)
	awsapi.Handle(s, "ListTrainingJobs", func(ctx context.Context, in *sagemaker.ListTrainingJobsInput) (*sagemaker.ListTrainingJobsOutput, error) {
		return &sagemaker.ListTrainingJobsOutput{}, nil
	})
	awsapi.Handle(s, "DeleteModel", func(ctx context.Context, in *sagemaker.DeleteModelInput) (*sagemaker.DeleteModelOutput, error) {
		return nil, nil
	})
	return s
}

func jobARN(name string) string {
	return "arn:aws:sagemaker:us-east-1:" + account + ":training-job/" + name
}

func (w *world) describeJob(ctx context.Context, in *sagemaker.DescribeTrainingJobInput) (*sagemaker.DescribeTrainingJobOutput, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	job := w.jobs[in.TrainingJobName]
	if job == nil {
		return nil, awsapi.Errorf("ResourceNotFound", "Requested resource not found.")
	}
	return &sagemaker.DescribeTrainingJobOutput{
		TrainingJobName: job.TrainingJobName, TrainingJobArn: jobARN(job.TrainingJobName),
		TrainingJobStatus: "Completed", SecondaryStatus: "Completed", CreationTime: day,
		HyperParameters: job.HyperParameters, StoppingCondition: job.StoppingCondition, ResourceConfig: job.ResourceConfig,
		AlgorithmSpecification: job.AlgorithmSpecification, ModelArtifacts: &sagemaker.ModelArtifacts{S3ModelArtifacts: "s3://b/k"},
		FinalMetricDataList: []*sagemaker.MetricData{{MetricName: ptr("loss"), Value: ptr(0.1234), Timestamp: ptr(day)}},
	}, nil
}

func (w *world) runtime() *awsapi.Service {
	s := awsapi.NewService(smruntime.Model)
	awsapi.Handle(s, "InvokeEndpoint", func(ctx context.Context, in *smruntime.InvokeEndpointInput) (*smruntime.InvokeEndpointOutput, error) {
		switch in.EndpointName {
		case "broken":
			return nil, awsapi.Errorf("ModelError", "Received client error (400) from primary").
				With("OriginalStatusCode", 400).With("OriginalMessage", "bad \"image\"").With("LogStreamArn", "arn:aws:logs:x")
		case "missing":
			return nil, awsapi.Errorf("ValidationError", "Endpoint missing of account %s not found.", account)
		}
		b := slices.Clone(in.Body)
		slices.Reverse(b)
		return &smruntime.InvokeEndpointOutput{Body: b, ContentType: in.ContentType, CustomAttributes: in.CustomAttributes, InvokedProductionVariant: ptr("AllTraffic")}, nil
	})
	return s
}
