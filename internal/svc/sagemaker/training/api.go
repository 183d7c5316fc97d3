package training

import (
	"context"
	"errors"
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
	loop  *loop.Loop
	tails sync.Map         // job → *tail of its log
	ended func(job string) // whom to tell that a job ended
	once  sagemaker.Noted
	steps sync.Map // job → context.CancelFunc of its preparation under way
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
	if err := validate(in); err != nil {
		return "", err
	}
	f.noteIgnored(in)
	r := awsapi.RequestFrom(ctx)
	now := time.Now().UTC()
	job := &Job{
		Request: *in, ARN: sagemaker.ARN(r, "training-job", in.TrainingJobName), Region: r.Region,
		TuningJob: tuningJob, Created: now, Inputs: map[string]string{},
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

func validate(in *sagemaker.CreateTrainingJobInput) error {
	spec, res, stop := in.AlgorithmSpecification, in.ResourceConfig, in.StoppingCondition
	switch {
	case spec == nil || spec.TrainingImage == nil && spec.AlgorithmName == nil:
		return sagemaker.Invalid("AlgorithmSpecification must name a TrainingImage.")
	case spec.TrainingImage == nil:
		return sagemaker.Invalid("AlgorithmName is not supported yet: name a TrainingImage, as %q.", sagemaker.ImageClassification)
	case spec.TrainingInputMode == "Pipe":
		return sagemaker.Invalid("TrainingInputMode Pipe is not supported yet: use File or FastFile.")
	case res == nil:
		return sagemaker.Invalid("ResourceConfig is required: name an InstanceType, InstanceCount and VolumeSizeInGB.")
	case res.InstanceCount != nil && *res.InstanceCount > 1:
		return sagemaker.Invalid("InstanceCount %d is not supported yet: the built-in algorithm runs on one instance.", *res.InstanceCount)
	case stop == nil:
		return sagemaker.Invalid("StoppingCondition is required: set its MaxRuntimeInSeconds.")
	}
	if _, err := sagemaker.ResolveImage(*spec.TrainingImage); err != nil {
		return sagemaker.Invalid("Cannot find the training image: %v.", err)
	}
	if _, _, err := sagemaker.SplitS3URI(in.OutputDataConfig.S3OutputPath); err != nil {
		return sagemaker.Invalid("Invalid S3OutputPath: %v.", err)
	}
	if _, err := definitions(spec.MetricDefinitions); err != nil {
		return sagemaker.Invalid("%v", err)
	}
	return validateChannels(in.InputDataConfig)
}

func validateChannels(channels []*sagemaker.Channel) error {
	seen := map[string]bool{}
	for _, c := range channels {
		s3 := c.DataSource.S3DataSource
		switch {
		case seen[c.ChannelName]:
			return sagemaker.Invalid("Channel name %q is used twice.", c.ChannelName)
		case c.ChannelName == "." || c.ChannelName == "..":
			return sagemaker.Invalid("Channel name %q cannot be the name of a folder.", c.ChannelName)
		case s3 == nil:
			return sagemaker.Invalid("Channel %q: only an S3DataSource is supported.", c.ChannelName)
		case s3.S3DataType != "S3Prefix":
			return sagemaker.Invalid("Channel %q: S3DataType %s is not supported yet: use S3Prefix.", c.ChannelName, s3.S3DataType)
		case c.InputMode != nil && *c.InputMode == "Pipe":
			return sagemaker.Invalid("Channel %q: InputMode Pipe is not supported yet: use File or FastFile.", c.ChannelName)
		case c.CompressionType != nil && *c.CompressionType != "None":
			return sagemaker.Invalid("Channel %q: CompressionType %s is not supported yet.", c.ChannelName, *c.CompressionType)
		}
		if _, _, err := sagemaker.SplitS3URI(s3.S3Uri); err != nil {
			return sagemaker.Invalid("Channel %q: %v.", c.ChannelName, err)
		}
		seen[c.ChannelName] = true
	}
	return nil
}

// noteIgnored logs, once each, the fields that a client may set and that
// change nothing here.
func (f *Family) noteIgnored(in *sagemaker.CreateTrainingJobInput) {
	f.once.Ignored(f.Log, "CreateTrainingJob", map[string]bool{
		"VpcConfig":                             in.VpcConfig != nil,
		"EnableManagedSpotTraining":             in.EnableManagedSpotTraining != nil && *in.EnableManagedSpotTraining,
		"EnableNetworkIsolation":                in.EnableNetworkIsolation != nil && *in.EnableNetworkIsolation,
		"EnableInterContainerTrafficEncryption": in.EnableInterContainerTrafficEncryption != nil && *in.EnableInterContainerTrafficEncryption,
		"CheckpointConfig":                      in.CheckpointConfig != nil,
		"DebugHookConfig":                       in.DebugHookConfig != nil,
		"DebugRuleConfigurations":               len(in.DebugRuleConfigurations) > 0,
		"ProfilerConfig":                        in.ProfilerConfig != nil,
		"ProfilerRuleConfigurations":            len(in.ProfilerRuleConfigurations) > 0,
		"TensorBoardOutputConfig":               in.TensorBoardOutputConfig != nil,
		"ExperimentConfig":                      in.ExperimentConfig != nil,
		"OutputDataConfig.KmsKeyId":             in.OutputDataConfig.KmsKeyId != nil && *in.OutputDataConfig.KmsKeyId != "",
		"ResourceConfig.VolumeKmsKeyId":         in.ResourceConfig.VolumeKmsKeyId != nil,
		"ResourceConfig.KeepAlivePeriodInSeconds": in.ResourceConfig.KeepAlivePeriodInSeconds != nil &&
			*in.ResourceConfig.KeepAlivePeriodInSeconds > 0,
		"InfraCheckConfig":  in.InfraCheckConfig != nil,
		"RemoteDebugConfig": in.RemoteDebugConfig != nil,
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
		TrainingJobName: in.TrainingJobName, TrainingJobArn: j.ARN, TuningJobArn: notEmpty(j.TuningJob),
		TrainingJobStatus: j.Status, SecondaryStatus: j.Secondary, FailureReason: notEmpty(j.Failure),
		HyperParameters: in.HyperParameters, AlgorithmSpecification: in.AlgorithmSpecification,
		RoleArn: &in.RoleArn, InputDataConfig: in.InputDataConfig, OutputDataConfig: in.OutputDataConfig,
		ResourceConfig: in.ResourceConfig, VpcConfig: in.VpcConfig, StoppingCondition: in.StoppingCondition,
		CreationTime: j.Created, LastModifiedTime: &j.Modified,
		TrainingStartTime: notZero(j.Started), TrainingEndTime: notZero(j.Ended),
		SecondaryStatusTransitions:            j.Transitions,
		EnableNetworkIsolation:                orFalse(in.EnableNetworkIsolation),
		EnableInterContainerTrafficEncryption: orFalse(in.EnableInterContainerTrafficEncryption),
		EnableManagedSpotTraining:             orFalse(in.EnableManagedSpotTraining),
		CheckpointConfig:                      in.CheckpointConfig, DebugHookConfig: in.DebugHookConfig,
		DebugRuleConfigurations: in.DebugRuleConfigurations, TensorBoardOutputConfig: in.TensorBoardOutputConfig,
		ExperimentConfig: in.ExperimentConfig, ProfilerConfig: in.ProfilerConfig,
		ProfilerRuleConfigurations: in.ProfilerRuleConfigurations, Environment: in.Environment,
		RetryStrategy: in.RetryStrategy,
	}
	if j.Model != "" {
		out.ModelArtifacts = &sagemaker.ModelArtifacts{S3ModelArtifacts: j.Model}
	}
	for _, m := range j.Metrics {
		out.FinalMetricDataList = append(out.FinalMetricDataList, &sagemaker.MetricData{MetricName: &m.Name, Value: &m.Value, Timestamp: &m.Time})
	}
	if j.Done() && !j.Started.IsZero() {
		seconds := max(1, int64(j.Ended.Sub(j.Started).Seconds()))
		out.TrainingTimeInSeconds, out.BillableTimeInSeconds = &seconds, &seconds
	}
	return out
}

func notEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func notZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
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
	out := &sagemaker.ListTrainingJobsOutput{TrainingJobSummaries: []*sagemaker.TrainingJobSummary{}}
	err := f.db.View(ctx, func(tx *state.Tx) error {
		var entries []sagemaker.Entry
		jobs := map[string]*Job{}
		err := f.jobs.Scan(tx, state.Range{}, func(name string, job *Job) (bool, error) {
			entries = append(entries, sagemaker.Entry{Name: name, Status: job.Status, Created: job.Created, Modified: job.Modified})
			jobs[name] = job
			return true, nil
		})
		if err != nil {
			return err
		}
		page, next, err := listing.Page(entries)
		out.NextToken = next
		for _, e := range page {
			out.TrainingJobSummaries = append(out.TrainingJobSummaries, jobs[e.Name].summary())
		}
		return err
	})
	return out, err
}

func (j *Job) summary() *sagemaker.TrainingJobSummary {
	return &sagemaker.TrainingJobSummary{
		TrainingJobName: j.Request.TrainingJobName, TrainingJobArn: j.ARN, CreationTime: j.Created,
		TrainingEndTime: notZero(j.Ended), LastModifiedTime: &j.Modified,
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

// Describe is DescribeTrainingJob for the tuning family.
func (f *Family) Describe(ctx context.Context, name string) (*sagemaker.DescribeTrainingJobOutput, error) {
	return f.describeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: name})
}
