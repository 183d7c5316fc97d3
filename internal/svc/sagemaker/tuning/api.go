package tuning

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"sync"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/loop"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// The service's limits on one tuning job.
const (
	maxTrials       = 750
	maxTrialsRandom = 10_000
	maxParallel     = 100
)

// Family is the tuning family of SageMaker.
type Family struct {
	Deps
	store
	loop     *loop.Loop
	samplers sync.Map // job → hpo.Suggester, kept for its caches only
	once     sagemaker.Noted
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
	r := awsapi.RequestFrom(ctx)
	now := time.Now().UTC()
	job := &Job{
		Request: *in, ARN: sagemaker.ARN(r, "hyper-parameter-tuning-job", in.HyperParameterTuningJobName),
		Region: r.Region, Account: r.Account, Status: inProgress, Created: now, Modified: now,
		Seed: sagemaker.Or(in.HyperParameterTuningJobConfig.RandomSeed, randomSeed(in.HyperParameterTuningJobName, now)),
	}
	err := f.db.Update(ctx, func(tx *state.Tx) error {
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

func validate(in *sagemaker.CreateHyperParameterTuningJobInput) error {
	cfg, def := in.HyperParameterTuningJobConfig, in.TrainingJobDefinition
	limits := cfg.ResourceLimits
	switch {
	case len(in.TrainingJobDefinitions) > 0:
		return sagemaker.Invalid("TrainingJobDefinitions is not supported yet: give one TrainingJobDefinition.")
	case def == nil:
		return sagemaker.Invalid("TrainingJobDefinition is required.")
	case in.WarmStartConfig != nil:
		return sagemaker.Invalid("WarmStartConfig is not supported yet.")
	case in.Autotune != nil:
		return sagemaker.Invalid("Autotune is not supported yet: give ParameterRanges.")
	case cfg.Strategy == "Hyperband":
		return sagemaker.Invalid("Strategy Hyperband is not supported yet: use Bayesian, Random or Grid.")
	case objective(in) == nil:
		return sagemaker.Invalid("HyperParameterTuningJobObjective is required.")
	case def.ResourceConfig == nil && def.HyperParameterTuningResourceConfig == nil:
		return sagemaker.Invalid("ResourceConfig is required: name an InstanceType, InstanceCount and VolumeSizeInGB.")
	case limits.MaxParallelTrainingJobs > maxParallel:
		return awsapi.Errorf("ResourceLimitExceeded", "MaxParallelTrainingJobs %d is above the limit of %d.", limits.MaxParallelTrainingJobs, maxParallel)
	}
	space, err := spaceOf(ranges(in))
	if err != nil {
		return err
	}
	for _, p := range space {
		if _, both := def.StaticHyperParameters[p.Name]; both {
			return sagemaker.Invalid("Hyperparameter %q is both static and tuned.", p.Name)
		}
	}
	if _, err := hpo.New(cfg.Strategy, space, hpo.Goal(objective(in).Type), 0); err != nil {
		return sagemaker.Invalid("%v.", err)
	}
	return validateCount(cfg, combinations(space))
}

func validateCount(cfg *sagemaker.HyperParameterTuningJobConfig, grid int64) error {
	n, most := cfg.ResourceLimits.MaxNumberOfTrainingJobs, int64(maxTrials)
	if cfg.Strategy == hpo.Random {
		most = maxTrialsRandom
	}
	switch {
	case cfg.Strategy == hpo.Grid && n != nil && *n != grid:
		return sagemaker.Invalid("With strategy Grid, MaxNumberOfTrainingJobs is left out or is the number of combinations, %d.", grid)
	case cfg.Strategy == hpo.Grid:
		n = &grid
	case n == nil:
		return sagemaker.Invalid("ResourceLimits.MaxNumberOfTrainingJobs is required with strategy %s.", cfg.Strategy)
	}
	if *n > most {
		return awsapi.Errorf("ResourceLimitExceeded", "MaxNumberOfTrainingJobs %d is above the limit of %d for strategy %s.", *n, most, cfg.Strategy)
	}
	return nil
}

func (f *Family) noteIgnored(in *sagemaker.CreateHyperParameterTuningJobInput) {
	cfg, def := in.HyperParameterTuningJobConfig, in.TrainingJobDefinition
	criteria := cfg.TuningJobCompletionCriteria
	f.once.Ignored(f.Log, "CreateHyperParameterTuningJob", map[string]bool{
		"TrainingJobEarlyStoppingType": sagemaker.Or(cfg.TrainingJobEarlyStoppingType, "Off") != "Off",
		"ConvergenceDetected":          criteria != nil && criteria.ConvergenceDetected != nil,
		"VpcConfig":                    def.VpcConfig != nil,
		"EnableManagedSpotTraining":    sagemaker.Or(def.EnableManagedSpotTraining, false),
		"CheckpointConfig":             def.CheckpointConfig != nil,
	})
}

func (f *Family) describe(ctx context.Context, in *sagemaker.DescribeHyperParameterTuningJobInput) (*sagemaker.DescribeHyperParameterTuningJobOutput, error) {
	job, trials, err := f.load(ctx, in.HyperParameterTuningJobName)
	if err != nil {
		return nil, err
	}
	req := job.Request
	out := &sagemaker.DescribeHyperParameterTuningJobOutput{
		HyperParameterTuningJobName: req.HyperParameterTuningJobName, HyperParameterTuningJobArn: job.ARN,
		HyperParameterTuningJobConfig: req.HyperParameterTuningJobConfig, TrainingJobDefinition: req.TrainingJobDefinition,
		HyperParameterTuningJobStatus: job.Status, CreationTime: job.Created, LastModifiedTime: &job.Modified,
		TrainingJobStatusCounters: statusCounters(trials), ObjectiveStatusCounters: objectiveCounters(trials),
		ConsumedResources: consumed(trials),
	}
	if job.Failure != "" {
		out.FailureReason = &job.Failure
	}
	if !job.Ended.IsZero() {
		out.HyperParameterTuningEndTime = &job.Ended
	}
	if best := best(job, trials); best != nil {
		out.BestTrainingJob = f.summary(job, best)
	}
	return out, nil
}

// best returns the trial with the best objective, or nil. Ties go to the one
// that was started first.
func best(job *Job, trials []*Trial) (best *Trial) {
	sign := 1.0
	if objective(&job.Request).Type == string(hpo.Maximize) {
		sign = -1
	}
	for _, t := range trials {
		if t.Status != "Completed" || t.Objective == nil {
			continue
		}
		if best == nil || sign**t.Objective < sign**best.Objective {
			best = t
		}
	}
	return best
}

func (f *Family) summary(job *Job, t *Trial) *sagemaker.HyperParameterTrainingJobSummary {
	out := &sagemaker.HyperParameterTrainingJobSummary{
		TrainingJobName: t.Name, TrainingJobArn: t.ARN, CreationTime: t.Created,
		TrainingJobStatus: t.Status, TunedHyperParameters: t.Values,
		TrainingJobDefinitionName: job.Request.TrainingJobDefinition.DefinitionName,
	}
	if t.Status == "" {
		out.TrainingJobStatus = "InProgress"
	}
	status := "Pending"
	switch {
	case t.Objective != nil:
		o := objective(&job.Request)
		out.FinalHyperParameterTuningJobObjectiveMetric = &sagemaker.FinalHyperParameterTuningJobObjectiveMetric{
			MetricName: o.MetricName, Value: *t.Objective, Type: &o.Type,
		}
		if !t.Running() {
			status = "Succeeded"
		}
	case !t.Running():
		status = "Failed"
	}
	out.ObjectiveStatus = &status
	if t.Failure != "" {
		out.FailureReason = &t.Failure
	}
	if !t.Started.IsZero() {
		out.TrainingStartTime = &t.Started
	}
	if !t.Ended.IsZero() {
		out.TrainingEndTime = &t.Ended
	}
	return out
}

func statusCounters(trials []*Trial) *sagemaker.TrainingJobStatusCounters {
	var done, running, bad, halted, retryable int64
	for _, t := range trials {
		switch {
		case t.Running():
			running++
		case t.Status == "Completed":
			done++
		case t.Status == "Stopped":
			halted++
		default:
			bad++
		}
	}
	return &sagemaker.TrainingJobStatusCounters{Completed: &done, InProgress: &running, NonRetryableError: &bad, RetryableError: &retryable, Stopped: &halted}
}

func objectiveCounters(trials []*Trial) *sagemaker.ObjectiveStatusCounters {
	var good, open, bad int64
	for _, t := range trials {
		switch {
		case t.Running():
			open++
		case t.Objective != nil && t.Status != "Failed":
			good++
		default:
			bad++
		}
	}
	return &sagemaker.ObjectiveStatusCounters{Succeeded: &good, Pending: &open, Failed: &bad}
}

func consumed(trials []*Trial) *sagemaker.HyperParameterTuningJobConsumedResources {
	var total float64
	for _, t := range trials {
		if !t.Started.IsZero() && !t.Ended.IsZero() {
			total += t.Ended.Sub(t.Started).Seconds()
		}
	}
	n := int64(math.Ceil(total))
	return &sagemaker.HyperParameterTuningJobConsumedResources{RuntimeInSeconds: &n}
}

func (f *Family) listTrials(ctx context.Context, in *sagemaker.ListTrainingJobsForHyperParameterTuningJobInput) (*sagemaker.ListTrainingJobsForHyperParameterTuningJobOutput, error) {
	job, trials, err := f.load(ctx, in.HyperParameterTuningJobName)
	if err != nil {
		return nil, err
	}
	listing := sagemaker.Listing{
		StatusEquals: in.StatusEquals, SortBy: sagemaker.Or(in.SortBy, "Name"),
		Descending: sagemaker.Or(in.SortOrder, "Ascending") == "Descending", MaxResults: in.MaxResults, NextToken: in.NextToken,
	}
	byName := map[string]*Trial{}
	var entries []sagemaker.Entry
	for _, t := range trials {
		if listing.SortBy == "FinalObjectiveMetricValue" && t.Objective == nil {
			continue // as the service does: only jobs that have the value are listed
		}
		byName[t.Name] = t
		entries = append(entries, sagemaker.Entry{
			Name: t.Name, Status: f.summary(job, t).TrainingJobStatus, Created: t.Created, Value: sagemaker.Or(t.Objective, 0),
		})
	}
	page, next, err := listing.Page(entries)
	if err != nil {
		return nil, err
	}
	out := &sagemaker.ListTrainingJobsForHyperParameterTuningJobOutput{NextToken: next, TrainingJobSummaries: []*sagemaker.HyperParameterTrainingJobSummary{}}
	for _, e := range page {
		out.TrainingJobSummaries = append(out.TrainingJobSummaries, f.summary(job, byName[e.Name]))
	}
	return out, nil
}

func (f *Family) list(ctx context.Context, in *sagemaker.ListHyperParameterTuningJobsInput) (*sagemaker.ListHyperParameterTuningJobsOutput, error) {
	listing := sagemaker.Listing{
		NameContains: in.NameContains, StatusEquals: in.StatusEquals,
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		ModifiedAfter: in.LastModifiedTimeAfter, ModifiedBefore: in.LastModifiedTimeBefore,
		SortBy: sagemaker.Or(in.SortBy, "Name"), Descending: sagemaker.Or(in.SortOrder, "Ascending") == "Descending",
		MaxResults: in.MaxResults, NextToken: in.NextToken,
	}
	out := &sagemaker.ListHyperParameterTuningJobsOutput{HyperParameterTuningJobSummaries: []*sagemaker.HyperParameterTuningJobSummary{}}
	err := f.db.View(ctx, func(tx *state.Tx) error {
		var entries []sagemaker.Entry
		err := f.jobs.Scan(tx, state.Range{}, func(name string, job *Job) (bool, error) {
			entries = append(entries, sagemaker.Entry{Name: name, Status: job.Status, Created: job.Created, Modified: job.Modified})
			return true, nil
		})
		if err != nil {
			return err
		}
		page, next, err := listing.Page(entries)
		if err != nil {
			return err
		}
		out.NextToken = next
		for _, e := range page {
			job, trials, err := f.get(tx, e.Name)
			if err != nil {
				return err
			}
			out.HyperParameterTuningJobSummaries = append(out.HyperParameterTuningJobSummaries, jobSummary(job, trials))
		}
		return nil
	})
	return out, err
}

func jobSummary(job *Job, trials []*Trial) *sagemaker.HyperParameterTuningJobSummary {
	cfg := job.Request.HyperParameterTuningJobConfig
	out := &sagemaker.HyperParameterTuningJobSummary{
		HyperParameterTuningJobName: job.Request.HyperParameterTuningJobName, HyperParameterTuningJobArn: job.ARN,
		HyperParameterTuningJobStatus: job.Status, Strategy: cfg.Strategy, CreationTime: job.Created, LastModifiedTime: &job.Modified,
		TrainingJobStatusCounters: statusCounters(trials), ObjectiveStatusCounters: objectiveCounters(trials), ResourceLimits: cfg.ResourceLimits,
	}
	if !job.Ended.IsZero() {
		out.HyperParameterTuningEndTime = &job.Ended
	}
	return out
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
