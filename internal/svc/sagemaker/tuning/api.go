package tuning

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/loop"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Family is the tuning family of SageMaker.
type Family struct {
	Deps
	store
	loop  *loop.Loop
	plans sync.Map // job → *plan, kept for its caches only
	once  sagemaker.Noted
}

// New registers the family's operations on s.
func New(deps Deps, s *awsapi.Service) *Family {
	f := &Family{Deps: deps, store: newStore(deps.DB)}
	f.loop = loop.New("tuning", f.step, loop.Options{Keys: f.unfinished, Log: deps.Log})

	byName := func(r *awsapi.Request, name string) []awsapi.Permission {
		return []awsapi.Permission{sagemaker.Needs(r, "hyper-parameter-tuning-job", name)}
	}
	awsapi.Handle(s, "CreateHyperParameterTuningJob", f.create, awsapi.Access(func(r *awsapi.Request, in *sagemaker.CreateHyperParameterTuningJobInput) []awsapi.Permission {
		needs := byName(r, in.HyperParameterTuningJobName)
		if d := in.TrainingJobDefinition; d != nil {
			needs = append(needs, sagemaker.NeedsToPass(d.RoleArn))
		}
		for _, d := range in.TrainingJobDefinitions {
			needs = append(needs, sagemaker.NeedsToPass(d.RoleArn))
		}
		return needs
	}))
	awsapi.Handle(s, "DescribeHyperParameterTuningJob", f.describe, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DescribeHyperParameterTuningJobInput) []awsapi.Permission {
		return byName(r, in.HyperParameterTuningJobName)
	}))
	awsapi.Handle(s, "StopHyperParameterTuningJob", f.stop, awsapi.Access(func(r *awsapi.Request, in *sagemaker.StopHyperParameterTuningJobInput) []awsapi.Permission {
		return byName(r, in.HyperParameterTuningJobName)
	}))
	awsapi.Handle(s, "ListTrainingJobsForHyperParameterTuningJob", f.listTrials, awsapi.Access(func(r *awsapi.Request, in *sagemaker.ListTrainingJobsForHyperParameterTuningJobInput) []awsapi.Permission {
		return byName(r, in.HyperParameterTuningJobName)
	}))
	awsapi.Handle(s, "ListHyperParameterTuningJobs", f.list)
	return f
}

// Run works on the tuning jobs until ctx ends.
func (f *Family) Run(ctx context.Context) error { return f.loop.Run(ctx) }

// TrainingEnded asks for a look at the tuning job that a training job may
// belong to. Names of trials start with the name of their tuning job.
func (f *Family) TrainingEnded(name string) {
	if len(name) > trialSuffix {
		f.loop.Poke(name[:len(name)-trialSuffix])
	}
}

func (f *Family) create(ctx context.Context, in *sagemaker.CreateHyperParameterTuningJobInput) (*sagemaker.CreateHyperParameterTuningJobOutput, error) {
	if err := validate(in); err != nil {
		return nil, err
	}
	f.noteIgnored(in)
	for _, d := range definitions(in) {
		d.nameObjective()
	}
	r := awsapi.RequestFrom(ctx)
	now := time.Now().UTC()
	job := &Job{
		Request: *in, ARN: sagemaker.ARN(r, "hyper-parameter-tuning-job", in.HyperParameterTuningJobName),
		Region: r.Region, Account: r.Account, Status: inProgress, Created: now, Modified: now,
		Seed: sagemaker.Or(in.HyperParameterTuningJobConfig.RandomSeed, randomSeed(in.HyperParameterTuningJobName, now)),
	}
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		parents, err := f.parents(tx, in)
		if err == nil {
			err = validateParents(in, parents)
		}
		if err != nil {
			return err
		}
		if err := f.jobs.Insert(tx, in.HyperParameterTuningJobName, job); err != nil {
			return err
		}
		return f.Tags.Create(tx, job.ARN, in.Tags)
	})
	if errors.Is(err, state.ErrExists) {
		return nil, awsapi.Errorf("ResourceInUse", "A hyperparameter tuning job with the name, %s, already exists. Choose a different name.", in.HyperParameterTuningJobName)
	}
	if err != nil {
		return nil, err
	}
	f.loop.Poke(in.HyperParameterTuningJobName)
	return &sagemaker.CreateHyperParameterTuningJobOutput{HyperParameterTuningJobArn: job.ARN}, nil
}

// randomSeed differs between jobs and stays the same for one.
func randomSeed(name string, created time.Time) int64 {
	h := fnv.New64a()
	h.Write([]byte(name + created.String()))
	return int64(h.Sum64() >> 1) //nolint:gosec // a seed may be any number
}

func (f *Family) stop(ctx context.Context, in *sagemaker.StopHyperParameterTuningJobInput) (*sagemaker.StopHyperParameterTuningJobOutput, error) {
	name := in.HyperParameterTuningJobName
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		job, _, err := f.get(tx, name)
		if err != nil {
			return err
		}
		if job.Done() {
			return sagemaker.Invalid("The request was rejected because the hyper parameter tuning job is in status %s.", job.Status)
		}
		job.Status, job.Closing, job.Modified = stopping, stopped, time.Now().UTC()
		return f.jobs.Put(tx, name, job)
	})
	if err == nil {
		f.loop.Poke(name)
	}
	return nil, err
}
