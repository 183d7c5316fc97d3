package tuning

import (
	"context"
	"math"
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

func (f *Family) describe(ctx context.Context, in *sagemaker.DescribeHyperParameterTuningJobInput) (*sagemaker.DescribeHyperParameterTuningJobOutput, error) {
	job, trials, err := f.load(ctx, in.HyperParameterTuningJobName)
	if err != nil {
		return nil, err
	}
	req := job.Request
	out := &sagemaker.DescribeHyperParameterTuningJobOutput{
		HyperParameterTuningJobName: req.HyperParameterTuningJobName, HyperParameterTuningJobArn: job.ARN,
		HyperParameterTuningJobConfig: req.HyperParameterTuningJobConfig, TrainingJobDefinition: req.TrainingJobDefinition,
		TrainingJobDefinitions: req.TrainingJobDefinitions, WarmStartConfig: req.WarmStartConfig,
		HyperParameterTuningJobStatus: job.Status, CreationTime: job.Created, LastModifiedTime: &job.Modified,
		TrainingJobStatusCounters: statusCounters(trials), ObjectiveStatusCounters: objectiveCounters(trials),
		ConsumedResources: consumed(job), TuningJobCompletionDetails: completionDetails(job, trials),
	}
	if job.Done() && job.Failure != "" {
		out.FailureReason = &job.Failure
	}
	if !job.Ended.IsZero() {
		out.HyperParameterTuningEndTime = &job.Ended
	}
	if best := best(job, trials); best != nil {
		out.BestTrainingJob, err = f.summary(ctx, job, best)
	}
	if err == nil && req.WarmStartConfig != nil && req.WarmStartConfig.WarmStartType == identical {
		out.OverallBestTrainingJob, err = f.overallBest(ctx, job, trials)
	}
	return out, err
}

// overallBest is the best of a job's trials and those of its parents.
func (f *Family) overallBest(ctx context.Context, job *Job, trials []*Trial) (*sagemaker.HyperParameterTrainingJobSummary, error) {
	var parents []*parent
	err := f.db.View(ctx, func(tx *state.Tx) (err error) {
		parents, err = f.parents(tx, &job.Request)
		return err
	})
	if err != nil {
		return nil, err
	}
	of, overall := job, best(job, trials)
	for _, p := range parents {
		if b := best(p.Job, p.trials); b != nil && (overall == nil || p.cost(b) < of.cost(overall)) {
			of, overall = p.Job, b
		}
	}
	if overall == nil {
		return nil, nil //nolint:nilnil // the field is left out
	}
	return f.summary(ctx, of, overall)
}

func (f *Family) summary(ctx context.Context, job *Job, t *Trial) (*sagemaker.HyperParameterTrainingJobSummary, error) {
	d := job.definition(t)
	out := &sagemaker.HyperParameterTrainingJobSummary{
		TrainingJobName: t.Name, TrainingJobArn: t.ARN, CreationTime: t.Created,
		TrainingJobStatus: t.status(), TunedHyperParameters: t.Values, ObjectiveStatus: new(t.objectiveStatus()),
		TrainingJobDefinitionName: d.DefinitionName, TuningJobName: &job.Request.HyperParameterTuningJobName,
	}
	if t.Objective != nil {
		out.FinalHyperParameterTuningJobObjectiveMetric = &sagemaker.FinalHyperParameterTuningJobObjectiveMetric{
			MetricName: d.objective.MetricName, Value: *t.Objective, Type: &d.objective.Type,
		}
	}
	failure := t.Failure
	if t.Running() && t.Objective == nil && !t.Started.IsZero() {
		// As soon as it is so, not when it is too late.
		var err error
		if failure, err = f.Trainer.Unmatched(ctx, t.Name, d.objective.MetricName); err != nil {
			return nil, err
		}
		if failure != "" {
			failure = "No objective so far: " + failure
		}
	}
	if failure != "" {
		out.FailureReason = new(sagemaker.Cut(failure))
	}
	if !t.Started.IsZero() {
		out.TrainingStartTime = &t.Started
	}
	if !t.Ended.IsZero() {
		out.TrainingEndTime = &t.Ended
	}
	return out, nil
}

// status is the TrainingJobStatus; a trial that waits to be created is on its
// way as well.
func (t *Trial) status() string {
	if t.Status == "" {
		return inProgress
	}
	return t.Status
}

func (t *Trial) objectiveStatus() string {
	switch {
	case t.Running():
		return "Pending"
	case t.Judged():
		return "Succeeded"
	}
	return "Failed"
}

// completionDetails tell how the search goes, whether it ends by that or not.
func completionDetails(job *Job, trials []*Trial) *sagemaker.HyperParameterTuningJobCompletionDetails {
	out := &sagemaker.HyperParameterTuningJobCompletionDetails{NumberOfTrainingJobsObjectiveNotImproving: new(notImproving(job, trials))}
	if !job.Converged.IsZero() {
		out.ConvergenceDetectedTime = &job.Converged
	}
	return out
}

// consumed is the wall-clock time of the tuning job.
func consumed(job *Job) *sagemaker.HyperParameterTuningJobConsumedResources {
	until := job.Ended
	if until.IsZero() {
		until = time.Now()
	}
	return &sagemaker.HyperParameterTuningJobConsumedResources{RuntimeInSeconds: new(int64(math.Ceil(until.Sub(job.Created).Seconds())))}
}

func statusCounters(trials []*Trial) *sagemaker.TrainingJobStatusCounters {
	var done, running, bad, halted, retryable int64
	for _, t := range trials {
		switch {
		case t.Running():
			running++
		case t.Status == completed:
			done++
		case t.Status == stopped:
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
		case t.Judged():
			good++
		default:
			bad++
		}
	}
	return &sagemaker.ObjectiveStatusCounters{Succeeded: &good, Pending: &open, Failed: &bad}
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
			Name: t.Name, Status: t.status(), Created: t.Created, Value: sagemaker.Or(t.Objective, 0),
		})
	}
	page, next, err := listing.Page(entries)
	if err != nil {
		return nil, err
	}
	out := &sagemaker.ListTrainingJobsForHyperParameterTuningJobOutput{NextToken: next, TrainingJobSummaries: []*sagemaker.HyperParameterTrainingJobSummary{}}
	for _, e := range page {
		s, err := f.summary(ctx, job, byName[e.Name])
		if err != nil {
			return nil, err
		}
		out.TrainingJobSummaries = append(out.TrainingJobSummaries, s)
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
