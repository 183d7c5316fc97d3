package transform

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/loop"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Family is the transform family of SageMaker.
type Family struct {
	Deps
	store
	loop  *loop.Loop
	steps sync.Map // job → context.CancelCauseFunc of its step under way
	once  sagemaker.Noted
}

// New registers the family's operations on s.
func New(deps Deps, s *awsapi.Service) *Family {
	f := &Family{Deps: deps, store: newStore(deps.DB)}
	f.loop = loop.New("transform", f.step, loop.Options{Workers: 16, Keys: f.unfinished, Log: deps.Log})

	byName := func(r *awsapi.Request, name string) []awsapi.Permission {
		return []awsapi.Permission{sagemaker.Needs(r, "transform-job", name)}
	}
	awsapi.Handle(s, "CreateTransformJob", f.createTransformJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.CreateTransformJobInput) []awsapi.Permission {
		return byName(r, in.TransformJobName)
	}))
	awsapi.Handle(s, "DescribeTransformJob", f.describeTransformJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DescribeTransformJobInput) []awsapi.Permission {
		return byName(r, in.TransformJobName)
	}))
	awsapi.Handle(s, "StopTransformJob", f.stopTransformJob, awsapi.Access(func(r *awsapi.Request, in *sagemaker.StopTransformJobInput) []awsapi.Permission {
		return byName(r, in.TransformJobName)
	}))
	awsapi.Handle(s, "ListTransformJobs", f.listTransformJobs)
	return f
}

// Run works on the jobs until ctx ends.
func (f *Family) Run(ctx context.Context) error { return f.loop.Run(ctx) }

func (f *Family) createTransformJob(ctx context.Context, in *sagemaker.CreateTransformJobInput) (*sagemaker.CreateTransformJobOutput, error) {
	if err := validate(in); err != nil {
		return nil, err
	}
	f.noteIgnored(in)
	r := awsapi.RequestFrom(ctx)
	now := time.Now().UTC()
	job := &Job{
		Request: *in, ARN: sagemaker.ARN(r, "transform-job", in.TransformJobName),
		Status: inProgress, Created: now, Modified: now, Stream: stream(in.TransformJobName),
	}
	err := f.db.Update(ctx, func(tx *state.Tx) (err error) {
		if job.Leased, err = f.Instances.Lease(tx, lease(r, in)); err != nil && !errors.Is(err, state.ErrExists) {
			return err
		}
		if err := f.jobs.Insert(tx, in.TransformJobName, job); err != nil {
			return err
		}
		return f.Tags.Create(tx, job.ARN, in.Tags)
	})
	if errors.Is(err, state.ErrExists) {
		return nil, awsapi.Errorf("ResourceInUse", "Transform job names must be unique within an AWS account and region, and a transform job with this name already exists (%s)", job.ARN)
	}
	if err != nil {
		return nil, err
	}
	f.poke(job)
	return &sagemaker.CreateTransformJobOutput{TransformJobArn: job.ARN}, nil
}

// lease asks for the instances of a job. The variables are those by which model
// servers are told of their work on SageMaker.
func lease(r *awsapi.Request, in *sagemaker.CreateTransformJobInput) sagemaker.Lease {
	strategy := map[bool]string{true: "SINGLE_RECORD", false: "MULTI_RECORD"}[single(in)]
	env := map[string]string{
		"SAGEMAKER_BATCH": "true", "SAGEMAKER_BATCH_STRATEGY": strategy,
		"SAGEMAKER_MAX_PAYLOAD_IN_MB":         strconv.FormatInt(sagemaker.Or(in.MaxPayloadInMB, defaultPayload), 10),
		"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": strconv.FormatInt(concurrent(in), 10),
	}
	maps.Copy(env, in.Environment)
	return sagemaker.Lease{
		Job: in.TransformJobName, Model: in.ModelName, ModelARN: sagemaker.ARN(r, "model", in.ModelName),
		InstanceType: in.TransformResources.InstanceType, Instances: int(in.TransformResources.InstanceCount),
		Region: r.Region, Environment: env,
	}
}

func single(in *sagemaker.CreateTransformJobInput) bool {
	return sagemaker.Or(in.BatchStrategy, "MultiRecord") == "SingleRecord"
}

// stream names the log stream of a job's own log, beside those of its instances.
func stream(job string) string {
	id := make([]byte, 8)
	rand.Read(id) //nolint:errcheck // it never fails
	return fmt.Sprintf("%s/i-0%s/data-log", job, hex.EncodeToString(id))
}

// noteIgnored logs, once each, the fields that a client may set and that
// change nothing here.
func (f *Family) noteIgnored(in *sagemaker.CreateTransformJobInput) {
	f.once.Ignored(f.Log, "CreateTransformJob", map[string]bool{
		"ExperimentConfig":                       in.ExperimentConfig != nil,
		"TransformOutput.KmsKeyId":               sagemaker.Or(in.TransformOutput.KmsKeyId, "") != "",
		"TransformResources.VolumeKmsKeyId":      in.TransformResources.VolumeKmsKeyId != nil,
		"TransformResources.TransformAmiVersion": in.TransformResources.TransformAmiVersion != nil,
	})
}

// poke asks for a look at a job and at its instances.
func (f *Family) poke(job *Job) {
	f.loop.Poke(job.Request.TransformJobName)
	f.Instances.Poke(job.Leased.Address)
}

// get returns a job's row, or the API's error where there is none.
func (f *Family) get(ctx context.Context, name string) (job *Job, err error) {
	err = f.db.View(ctx, func(tx *state.Tx) error {
		job, err = f.jobs.Get(tx, name)
		return err
	})
	return job, missing(err, name)
}

func missing(err error, name string) error {
	if errors.Is(err, state.ErrNotFound) {
		return sagemaker.Invalid("Could not find requested transform job with name: %s.", name)
	}
	return err
}

func (f *Family) describeTransformJob(ctx context.Context, in *sagemaker.DescribeTransformJobInput) (*sagemaker.DescribeTransformJobOutput, error) {
	job, err := f.get(ctx, in.TransformJobName)
	if err != nil {
		return nil, err
	}
	req := job.Request
	return &sagemaker.DescribeTransformJobOutput{
		TransformJobName: req.TransformJobName, TransformJobArn: job.ARN,
		TransformJobStatus: job.Status, FailureReason: job.failure(), ModelName: req.ModelName,
		MaxConcurrentTransforms: req.MaxConcurrentTransforms, ModelClientConfig: req.ModelClientConfig,
		MaxPayloadInMB: req.MaxPayloadInMB, BatchStrategy: req.BatchStrategy, Environment: req.Environment,
		TransformInput: req.TransformInput, TransformOutput: req.TransformOutput,
		TransformResources: req.TransformResources, DataProcessing: processingOf(&req), ExperimentConfig: req.ExperimentConfig,
		CreationTime: job.Created, TransformStartTime: sagemaker.NotZero(job.Started), TransformEndTime: sagemaker.NotZero(job.Ended),
	}, nil
}

// processingOf names the defaults of DataProcessing too, as the service does.
func processingOf(in *sagemaker.CreateTransformJobInput) *sagemaker.DataProcessing {
	p := sagemaker.DataProcessing{}
	if in.DataProcessing != nil {
		p = *in.DataProcessing
	}
	root, none := "$", "None"
	for field, def := range map[**string]*string{&p.InputFilter: &root, &p.OutputFilter: &root, &p.JoinSource: &none} {
		if *field == nil {
			*field = def
		}
	}
	return &p
}

func (j *Job) failure() *string {
	if !j.Done() || j.Failure == "" {
		return nil
	}
	return &j.Failure
}

// stopTransformJob asks a job to end; outputs that are there stay.
func (f *Family) stopTransformJob(ctx context.Context, in *sagemaker.StopTransformJobInput) (*sagemaker.StopTransformJobOutput, error) {
	name := in.TransformJobName
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		_, err := f.jobs.Modify(tx, name, func(j *Job) error {
			if j.Done() {
				return sagemaker.Invalid("The request was rejected because the transform job is in status %s.", j.Status)
			}
			if j.Outcome == "" && !j.StopAsked {
				j.Status, j.StopAsked, j.Modified = stopping, true, time.Now().UTC()
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, missing(err, name)
	}
	f.interrupt(name)
	f.loop.Poke(name)
	return nil, nil
}

func (f *Family) listTransformJobs(ctx context.Context, in *sagemaker.ListTransformJobsInput) (*sagemaker.ListTransformJobsOutput, error) {
	listing := sagemaker.Listing{
		NameContains: in.NameContains, StatusEquals: in.StatusEquals,
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		ModifiedAfter: in.LastModifiedTimeAfter, ModifiedBefore: in.LastModifiedTimeBefore,
		SortBy: sagemaker.Or(in.SortBy, "CreationTime"), Descending: sagemaker.Or(in.SortOrder, "Descending") == "Descending",
		MaxResults: in.MaxResults, NextToken: in.NextToken,
	}
	rows, next, err := sagemaker.Rows(ctx, f.db, f.jobs, listing, func(j *Job) sagemaker.Entry {
		return sagemaker.Entry{Name: j.Request.TransformJobName, Status: j.Status, Created: j.Created, Modified: j.Modified}
	})
	out := &sagemaker.ListTransformJobsOutput{NextToken: next, TransformJobSummaries: []*sagemaker.TransformJobSummary{}}
	for _, j := range rows {
		out.TransformJobSummaries = append(out.TransformJobSummaries, j.summary())
	}
	return out, err
}

func (j *Job) summary() *sagemaker.TransformJobSummary {
	return &sagemaker.TransformJobSummary{
		TransformJobName: j.Request.TransformJobName, TransformJobArn: j.ARN, TransformJobStatus: j.Status,
		FailureReason: j.failure(), CreationTime: j.Created, TransformEndTime: sagemaker.NotZero(j.Ended), LastModifiedTime: &j.Modified,
	}
}
