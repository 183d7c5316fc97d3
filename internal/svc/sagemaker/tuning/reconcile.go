package tuning

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// look is how often the trials are looked at without a word from them.
const look = 2 * time.Second

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

// step looks at the trials, starts those that may be started, and ends the
// job when there is nothing left to do.
func (f *Family) step(ctx context.Context, name string) (time.Duration, error) {
	job, trials, err := f.load(ctx, name)
	var missing *awsapi.Error
	if errors.As(err, &missing) || err == nil && job.Done() {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, t := range trials {
		if err := f.observe(ctx, job, t); err != nil {
			return 0, err
		}
	}
	closing, why := f.closing(job, trials)
	if closing == "" {
		trials, closing, why, err = f.startMore(ctx, job, trials)
		if err != nil {
			return 0, err
		}
	}
	running := count(trials, (*Trial).Running)
	switch {
	case closing != "" && running == 0:
		return 0, f.end(ctx, job, closing, why)
	case closing == stopped, closing == completed && f.reached(job, trials):
		return look, f.stopTrials(ctx, trials)
	}
	return look, nil
}

// observe brings a trial's row up to its training job.
func (f *Family) observe(ctx context.Context, job *Job, t *Trial) error {
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
	before := *t
	t.Status, t.ARN, t.Created = d.TrainingJobStatus, d.TrainingJobArn, d.CreationTime
	t.Failure = sagemaker.Or(d.FailureReason, "")
	t.Started, t.Ended = sagemaker.Or(d.TrainingStartTime, time.Time{}), sagemaker.Or(d.TrainingEndTime, time.Time{})
	for _, m := range d.FinalMetricDataList {
		if *m.MetricName == objective(&job.Request).MetricName {
			t.Objective = m.Value
		}
	}
	if before.Status == t.Status && same(before.Objective, t.Objective) && before.Started.Equal(t.Started) {
		return nil
	}
	return f.putTrial(ctx, job, t)
}

func same(a, b *float64) bool { return a == b || a != nil && b != nil && *a == *b }

func (f *Family) putTrial(ctx context.Context, job *Job, t *Trial) error {
	return f.db.Update(ctx, func(tx *state.Tx) error {
		return f.trials.Put(tx, trialKey(job.Request.HyperParameterTuningJobName, t.Index), t)
	})
}

// closing says how the job will end, if it is known, and why.
func (f *Family) closing(job *Job, trials []*Trial) (status, why string) {
	limit := job.Request.HyperParameterTuningJobConfig.ResourceLimits.MaxRuntimeInSeconds
	switch {
	case job.Closing != "":
		return job.Closing, ""
	case limit != nil && time.Since(job.Created) > time.Duration(*limit)*time.Second:
		return stopped, ""
	case f.reached(job, trials), stalled(job, trials):
		return completed, ""
	}
	return "", ""
}

// reached tells whether a trial met the target of the completion criteria.
func (f *Family) reached(job *Job, trials []*Trial) bool {
	criteria := job.Request.HyperParameterTuningJobConfig.TuningJobCompletionCriteria
	best := best(job, trials)
	if criteria == nil || criteria.TargetObjectiveMetricValue == nil || best == nil {
		return false
	}
	if objective(&job.Request).Type == string(hpo.Maximize) {
		return *best.Objective >= *criteria.TargetObjectiveMetricValue
	}
	return *best.Objective <= *criteria.TargetObjectiveMetricValue
}

// stalled tells whether too many trials since the best one were no better.
func stalled(job *Job, trials []*Trial) bool {
	criteria := job.Request.HyperParameterTuningJobConfig.TuningJobCompletionCriteria
	best := best(job, trials)
	if criteria == nil || criteria.BestObjectiveNotImproving == nil || best == nil {
		return false
	}
	limit := criteria.BestObjectiveNotImproving.MaxNumberOfTrainingJobsNotImproving
	since := count(trials, func(t *Trial) bool { return t.Index > best.Index && t.Status == "Completed" })
	return limit != nil && since >= *limit
}

// startMore starts as many trials as the limits allow. It says how the job
// will end if none can follow.
func (f *Family) startMore(ctx context.Context, job *Job, trials []*Trial) (all []*Trial, closing, why string, err error) {
	cfg := job.Request.HyperParameterTuningJobConfig
	total := int64(len(trials))
	most := total + cfg.ResourceLimits.MaxParallelTrainingJobs // a grid ends by itself
	if n := cfg.ResourceLimits.MaxNumberOfTrainingJobs; n != nil {
		most = *n
	}
	if total >= most {
		return trials, outcome(trials), allFailed(trials), nil
	}
	free := min(most-total, cfg.ResourceLimits.MaxParallelTrainingJobs-count(trials, (*Trial).Running))
	if free <= 0 {
		return trials, "", "", nil
	}
	values, err := f.suggest(job, trials, int(free))
	if errors.Is(err, hpo.ErrExhausted) {
		return trials, outcome(trials), allFailed(trials), nil
	}
	if err != nil {
		return trials, failed, fmt.Sprintf("InternalServerError: no next trial: %v", err), nil
	}
	for _, v := range values {
		t := &Trial{Index: len(trials), Values: v, Created: time.Now().UTC()}
		t.Name = trialName(job, t.Index)
		if err := f.putTrial(ctx, job, t); err != nil {
			return trials, "", "", err
		}
		trials = append(trials, t)
		if err := f.launch(ctx, job, t); err != nil {
			return trials, "", "", err
		}
	}
	return trials, "", "", nil
}

func allFailed(trials []*Trial) string {
	return fmt.Sprintf("No training job succeeded after %d attempts. Please take a look at the training job failures to get more details.", len(trials))
}

// outcome is the end of a job whose trials are all started.
func outcome(trials []*Trial) string {
	if count(trials, func(t *Trial) bool { return t.Status != "Failed" }) == 0 {
		return failed
	}
	return completed
}

func (f *Family) suggest(job *Job, trials []*Trial, n int) ([]map[string]string, error) {
	name := job.Request.HyperParameterTuningJobName
	kept, ok := f.samplers.Load(name)
	if !ok {
		s, err := suggester(job)
		if err != nil {
			return nil, err
		}
		kept = s
		f.samplers.Store(name, s)
	}
	history := make([]hpo.Trial, len(trials))
	for i, t := range trials {
		history[i] = t.history()
	}
	return kept.(hpo.Suggester).Suggest(history, n)
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
		t.ARN, t.Status = arn, "InProgress"
	case errors.As(err, &refused) && refused.Code == "ResourceInUse":
		return nil // an earlier launch got this far
	case errors.As(err, &refused):
		t.Status, t.Failure = "Failed", "ClientError: "+refused.Message
	default:
		return err
	}
	return f.putTrial(ctx, job, t)
}

func trainingJob(job *Job, t *Trial) *sagemaker.CreateTrainingJobInput {
	def := job.Request.TrainingJobDefinition
	params := map[string]string{"_tuning_objective_metric": objective(&job.Request).MetricName}
	maps.Copy(params, def.StaticHyperParameters)
	maps.Copy(params, t.Values)
	spec := def.AlgorithmSpecification
	return &sagemaker.CreateTrainingJobInput{
		TrainingJobName: t.Name, HyperParameters: params, RoleArn: def.RoleArn,
		AlgorithmSpecification: &sagemaker.AlgorithmSpecification{
			TrainingImage: spec.TrainingImage, AlgorithmName: spec.AlgorithmName,
			TrainingInputMode: spec.TrainingInputMode, MetricDefinitions: spec.MetricDefinitions,
		},
		InputDataConfig: def.InputDataConfig, OutputDataConfig: def.OutputDataConfig,
		ResourceConfig: resources(def), StoppingCondition: def.StoppingCondition, VpcConfig: def.VpcConfig,
		EnableNetworkIsolation:                def.EnableNetworkIsolation,
		EnableInterContainerTrafficEncryption: def.EnableInterContainerTrafficEncryption,
		EnableManagedSpotTraining:             def.EnableManagedSpotTraining,
		CheckpointConfig:                      def.CheckpointConfig, RetryStrategy: def.RetryStrategy, Environment: def.Environment,
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

func (f *Family) end(ctx context.Context, job *Job, status, why string) error {
	name := job.Request.HyperParameterTuningJobName
	f.samplers.Delete(name)
	return f.db.Update(ctx, func(tx *state.Tx) error {
		_, err := f.jobs.Modify(tx, name, func(j *Job) error {
			now := time.Now().UTC()
			if j.Closing == stopped {
				status = stopped // asked for while this step was under way
			}
			j.Status, j.Modified, j.Ended = status, now, now
			if status == failed {
				j.Failure = why
			}
			return nil
		})
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
