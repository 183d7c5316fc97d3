package tuning

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// How often the trials are looked at without a word from them.
const (
	look        = 2 * time.Second
	lookClosely = time.Second // where they may be stopped early
)

// trialSuffix is the length of what a trial's name adds: -001-0a1b2c3d. Four
// digits and more would be longer; TrainingEnded then misses, and look helps.
const trialSuffix = len("-001-0a1b2c3d")

func (f *Family) unfinished(ctx context.Context) (names []string, err error) {
	err = f.db.View(ctx, func(tx *state.Tx) error {
		return f.jobs.Scan(tx, state.Range{}, func(name string, job *Job) (bool, error) {
			if !job.Done() {
				names = append(names, name)
			}
			return true, nil
		})
	})
	return names, err
}

// step looks at the trials, starts those that may be started, stops those that
// need not go on, and ends the job when there is nothing left to do.
func (f *Family) step(ctx context.Context, name string) (time.Duration, error) {
	job, trials, err := f.load(ctx, name)
	var missing *awsapi.Error
	if errors.As(err, &missing) || err == nil && job.Done() {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	plan, err := f.plan(ctx, job)
	if err != nil {
		return 0, err
	}
	for _, t := range trials {
		if err := f.observe(ctx, job, t, plan.stops()); err != nil {
			return 0, err
		}
	}
	if err := f.conclude(ctx, job, trials); err != nil {
		return 0, err
	}
	if job.Closing != "" {
		return f.wind(ctx, job, trials)
	}
	trials, more, err := f.startMore(ctx, job, plan, trials)
	switch {
	case err != nil:
		return 0, err
	case job.Closing != "":
		return f.wind(ctx, job, trials)
	case !more && count(trials, (*Trial).Running) == 0:
		return 0, f.end(ctx, job, outcome(job, trials))
	case !plan.stops():
		return look, nil
	}
	return lookClosely, f.cut(ctx, job, trials, plan.stop(trials))
}

// plan returns how a job searches.
func (f *Family) plan(ctx context.Context, job *Job) (*plan, error) {
	name := job.Request.HyperParameterTuningJobName
	if kept, ok := f.plans.Load(name); ok {
		return kept.(*plan), nil
	}
	var parents []*parent
	err := f.db.View(ctx, func(tx *state.Tx) (err error) {
		parents, err = f.parents(tx, &job.Request)
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := newPlan(job, parents)
	if err == nil {
		f.plans.Store(name, p)
	}
	return p, err
}

// observe brings a trial's row up to its training job.
func (f *Family) observe(ctx context.Context, job *Job, t *Trial, reports bool) error {
	if !t.Running() {
		return nil
	}
	d, err := f.Trainer.Describe(ctx, t.Name)
	var missing *awsapi.Error
	if errors.As(err, &missing) {
		if job.Closing != "" { // it was never started, and shall not be
			t.Status = stopped
			return f.putTrial(ctx, job, t)
		}
		return f.launch(ctx, job, t)
	}
	if err != nil {
		return err
	}
	metric, before := job.definition(t).objective.MetricName, *t
	t.Status, t.ARN, t.Created = d.TrainingJobStatus, d.TrainingJobArn, d.CreationTime
	t.Failure = sagemaker.Or(d.FailureReason, "")
	t.Started, t.Ended = sagemaker.Or(d.TrainingStartTime, time.Time{}), sagemaker.Or(d.TrainingEndTime, time.Time{})
	for _, m := range d.FinalMetricDataList {
		if *m.MetricName == metric {
			t.Objective = m.Value
		}
	}
	if reports && !t.Cut {
		if t.Reports, err = f.Trainer.Series(ctx, t.Name, metric); err != nil {
			return err
		}
	}
	if !t.Running() && t.Objective == nil && t.Failure == "" {
		if t.Failure, err = f.speechless(ctx, t, metric); err != nil {
			return err
		}
	}
	if before.Status == t.Status && same(before.Objective, t.Objective) && before.Started.Equal(t.Started) {
		return nil
	}
	return f.putTrial(ctx, job, t)
}

// speechless says why a trial that did not fail has no objective.
func (f *Family) speechless(ctx context.Context, t *Trial, metric string) (string, error) {
	why, err := f.Trainer.Unmatched(ctx, t.Name, metric)
	if why == "" {
		why = "the job printed nothing"
	}
	return sagemaker.Cut(fmt.Sprintf("The objective metric %q was not found: %s", metric, why)), err
}

func same(a, b *float64) bool { return a == b || a != nil && b != nil && *a == *b }

func (f *Family) putTrial(ctx context.Context, job *Job, t *Trial) error {
	return f.db.Update(ctx, func(tx *state.Tx) error {
		return f.trials.Put(tx, trialKey(job.Request.HyperParameterTuningJobName, t.Index), t)
	})
}

// conclude settles how the job will end, once that is known. It is written down:
// what trials print while they are being stopped does not change it.
func (f *Family) conclude(ctx context.Context, job *Job, trials []*Trial) error {
	v, end := verdict{}, false
	if job.Closing == "" {
		v, end = judge(job, trials)
	}
	settled := job.Converged.IsZero() && converged(job, trials)
	if !end && !settled {
		return nil
	}
	return f.modify(ctx, job, func(j *Job) {
		if settled {
			j.Converged = j.Modified
		}
		if !end || j.Closing != "" {
			return
		}
		j.Closing, j.Failure = v.status, v.why
		if v.status == stopped {
			j.Status = stopping
		}
	})
}

// wind stops what still runs of a job that is to end, and ends it.
func (f *Family) wind(ctx context.Context, job *Job, trials []*Trial) (time.Duration, error) {
	if count(trials, (*Trial).Running) == 0 {
		return 0, f.end(ctx, job, verdict{job.Closing, job.Failure})
	}
	return look, f.stopTrials(ctx, trials)
}

// startMore starts as many trials as the limits allow, one after the other. It
// says whether more can follow later.
func (f *Family) startMore(ctx context.Context, job *Job, p *plan, trials []*Trial) (all []*Trial, more bool, err error) {
	limits := job.Request.HyperParameterTuningJobConfig.ResourceLimits
	for running := count(trials, (*Trial).Running); ; running++ {
		if n := limits.MaxNumberOfTrainingJobs; n != nil && int64(len(trials)) >= *n {
			return trials, false, nil
		}
		if running >= limits.MaxParallelTrainingJobs {
			return trials, true, nil
		}
		number, values, err := p.next(trials)
		if errors.Is(err, hpo.ErrExhausted) {
			return trials, false, nil
		}
		if err != nil {
			return trials, false, f.modify(ctx, job, func(j *Job) {
				j.Closing, j.Failure = failed, sagemaker.Cut(fmt.Sprintf("InternalServerError: no next trial: %v", err))
			})
		}
		t := &Trial{Index: len(trials), Definition: number, Values: values, Created: time.Now().UTC()}
		t.Name = trialName(job, t.Index)
		if err := f.putTrial(ctx, job, t); err != nil {
			return trials, false, err
		}
		trials = append(trials, t)
		if err := f.launch(ctx, job, t); err != nil {
			return trials, false, err
		}
	}
}

// trialName is the same whenever it is asked for.
func trialName(job *Job, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %v %d", job.ARN, job.Created.UnixNano(), index))
	return fmt.Sprintf("%s-%03d-%x", job.Request.HyperParameterTuningJobName, index+1, sum[:4])
}

// launch creates the training job of a trial. One that the training family
// refuses is a failed trial: the same definition would be refused again.
func (f *Family) launch(ctx context.Context, job *Job, t *Trial) error {
	ctx = awsapi.WithRequest(ctx, &awsapi.Request{Service: "sagemaker", Region: job.Region, Account: job.Account})
	arn, err := f.Trainer.Create(ctx, trainingJob(job, t), job.ARN)
	var refused *awsapi.Error
	switch {
	case err == nil:
		t.ARN, t.Status = arn, inProgress
	case errors.As(err, &refused) && refused.Code == "ResourceInUse":
		return nil // an earlier launch got this far
	case errors.As(err, &refused):
		t.Status, t.Failure = failed, "ClientError: "+refused.Message
	default:
		return err
	}
	return f.putTrial(ctx, job, t)
}

func trainingJob(job *Job, t *Trial) *sagemaker.CreateTrainingJobInput {
	def := job.definition(t)
	params := maps.Clone(def.StaticHyperParameters)
	maps.Copy(params, t.Values)
	spec := def.AlgorithmSpecification
	return &sagemaker.CreateTrainingJobInput{
		TrainingJobName: t.Name, HyperParameters: params, RoleArn: def.RoleArn,
		AlgorithmSpecification: &sagemaker.AlgorithmSpecification{
			TrainingImage: spec.TrainingImage, AlgorithmName: spec.AlgorithmName,
			TrainingInputMode: spec.TrainingInputMode, MetricDefinitions: spec.MetricDefinitions,
		},
		InputDataConfig: def.InputDataConfig, OutputDataConfig: def.OutputDataConfig,
		ResourceConfig: resources(def.HyperParameterTrainingJobDefinition), StoppingCondition: def.StoppingCondition, VpcConfig: def.VpcConfig,
		EnableNetworkIsolation:                def.EnableNetworkIsolation,
		EnableInterContainerTrafficEncryption: def.EnableInterContainerTrafficEncryption,
		EnableManagedSpotTraining:             def.EnableManagedSpotTraining,
		CheckpointConfig:                      def.CheckpointConfig, RetryStrategy: def.RetryStrategy, Environment: def.Environment,
		Tags: job.Request.Tags,
	}
}

// resources takes the first instance type where several are offered.
func resources(def *sagemaker.HyperParameterTrainingJobDefinition) *sagemaker.ResourceConfig {
	r := def.HyperParameterTuningResourceConfig
	if def.ResourceConfig != nil || r == nil {
		return def.ResourceConfig
	}
	out := &sagemaker.ResourceConfig{InstanceType: r.InstanceType, InstanceCount: r.InstanceCount, VolumeSizeInGB: r.VolumeSizeInGB, VolumeKmsKeyId: r.VolumeKmsKeyId}
	if len(r.InstanceConfigs) > 0 {
		c := r.InstanceConfigs[0]
		out.InstanceType, out.InstanceCount, out.VolumeSizeInGB = &c.InstanceType, &c.InstanceCount, &c.VolumeSizeInGB
	}
	return out
}

// cut stops the trials that are named, and those that were named before: a
// server that died may have written so and no more.
func (f *Family) cut(ctx context.Context, job *Job, trials, named []*Trial) error {
	for _, t := range named {
		if t.Cut {
			continue
		}
		t.Cut = true
		if err := f.putTrial(ctx, job, t); err != nil {
			return err
		}
		f.Log.Info("a trial is stopped early", "trial", t.Name, "reports", len(t.Reports))
	}
	return f.stopTrials(ctx, slices.DeleteFunc(slices.Clone(trials), func(t *Trial) bool { return !t.Cut }))
}

func (f *Family) stopTrials(ctx context.Context, trials []*Trial) error {
	for _, t := range trials {
		if !t.Running() || t.Status == stopping {
			continue
		}
		var refused *awsapi.Error
		if err := f.Trainer.Stop(ctx, t.Name); err != nil && !errors.As(err, &refused) {
			return err // one that has just ended refuses, and that is fine
		}
	}
	return nil
}

func (f *Family) end(ctx context.Context, job *Job, v verdict) error {
	f.plans.Delete(job.Request.HyperParameterTuningJobName)
	return f.modify(ctx, job, func(j *Job) {
		if j.Closing == stopped {
			v = verdict{status: stopped} // asked for while this step was under way
		}
		j.Status, j.Failure, j.Ended = v.status, v.why, j.Modified
	})
}

// modify changes a job's row and the copy at hand alike.
func (f *Family) modify(ctx context.Context, job *Job, change func(j *Job)) error {
	return f.db.Update(ctx, func(tx *state.Tx) error {
		row, err := f.jobs.Modify(tx, job.Request.HyperParameterTuningJobName, func(j *Job) error {
			j.Modified = time.Now().UTC()
			change(j)
			return nil
		})
		if err == nil {
			*job = *row
		}
		return err
	})
}

func count(trials []*Trial, is func(*Trial) bool) (n int64) {
	for _, t := range trials {
		if is(t) {
			n++
		}
	}
	return n
}
