package musher

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"golang.org/x/sync/errgroup"
)

// Image is the built-in algorithm.
const Image = "musher/image-classification"

// Lab is a bucket and a role, and the steps of the main job on them.
type Lab struct {
	Access
	Bucket string
	Role   string // its ARN
}

// TrustSageMaker is the trust policy of an execution role.
const TrustSageMaker = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
	"Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}}`

// Lab makes a bucket, and a role that may read and write it.
func (a Access) Lab(tb testing.TB) *Lab {
	tb.Helper()
	lab := &Lab{Access: a, Bucket: "lab"}
	if _, err := a.S3().CreateBucket(context.Background(), &s3.CreateBucketInput{
		Bucket: &lab.Bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: Region},
	}); err != nil {
		tb.Fatal(err)
	}
	lab.Role = lab.NewRole(tb, "trainer", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*",
		"Resource": ["arn:aws:s3:::lab", "arn:aws:s3:::lab/*"]}}`)
	return lab
}

// NewRole makes a role that SageMaker may take, with a policy, and returns its
// ARN.
func (a Access) NewRole(tb testing.TB, name, policy string) string {
	tb.Helper()
	role, err := a.IAM().CreateRole(context.Background(), &iam.CreateRoleInput{
		RoleName: &name, AssumeRolePolicyDocument: aws.String(TrustSageMaker),
	})
	if err != nil {
		tb.Fatal(err)
	}
	if policy != "" {
		_, err = a.IAM().PutRolePolicy(context.Background(), &iam.PutRolePolicyInput{
			RoleName: &name, PolicyName: aws.String("rights"), PolicyDocument: &policy,
		})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return *role.Role.Arn
}

// NewUser makes a user with an access key and a policy, and returns the server
// as that user sees it.
func (a Access) NewUser(tb testing.TB, name, policy string) Access {
	tb.Helper()
	ctx := context.Background()
	if _, err := a.IAM().CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
		tb.Fatal(err)
	}
	if policy != "" {
		_, err := a.IAM().PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("rights"), PolicyDocument: &policy})
		if err != nil {
			tb.Fatal(err)
		}
	}
	key, err := a.IAM().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		tb.Fatal(err)
	}
	return a.As(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
}

// Upload puts files below a prefix of the bucket.
func (l *Lab) Upload(tb testing.TB, prefix string, files map[string][]byte) {
	tb.Helper()
	client := l.S3()
	var group errgroup.Group
	group.SetLimit(8)
	for name, data := range files {
		group.Go(func() error {
			_, err := client.PutObject(context.Background(), &s3.PutObjectInput{
				Bucket: &l.Bucket, Key: aws.String(prefix + name), Body: bytes.NewReader(data),
			})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		tb.Fatal(err)
	}
}

// UploadPictures puts a small set of pictures where Job's channels read them.
func (l *Lab) UploadPictures(tb testing.TB) {
	tb.Helper()
	l.Upload(tb, "data/train/", Pictures(tb, 1, 12))
	l.Upload(tb, "data/validation/", Pictures(tb, 2, 4))
}

// URI names a key of the bucket.
func (l *Lab) URI(key string) string { return "s3://" + l.Bucket + "/" + key }

// Object reads an object.
func (l *Lab) Object(tb testing.TB, key string) []byte {
	tb.Helper()
	out, err := l.S3().GetObject(context.Background(), &s3.GetObjectInput{Bucket: &l.Bucket, Key: &key})
	if err != nil {
		tb.Fatal(err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// Channel is an input of a training job.
func (l *Lab) Channel(name, prefix string) types.Channel {
	return types.Channel{ChannelName: &name, DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{
		S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String(l.URI(prefix)),
	}}}
}

// Job is a request for a small training job on the uploaded pictures.
func (l *Lab) Job(name string, hyperparameters map[string]string) *sagemaker.CreateTrainingJobInput {
	return &sagemaker.CreateTrainingJobInput{
		TrainingJobName: &name, RoleArn: &l.Role, HyperParameters: hyperparameters,
		AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: aws.String(Image), TrainingInputMode: types.TrainingInputModeFile},
		InputDataConfig:        []types.Channel{l.Channel("train", "data/train/"), l.Channel("validation", "data/validation/")},
		OutputDataConfig:       &types.OutputDataConfig{S3OutputPath: aws.String(l.URI("out"))},
		ResourceConfig: &types.ResourceConfig{
			InstanceType: types.TrainingInstanceTypeMlM5Xlarge, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10),
		},
		StoppingCondition: &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(3600)},
	}
}

// Train starts such a job.
func (l *Lab) Train(tb testing.TB, name string, hyperparameters map[string]string) {
	tb.Helper()
	if _, err := l.SageMaker().CreateTrainingJob(context.Background(), l.Job(name, hyperparameters)); err != nil {
		tb.Fatal(err)
	}
}

// TrainingJob describes a job.
func (l *Lab) TrainingJob(tb testing.TB, name string) *sagemaker.DescribeTrainingJobOutput {
	tb.Helper()
	out, err := l.SageMaker().DescribeTrainingJob(context.Background(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: &name})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// AwaitTraining waits until a job has ended.
func (l *Lab) AwaitTraining(tb testing.TB, name string) (job *sagemaker.DescribeTrainingJobOutput) {
	tb.Helper()
	Eventually(tb, fmt.Sprintf("training job %s has ended", name), func() bool {
		job = l.TrainingJob(tb, name)
		s := job.TrainingJobStatus
		return s != types.TrainingJobStatusInProgress && s != types.TrainingJobStatusStopping
	})
	return job
}

// AwaitSecondary waits until a job has got to a secondary status, or past it.
func (l *Lab) AwaitSecondary(tb testing.TB, name string, status types.SecondaryStatus) {
	tb.Helper()
	Eventually(tb, fmt.Sprintf("training job %s is %s", name, status), func() bool {
		job := l.TrainingJob(tb, name)
		for _, t := range job.SecondaryStatusTransitions {
			if t.Status == status {
				return true
			}
		}
		if job.TrainingJobStatus == types.TrainingJobStatusFailed {
			tb.Fatalf("job %s failed: %s", name, aws.ToString(job.FailureReason))
		}
		return false
	})
}

// Tuning is a request for a tuning job of the learning rate, random, by
// validation accuracy.
func (l *Lab) Tuning(name string, trials, parallel int32, static map[string]string) *sagemaker.CreateHyperParameterTuningJobInput {
	job := l.Job("", nil)
	return &sagemaker.CreateHyperParameterTuningJobInput{
		HyperParameterTuningJobName: &name,
		HyperParameterTuningJobConfig: &types.HyperParameterTuningJobConfig{
			Strategy:                         types.HyperParameterTuningJobStrategyTypeRandom,
			HyperParameterTuningJobObjective: &types.HyperParameterTuningJobObjective{Type: types.HyperParameterTuningJobObjectiveTypeMaximize, MetricName: aws.String("validation:accuracy")},
			ResourceLimits:                   &types.ResourceLimits{MaxNumberOfTrainingJobs: &trials, MaxParallelTrainingJobs: &parallel},
			RandomSeed:                       aws.Int32(7),
			ParameterRanges: &types.ParameterRanges{ContinuousParameterRanges: []types.ContinuousParameterRange{
				{Name: aws.String("learning_rate"), MinValue: aws.String("0.0001"), MaxValue: aws.String("0.1"), ScalingType: types.HyperParameterScalingTypeLogarithmic},
			}},
		},
		TrainingJobDefinition: &types.HyperParameterTrainingJobDefinition{
			AlgorithmSpecification: &types.HyperParameterAlgorithmSpecification{TrainingImage: aws.String(Image), TrainingInputMode: types.TrainingInputModeFile},
			RoleArn:                &l.Role, StaticHyperParameters: static, InputDataConfig: job.InputDataConfig,
			OutputDataConfig: job.OutputDataConfig, ResourceConfig: job.ResourceConfig, StoppingCondition: job.StoppingCondition,
		},
	}
}

// Tune starts such a job.
func (l *Lab) Tune(tb testing.TB, in *sagemaker.CreateHyperParameterTuningJobInput) {
	tb.Helper()
	if _, err := l.SageMaker().CreateHyperParameterTuningJob(context.Background(), in); err != nil {
		tb.Fatal(err)
	}
}

// TuningJob describes a tuning job.
func (l *Lab) TuningJob(tb testing.TB, name string) *sagemaker.DescribeHyperParameterTuningJobOutput {
	tb.Helper()
	out, err := l.SageMaker().DescribeHyperParameterTuningJob(context.Background(), &sagemaker.DescribeHyperParameterTuningJobInput{HyperParameterTuningJobName: &name})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// AwaitTuning waits until a tuning job has ended.
func (l *Lab) AwaitTuning(tb testing.TB, name string) (job *sagemaker.DescribeHyperParameterTuningJobOutput) {
	tb.Helper()
	Eventually(tb, fmt.Sprintf("tuning job %s has ended", name), func() bool {
		job = l.TuningJob(tb, name)
		s := job.HyperParameterTuningJobStatus
		return s != types.HyperParameterTuningJobStatusInProgress && s != types.HyperParameterTuningJobStatusStopping
	})
	return job
}

// Trials lists the training jobs of a tuning job, page by page.
func (l *Lab) Trials(tb testing.TB, in *sagemaker.ListTrainingJobsForHyperParameterTuningJobInput) (all []types.HyperParameterTrainingJobSummary) {
	tb.Helper()
	pages := sagemaker.NewListTrainingJobsForHyperParameterTuningJobPaginator(l.SageMaker(), in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, page.TrainingJobSummaries...)
	}
	return all
}

// Model registers an artifact.
func (l *Lab) Model(tb testing.TB, name, uri string) {
	tb.Helper()
	_, err := l.SageMaker().CreateModel(context.Background(), &sagemaker.CreateModelInput{
		ModelName: &name, ExecutionRoleArn: &l.Role,
		PrimaryContainer: &types.ContainerDefinition{Image: aws.String(Image), ModelDataUrl: &uri},
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// Config makes an endpoint configuration of one variant, "all".
func (l *Lab) Config(tb testing.TB, name, model string, instances int32) {
	tb.Helper()
	_, err := l.SageMaker().CreateEndpointConfig(context.Background(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: &name,
		ProductionVariants: []types.ProductionVariant{{
			VariantName: aws.String("all"), ModelName: &model, InitialInstanceCount: &instances, InstanceType: types.ProductionVariantInstanceTypeMlM5Large,
		}},
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// Endpoint deploys a configuration.
func (l *Lab) Endpoint(tb testing.TB, name, config string) {
	tb.Helper()
	_, err := l.SageMaker().CreateEndpoint(context.Background(), &sagemaker.CreateEndpointInput{EndpointName: &name, EndpointConfigName: &config})
	if err != nil {
		tb.Fatal(err)
	}
}

// DescribeEndpoint describes an endpoint.
func (l *Lab) DescribeEndpoint(tb testing.TB, name string) *sagemaker.DescribeEndpointOutput {
	tb.Helper()
	out, err := l.SageMaker().DescribeEndpoint(context.Background(), &sagemaker.DescribeEndpointInput{EndpointName: &name})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// AwaitEndpoint waits until nothing is in progress on an endpoint.
func (l *Lab) AwaitEndpoint(tb testing.TB, name string) (out *sagemaker.DescribeEndpointOutput) {
	tb.Helper()
	Eventually(tb, fmt.Sprintf("endpoint %s has settled", name), func() bool {
		out = l.DescribeEndpoint(tb, name)
		return out.EndpointStatus == types.EndpointStatusInService || out.EndpointStatus == types.EndpointStatusFailed
	})
	return out
}
