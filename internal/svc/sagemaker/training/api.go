package training

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/loop"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Family is the training family of SageMaker.
type Family struct {
	Deps
	store
	loop       *loop.Loop
	readers    sync.Map         // job → *reader of its logs
	companions sync.Map         // job → *companion of its running processes
	steps      sync.Map         // job → context.CancelFunc of its preparation under way
	ended      func(job string) // whom to tell that a job ended
	once       sagemaker.Noted
}

// New registers the family's operations on s.
func New(deps Deps, s *awsapi.Service) (*Family, error) {
	f := &Family{Deps: deps, store: newStore(deps.DB), ended: func(string) {}}
	f.loop = loop.New("training", f.step, loop.Options{Workers: 16, Keys: f.unfinished, Log: deps.Log})

	byName := func(r *awsapi.Request, name string) []awsapi.Permission {
		return []awsapi.Permission{sagemaker.Needs(r, "training-job", name)}
	}
	awsapi.Handle(s, "CreateTrainingJob", f.createTrainingJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.CreateTrainingJobInput) []awsapi.Permission {
		return append(byName(r, in.TrainingJobName), sagemaker.NeedsToPass(in.RoleArn))
	}))
	awsapi.Handle(s, "DescribeTrainingJob", f.describeTrainingJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DescribeTrainingJobInput) []awsapi.Permission {
		return byName(r, in.TrainingJobName)
	}))
	awsapi.Handle(s, "StopTrainingJob", f.stopTrainingJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.StopTrainingJobInput) []awsapi.Permission {
		return byName(r, in.TrainingJobName)
	}))
	awsapi.Handle(s, "UpdateTrainingJob", f.updateTrainingJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.UpdateTrainingJobInput) []awsapi.Permission {
		return byName(r, in.TrainingJobName)
	}))
	awsapi.Handle(s, "ListTrainingJobs", f.listTrainingJobs)
	return f, nil
}

// Run works on the jobs until ctx ends.
func (f *Family) Run(ctx context.Context) error {
	if err := f.tidy(ctx); err != nil && ctx.Err() == nil {
		f.Log.Warn("cannot clear up behind ended training jobs", "error", err)
	}
	return f.loop.Run(ctx)
}

// Poke asks for a look at a job, as after a change of its process.
func (f *Family) Poke(job string) { f.loop.Poke(job) }

// OnEnd sets whom to tell that a job ended. It is called before Run.
func (f *Family) OnEnd(tell func(job string)) { f.ended = tell }

func (f *Family) createTrainingJob(ctx context.Context, in *sagemaker.CreateTrainingJobInput) (*sagemaker.CreateTrainingJobOutput, error) {
	arn, err := f.Create(ctx, in, "")
	if err != nil {
		return nil, err
	}
	return &sagemaker.CreateTrainingJobOutput{TrainingJobArn: arn}, nil
}

// Create accepts a job; tuningJob is the ARN of the tuning job that it is a
// trial of, or empty. A name that is taken gives ResourceInUse.
func (f *Family) Create(ctx context.Context, in *sagemaker.CreateTrainingJobInput, tuningJob string) (arn string, err error) {
	kind, err := f.validate(in)
	if err != nil {
		return "", err
	}
	f.noteIgnored(in)
	r := awsapi.RequestFrom(ctx)
	now := time.Now().UTC()
	job := &Job{
		Request: *in, ARN: sagemaker.ARN(r, "training-job", in.TrainingJobName), Region: r.Region,
		TuningJob: tuningJob, Kind: kind, Created: now,
	}
	job.enter(now, inProgress, "Starting", "Starting the training job")
	err = f.db.Update(ctx, func(tx *state.Tx) error {
		if err := f.jobs.Insert(tx, in.TrainingJobName, job); err != nil {
			return err
		}
		return f.Tags.Create(tx, job.ARN, in.Tags)
	})
	if errors.Is(err, state.ErrExists) {
		return "", awsapi.Errorf("ResourceInUse", "Training job names must be unique within an AWS account and region, and a training job with this name already exists (%s)", job.ARN)
	}
	if err != nil {
		return "", err
	}
	f.Poke(in.TrainingJobName)
	return job.ARN, nil
}

// noteIgnored logs, once each, the fields that a client may set and that
// change nothing here.
func (f *Family) noteIgnored(in *sagemaker.CreateTrainingJobInput) {
	f.once.Ignored(f.Log, "CreateTrainingJob", map[string]bool{
		"VpcConfig":                             in.VpcConfig != nil,
		"EnableInterContainerTrafficEncryption": in.EnableInterContainerTrafficEncryption != nil && *in.EnableInterContainerTrafficEncryption,
		"DebugHookConfig":                       in.DebugHookConfig != nil,
		"DebugRuleConfigurations":               len(in.DebugRuleConfigurations) > 0,
		"ProfilerConfig":                        in.ProfilerConfig != nil,
		"ProfilerRuleConfigurations":            len(in.ProfilerRuleConfigurations) > 0,
		"TensorBoardOutputConfig":               in.TensorBoardOutputConfig != nil,
		"ExperimentConfig":                      in.ExperimentConfig != nil,
		"OutputDataConfig.KmsKeyId":             in.OutputDataConfig.KmsKeyId != nil && *in.OutputDataConfig.KmsKeyId != "",
		"ResourceConfig.VolumeKmsKeyId":         in.ResourceConfig.VolumeKmsKeyId != nil,
		"InfraCheckConfig":                      in.InfraCheckConfig != nil,
		"RemoteDebugConfig":                     in.RemoteDebugConfig != nil,
	})
}

func (f *Family) describeTrainingJob(ctx context.Context, in *sagemaker.DescribeTrainingJobInput) (*sagemaker.DescribeTrainingJobOutput, error) {
	job, err := f.Get(ctx, in.TrainingJobName)
	if err != nil {
		return nil, err
	}
	return job.describe(), nil
}

// Get returns a job's row, or the API's error where there is none.
func (f *Family) Get(ctx context.Context, name string) (job *Job, err error) {
	err = f.db.View(ctx, func(tx *state.Tx) error {
		job, err = f.jobs.Get(tx, name)
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return nil, sagemaker.Invalid("Requested resource not found.")
	}
	return job, err
}

func (j *Job) describe() *sagemaker.DescribeTrainingJobOutput {
	in := j.Request
	out := &sagemaker.DescribeTrainingJobOutput{
		TrainingJobName: in.TrainingJobName, TrainingJobArn: j.ARN, TuningJobArn: sagemaker.NotEmpty(j.TuningJob),
		TrainingJobStatus: j.Status, SecondaryStatus: j.Secondary, FailureReason: sagemaker.NotEmpty(j.Failure),
		HyperParameters: in.HyperParameters, AlgorithmSpecification: in.AlgorithmSpecification,
		RoleArn: &in.RoleArn, InputDataConfig: in.InputDataConfig, OutputDataConfig: outputOf(&in),
		ResourceConfig: in.ResourceConfig, VpcConfig: in.VpcConfig, StoppingCondition: in.StoppingCondition,
		CreationTime: j.Created, LastModifiedTime: &j.Modified,
		TrainingStartTime: sagemaker.NotZero(j.Started), TrainingEndTime: sagemaker.NotZero(j.Ended),
		SecondaryStatusTransitions:            j.Transitions,
		EnableNetworkIsolation:                orFalse(in.EnableNetworkIsolation),
		EnableInterContainerTrafficEncryption: orFalse(in.EnableInterContainerTrafficEncryption),
		EnableManagedSpotTraining:             orFalse(in.EnableManagedSpotTraining),
		CheckpointConfig:                      in.CheckpointConfig, DebugHookConfig: in.DebugHookConfig,
		DebugRuleConfigurations: in.DebugRuleConfigurations, TensorBoardOutputConfig: in.TensorBoardOutputConfig,
		ExperimentConfig: in.ExperimentConfig, ProfilerConfig: in.ProfilerConfig,
		ProfilerRuleConfigurations: in.ProfilerRuleConfigurations, Environment: in.Environment,
		RetryStrategy: in.RetryStrategy, WarmPoolStatus: j.warmPoolStatus(),
	}
	if j.Model != "" {
		out.ModelArtifacts = &sagemaker.ModelArtifacts{S3ModelArtifacts: j.Model}
	}
	for _, m := range j.Metrics {
		out.FinalMetricDataList = append(out.FinalMetricDataList, &sagemaker.MetricData{MetricName: &m.Name, Value: &m.Value, Timestamp: &m.Time})
	}
	out.TrainingTimeInSeconds, out.BillableTimeInSeconds = j.times()
	return out
}

func orFalse(b *bool) *bool {
	if b == nil {
		return new(bool)
	}
	return b
}

func (f *Family) listTrainingJobs(ctx context.Context, in *sagemaker.ListTrainingJobsInput) (*sagemaker.ListTrainingJobsOutput, error) {
	listing := sagemaker.Listing{
		NameContains: in.NameContains, StatusEquals: in.StatusEquals,
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		ModifiedAfter: in.LastModifiedTimeAfter, ModifiedBefore: in.LastModifiedTimeBefore,
		SortBy: sagemaker.Or(in.SortBy, "CreationTime"), Descending: sagemaker.Or(in.SortOrder, "Ascending") == "Descending",
		MaxResults: in.MaxResults, NextToken: in.NextToken,
	}
	rows, next, err := sagemaker.Rows(ctx, f.db, f.jobs, listing, func(j *Job) sagemaker.Entry {
		return sagemaker.Entry{Name: j.Request.TrainingJobName, Status: j.Status, Created: j.Created, Modified: j.Modified}
	})
	out := &sagemaker.ListTrainingJobsOutput{NextToken: next, TrainingJobSummaries: []*sagemaker.TrainingJobSummary{}}
	for _, j := range rows {
		out.TrainingJobSummaries = append(out.TrainingJobSummaries, j.summary())
	}
	return out, err
}

func (j *Job) summary() *sagemaker.TrainingJobSummary {
	return &sagemaker.TrainingJobSummary{
		TrainingJobName: j.Request.TrainingJobName, TrainingJobArn: j.ARN, CreationTime: j.Created,
		TrainingEndTime: sagemaker.NotZero(j.Ended), LastModifiedTime: &j.Modified,
		TrainingJobStatus: j.Status, SecondaryStatus: &j.Secondary,
	}
}

func (f *Family) stopTrainingJob(ctx context.Context, in *sagemaker.StopTrainingJobInput) (*sagemaker.StopTrainingJobOutput, error) {
	return nil, f.Stop(ctx, in.TrainingJobName)
}

// Stop asks a job to end; what it has trained so far is kept.
func (f *Family) Stop(ctx context.Context, name string) error {
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		_, err := f.jobs.Modify(tx, name, func(job *Job) error {
			if job.Done() {
				return sagemaker.Invalid("The request was rejected because the training job is in status %s.", job.Status)
			}
			if !job.StopAsked {
				job.StopAsked = true
				job.enter(time.Now().UTC(), stopping, "Stopping", "Stopping the training job")
			}
			return nil
		})
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return sagemaker.Invalid("Requested resource not found.")
	}
	if err != nil {
		return err
	}
	f.interrupt(name)
	f.Poke(name)
	return nil
}

// times are the seconds from the first start to the end, and those of them for
// which a user pays: on spot instances, the ones in which processes ran.
func (j *Job) times() (training, billable *int64) {
	if !j.Done() || j.Started.IsZero() {
		return nil, nil
	}
	whole := max(1, int64(math.Ceil(j.Ended.Sub(j.Started).Seconds())))
	paid := whole
	if j.spot() {
		paid = max(1, int64(j.Trained.Seconds()))
	}
	return &whole, &paid
}

// Describe is DescribeTrainingJob for the tuning family.
func (f *Family) Describe(ctx context.Context, name string) (*sagemaker.DescribeTrainingJobOutput, error) {
	return f.describeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: name})
}

// outputOf names the key of the output also where there is none, as the service
// does: the SDK's attach counts on it.
func outputOf(in *sagemaker.CreateTrainingJobInput) *sagemaker.OutputDataConfig {
	out := *in.OutputDataConfig
	if out.KmsKeyId == nil {
		out.KmsKeyId = new(string)
	}
	return &out
}
