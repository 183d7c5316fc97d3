package processing

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

// Family is the processing family of SageMaker.
type Family struct {
	Deps
	store
	loop  *loop.Loop
	steps sync.Map // job → context.CancelCauseFunc of what StopProcessingJob may cut short
	once  sagemaker.Noted
}

// New registers the family's operations on s.
func New(deps Deps, s *awsapi.Service) *Family {
	f := &Family{Deps: deps, store: newStore(deps.DB)}
	f.loop = loop.New("processing", f.step, loop.Options{Workers: 16, Keys: f.unfinished, Log: deps.Log})

	byName := func(r *awsapi.Request, name string) []awsapi.Permission {
		return []awsapi.Permission{sagemaker.Needs(r, "processing-job", name)}
	}
	awsapi.Handle(s, "CreateProcessingJob", f.createProcessingJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.CreateProcessingJobInput) []awsapi.Permission {
		return append(byName(r, in.ProcessingJobName), sagemaker.NeedsToPass(in.RoleArn))
	}))
	awsapi.Handle(s, "DescribeProcessingJob", f.describeProcessingJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DescribeProcessingJobInput) []awsapi.Permission {
		return byName(r, in.ProcessingJobName)
	}))
	awsapi.Handle(s, "StopProcessingJob", f.stopProcessingJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.StopProcessingJobInput) []awsapi.Permission {
		return byName(r, in.ProcessingJobName)
	}))
	awsapi.Handle(s, "ListProcessingJobs", f.listProcessingJobs)
	return f
}

// Run works on the jobs until ctx ends.
func (f *Family) Run(ctx context.Context) error {
	if err := f.tidy(ctx); err != nil && ctx.Err() == nil {
		f.Log.Warn("cannot clear up behind ended processing jobs", "error", err)
	}
	return f.loop.Run(ctx)
}

// Poke asks for a look at a job, as after a change of its process.
func (f *Family) Poke(job string) { f.loop.Poke(job) }

// dayInSeconds is how long a job may run that does not say.
const dayInSeconds = 86_400

func (f *Family) createProcessingJob(ctx context.Context, in *sagemaker.CreateProcessingJobInput) (*sagemaker.CreateProcessingJobOutput, error) {
	if in.StoppingCondition == nil {
		in.StoppingCondition = &sagemaker.ProcessingStoppingCondition{MaxRuntimeInSeconds: dayInSeconds}
	}
	if err := f.validate(in); err != nil {
		return nil, err
	}
	f.noteIgnored(in)
	r := awsapi.RequestFrom(ctx)
	now := time.Now().UTC()
	job := &Job{
		Request: *in, ARN: sagemaker.ARN(r, "processing-job", in.ProcessingJobName), Region: r.Region,
		Status: inProgress, Created: now, Modified: now, LogEpoch: now.Unix(),
	}
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		if err := f.jobs.Insert(tx, in.ProcessingJobName, job); err != nil {
			return err
		}
		return f.Tags.Create(tx, job.ARN, in.Tags)
	})
	if errors.Is(err, state.ErrExists) {
		return nil, awsapi.Errorf("ResourceInUse", "Job name must be unique within an AWS account and region, and a job with this name already exists (%s)", job.ARN)
	}
	if err != nil {
		return nil, err
	}
	f.Poke(in.ProcessingJobName)
	return &sagemaker.CreateProcessingJobOutput{ProcessingJobArn: job.ARN}, nil
}

// noteIgnored logs, once each, the fields that a client may set and that
// change nothing here.
func (f *Family) noteIgnored(in *sagemaker.CreateProcessingJobInput) {
	net := sagemaker.Or(in.NetworkConfig, sagemaker.NetworkConfig{})
	out := sagemaker.Or(in.ProcessingOutputConfig, sagemaker.ProcessingOutputConfig{})
	f.once.Ignored(f.Log, "CreateProcessingJob", map[string]bool{
		"NetworkConfig.VpcConfig":                             net.VpcConfig != nil,
		"NetworkConfig.EnableInterContainerTrafficEncryption": sagemaker.Or(net.EnableInterContainerTrafficEncryption, false),
		"ExperimentConfig":                                    in.ExperimentConfig != nil,
		"ProcessingOutputConfig.KmsKeyId":                     sagemaker.Or(out.KmsKeyId, "") != "",
		"ClusterConfig.VolumeKmsKeyId":                        in.ProcessingResources.ClusterConfig.VolumeKmsKeyId != nil,
	})
}

func (f *Family) describeProcessingJob(ctx context.Context, in *sagemaker.DescribeProcessingJobInput) (*sagemaker.DescribeProcessingJobOutput, error) {
	job, err := f.get(ctx, in.ProcessingJobName)
	if err != nil {
		return nil, err
	}
	return job.describe(), nil
}

// get returns a job's row, or the API's error where there is none.
func (f *Family) get(ctx context.Context, name string) (job *Job, err error) {
	err = f.db.View(ctx, func(tx *state.Tx) error {
		job, err = f.jobs.Get(tx, name)
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return nil, notFound(name)
	}
	return job, err
}

func notFound(name string) error {
	return sagemaker.Invalid("Could not find requested job with name: %s", name)
}

func (j *Job) describe() *sagemaker.DescribeProcessingJobOutput {
	in := j.Request
	return &sagemaker.DescribeProcessingJobOutput{
		ProcessingJobName: in.ProcessingJobName, ProcessingJobArn: j.ARN, ProcessingJobStatus: j.Status,
		AppSpecification: in.AppSpecification, Environment: in.Environment, ExperimentConfig: in.ExperimentConfig,
		ProcessingInputs: in.ProcessingInputs, ProcessingOutputConfig: in.ProcessingOutputConfig,
		ProcessingResources: in.ProcessingResources, StoppingCondition: in.StoppingCondition,
		NetworkConfig: in.NetworkConfig, RoleArn: &in.RoleArn,
		FailureReason: sagemaker.NotEmpty(j.Failure), ExitMessage: sagemaker.NotEmpty(j.Message),
		CreationTime: j.Created, LastModifiedTime: &j.Modified,
		ProcessingStartTime: sagemaker.NotZero(j.Started), ProcessingEndTime: sagemaker.NotZero(j.Ended),
	}
}

func (f *Family) listProcessingJobs(ctx context.Context, in *sagemaker.ListProcessingJobsInput) (*sagemaker.ListProcessingJobsOutput, error) {
	listing := sagemaker.Listing{
		NameContains: in.NameContains, StatusEquals: in.StatusEquals,
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		ModifiedAfter: in.LastModifiedTimeAfter, ModifiedBefore: in.LastModifiedTimeBefore,
		SortBy: sagemaker.Or(in.SortBy, "CreationTime"), Descending: sagemaker.Or(in.SortOrder, "Ascending") == "Descending",
		MaxResults: in.MaxResults, NextToken: in.NextToken,
	}
	rows, next, err := sagemaker.Rows(ctx, f.db, f.jobs, listing, func(j *Job) sagemaker.Entry {
		return sagemaker.Entry{Name: j.Request.ProcessingJobName, Status: j.Status, Created: j.Created, Modified: j.Modified}
	})
	out := &sagemaker.ListProcessingJobsOutput{NextToken: next, ProcessingJobSummaries: []*sagemaker.ProcessingJobSummary{}}
	for _, j := range rows {
		out.ProcessingJobSummaries = append(out.ProcessingJobSummaries, j.summary())
	}
	return out, err
}

func (j *Job) summary() *sagemaker.ProcessingJobSummary {
	return &sagemaker.ProcessingJobSummary{
		ProcessingJobName: j.Request.ProcessingJobName, ProcessingJobArn: j.ARN, ProcessingJobStatus: j.Status,
		CreationTime: j.Created, LastModifiedTime: &j.Modified, ProcessingEndTime: sagemaker.NotZero(j.Ended),
		FailureReason: sagemaker.NotEmpty(j.Failure), ExitMessage: sagemaker.NotEmpty(j.Message),
	}
}

func (f *Family) stopProcessingJob(ctx context.Context, in *sagemaker.StopProcessingJobInput) (*sagemaker.StopProcessingJobOutput, error) {
	name := in.ProcessingJobName
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		_, err := f.jobs.Modify(tx, name, func(job *Job) error {
			if job.Done() {
				return sagemaker.Invalid("The request was rejected because the processing job is in status %s.", job.Status)
			}
			job.StopAsked, job.Status, job.Modified = true, stopping, time.Now().UTC()
			return nil
		})
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return nil, notFound(name)
	}
	if err != nil {
		return nil, err
	}
	f.interrupt(name)
	f.Poke(name)
	return nil, nil
}
