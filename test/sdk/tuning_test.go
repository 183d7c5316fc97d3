package sdk

import (
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/fake"
	"github.com/musher/musher/test/musher"
)

// counter follows how many fake jobs run at once.
type counter struct{ now, most, all atomic.Int64 }

func (c *counter) enter() {
	c.all.Add(1)
	now := c.now.Add(1)
	for {
		most := c.most.Load()
		if now <= most || c.most.CompareAndSwap(most, now) {
			return
		}
	}
}

func (c *counter) leave() { c.now.Add(-1) }

func TestTuningJob(t *testing.T) {
	t.Parallel()
	for _, strategy := range []types.HyperParameterTuningJobStrategyType{"Bayesian", "Random"} {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			var running counter
			srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
				running.enter()
				defer running.leave()
				time.Sleep(30 * time.Millisecond) // time for others to run beside it
				return musher.Trainer(j)
			}})
			lab := srv.Lab(t)
			upload(t, lab)
			const trials, parallel = 13, 3
			in := lab.Tuning("tune", trials, parallel, map[string]string{"epochs": "2"})
			in.HyperParameterTuningJobConfig.Strategy = strategy
			lab.Tune(t, in)
			job := lab.AwaitTuning(t, "tune")
			if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted {
				t.Fatalf("the job is %s: %s", job.HyperParameterTuningJobStatus, aws.ToString(job.FailureReason))
			}
			if running.all.Load() != trials || running.most.Load() > parallel {
				t.Errorf("%d trials ran, %d at once", running.all.Load(), running.most.Load())
			}
			checkCounters(t, job, trials, 0, 0)
			checkTrials(t, lab, job, trials)
		})
	}
}

func checkCounters(t *testing.T, job *sagemaker.DescribeHyperParameterTuningJobOutput, completed, failed, stopped int32) {
	t.Helper()
	s, o := job.TrainingJobStatusCounters, job.ObjectiveStatusCounters
	if *s.Completed != completed || *s.NonRetryableError != failed || *s.Stopped != stopped || *s.InProgress != 0 || *s.RetryableError != 0 {
		t.Errorf("the counters are: completed %d, failed %d, stopped %d, in progress %d", *s.Completed, *s.NonRetryableError, *s.Stopped, *s.InProgress)
	}
	if *o.Succeeded < completed || *o.Pending != 0 || *o.Succeeded+*o.Failed != completed+failed+stopped {
		t.Errorf("the objectives are: %d succeeded, %d pending, %d failed", *o.Succeeded, *o.Pending, *o.Failed)
	}
}

// checkTrials compares the list of trials with the tuning job and with the
// training jobs themselves.
func checkTrials(t *testing.T, lab *musher.Lab, job *sagemaker.DescribeHyperParameterTuningJobOutput, want int) {
	t.Helper()
	name := job.HyperParameterTuningJobName
	sorted := lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{
		HyperParameterTuningJobName: name, SortBy: types.TrainingJobSortByOptionsFinalObjectiveMetricValue,
		SortOrder: types.SortOrderDescending, MaxResults: aws.Int32(4),
	})
	if len(sorted) != want {
		t.Fatalf("%d trials are listed, want %d", len(sorted), want)
	}
	value := func(s types.HyperParameterTrainingJobSummary) float32 {
		return *s.FinalHyperParameterTuningJobObjectiveMetric.Value
	}
	if !slices.IsSortedFunc(sorted, func(a, b types.HyperParameterTrainingJobSummary) int { return int(1e6 * (value(b) - value(a))) }) {
		t.Error("the trials are not sorted by their objective")
	}
	if best := job.BestTrainingJob; *best.TrainingJobName != *sorted[0].TrainingJobName && value(*best) != value(sorted[0]) {
		t.Errorf("the best job is %s, the list begins with %s", *best.TrainingJobName, *sorted[0].TrainingJobName)
	}
	names := map[string]bool{}
	for _, s := range sorted {
		names[*s.TrainingJobName] = true
		rate, err := strconv.ParseFloat(s.TunedHyperParameters["learning_rate"], 64)
		if err != nil || rate < 0.0001 || rate > 0.1 || len(s.TunedHyperParameters) != 1 {
			t.Errorf("trial %s tuned %v", *s.TrainingJobName, s.TunedHyperParameters)
		}
		trial := lab.TrainingJob(t, *s.TrainingJobName)
		if *trial.TuningJobArn != *job.HyperParameterTuningJobArn || trial.TrainingJobStatus != s.TrainingJobStatus ||
			trial.HyperParameters["learning_rate"] != s.TunedHyperParameters["learning_rate"] {
			t.Errorf("training job %s differs from its trial", *s.TrainingJobName)
		}
		if got := float32(metric(t, trial, "validation:accuracy")); got != value(s) {
			t.Errorf("training job %s has the accuracy %v, its trial %v", *s.TrainingJobName, got, value(s))
		}
	}
	if len(names) != want {
		t.Errorf("%d trials have %d names", want, len(names))
	}
	byName := lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: name, SortBy: types.TrainingJobSortByOptionsName})
	if len(byName) != want || !slices.IsSortedFunc(byName, func(a, b types.HyperParameterTrainingJobSummary) int {
		if *a.TrainingJobName < *b.TrainingJobName {
			return -1
		}
		return 1
	}) {
		t.Errorf("%d trials are listed by name", len(byName))
	}
}

func TestGrid(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Tuning("grid", 1, 4, nil)
	cfg := in.HyperParameterTuningJobConfig
	cfg.Strategy = types.HyperParameterTuningJobStrategyTypeGrid
	cfg.ResourceLimits.MaxNumberOfTrainingJobs = nil
	cfg.ParameterRanges = &types.ParameterRanges{CategoricalParameterRanges: []types.CategoricalParameterRange{
		{Name: aws.String("learning_rate"), Values: []string{"0.1", "0.3", "0.5"}},
		{Name: aws.String("optimizer"), Values: []string{"sgd", "adamw"}},
	}}
	lab.Tune(t, in)
	job := lab.AwaitTuning(t, "grid")
	checkCounters(t, job, 6, 0, 0)
	seen := map[string]bool{}
	for _, s := range lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("grid")}) {
		seen[fmt.Sprint(s.TunedHyperParameters)] = true
	}
	if len(seen) != 6 {
		t.Errorf("the grid has %d points: %v", len(seen), seen)
	}
	if got := job.BestTrainingJob.TunedHyperParameters["learning_rate"]; got != "0.3" {
		t.Errorf("the best rate is %s", got)
	}
}

// TestTuningGoal: a target ends the job early, and what runs is stopped.
func TestTuningGoal(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Tuning("goal", 500, 2, nil)
	in.HyperParameterTuningJobConfig.TuningJobCompletionCriteria = &types.TuningJobCompletionCriteria{TargetObjectiveMetricValue: aws.Float32(0.9)}
	lab.Tune(t, in)
	job := lab.AwaitTuning(t, "goal")
	done := *job.TrainingJobStatusCounters.Completed
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted || done < 1 || done > 20 {
		t.Errorf("the job is %s after %d trials", job.HyperParameterTuningJobStatus, done)
	}
}

func TestStopTuningJob(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	stop := func(name string) error {
		_, err := srv.SageMaker().StopHyperParameterTuningJob(background(), &sagemaker.StopHyperParameterTuningJobInput{HyperParameterTuningJobName: &name})
		return err
	}
	lab.Tune(t, lab.Tuning("stop", 20, 2, map[string]string{"seconds": "3600"}))
	musher.Eventually(t, "two trials train", func() bool {
		return len(lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("stop"), StatusEquals: types.TrainingJobStatusInProgress})) == 2
	})
	if err := stop("stop"); err != nil {
		t.Fatal(err)
	}
	job := lab.AwaitTuning(t, "stop")
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusStopped {
		t.Errorf("the job is %s", job.HyperParameterTuningJobStatus)
	}
	checkCounters(t, job, 0, 0, 2)
	for _, s := range lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("stop")}) {
		if trial := lab.TrainingJob(t, *s.TrainingJobName); trial.TrainingJobStatus != types.TrainingJobStatusStopped {
			t.Errorf("trial %s is %s", *s.TrainingJobName, trial.TrainingJobStatus)
		}
	}
	wantError(t, stop("stop"), "ValidationException", "Stopped")
	wantError(t, stop("none"), "ResourceNotFound", "none")
}

// TestTuningFailures: failed trials are counted and their failure told; only
// when all have failed has the job.
func TestTuningFailures(t *testing.T) {
	t.Parallel()
	var started atomic.Int64
	srv := musher.InProcess(t, musher.Doings{
		Training: func(j musher.FakeJob) int {
			if j.Hyperparameters["bad"] == "all" || j.Hyperparameters["bad"] == "some" && started.Add(1)%3 == 1 {
				return j.Fail("no good")
			}
			return musher.Trainer(j)
		},
		Behave: func(spec runner.Spec) (fake.Behaviour, bool) {
			// The first attempt of every trial of "retried" is killed.
			job := spec.Labels["job"]
			return fake.Behaviour{Signal: "SIGKILL"}, len(job) > 7 && job[:7] == "retried" && spec.ID == "training."+job+".0"
		},
	})
	lab := srv.Lab(t)
	upload(t, lab)
	lab.Tune(t, lab.Tuning("some", 6, 2, map[string]string{"bad": "some"}))
	job := lab.AwaitTuning(t, "some")
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted {
		t.Errorf("the job with some failed trials is %s", job.HyperParameterTuningJobStatus)
	}
	checkCounters(t, job, 4, 2, 0)
	for _, s := range lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("some"), StatusEquals: types.TrainingJobStatusFailed}) {
		if aws.ToString(s.FailureReason) != "AlgorithmError: no good" || s.ObjectiveStatus != types.ObjectiveStatusFailed {
			t.Errorf("failed trial %s: %s, %s", *s.TrainingJobName, aws.ToString(s.FailureReason), s.ObjectiveStatus)
		}
	}
	lab.Tune(t, lab.Tuning("all", 5, 2, map[string]string{"bad": "all"}))
	job = lab.AwaitTuning(t, "all")
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusFailed || aws.ToString(job.FailureReason) == "" {
		t.Errorf("the job whose trials all failed is %s", job.HyperParameterTuningJobStatus)
	}
	checkCounters(t, job, 0, 5, 0)
	in := lab.Tuning("retried", 3, 2, nil)
	in.TrainingJobDefinition.RetryStrategy = &types.RetryStrategy{MaximumRetryAttempts: aws.Int32(1)}
	lab.Tune(t, in)
	checkCounters(t, lab.AwaitTuning(t, "retried"), 3, 0, 0)
}

// TestTuningRestart: trials of a server that went away are found again.
func TestTuningRestart(t *testing.T) {
	t.Parallel()
	var running counter
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		running.enter()
		defer running.leave()
		time.Sleep(50 * time.Millisecond)
		return musher.Trainer(j)
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	const trials = 12
	lab.Tune(t, lab.Tuning("resumed", trials, 3, nil))
	for range 5 {
		time.Sleep(60 * time.Millisecond) // whatever the server does now
		srv.Stop()
		srv.Start()
	}
	job := lab.AwaitTuning(t, "resumed")
	checkCounters(t, job, trials, 0, 0)
	if running.all.Load() != trials || running.most.Load() > 3 {
		t.Errorf("%d trials ran, %d at once", running.all.Load(), running.most.Load())
	}
	checkTrials(t, lab, job, trials)
}

func TestTuningIsRefused(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	for name, c := range map[string]struct {
		change func(*sagemaker.CreateHyperParameterTuningJobInput)
		code   string
		says   string
	}{
		"no ranges": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges = nil
		}, "ValidationException", "ParameterRanges"},
		"upside down": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[0].MinValue = aws.String("7")
		}, "ValidationException", "learning_rate"},
		"not a number": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[0].MaxValue = aws.String("fast")
		}, "ValidationException", `"fast" is not a number`},
		"infinite": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[0].MaxValue = aws.String("Inf")
		}, "ValidationException", "learning_rate"},
		"logarithm of zero": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[0].MinValue = aws.String("0")
		}, "ValidationException", "learning_rate"},
		"both static and tuned": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.TrainingJobDefinition.StaticHyperParameters = map[string]string{"learning_rate": "1"}
		}, "ValidationException", "both static and tuned"},
		"too many trials": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.Strategy = "Bayesian"
			in.HyperParameterTuningJobConfig.ResourceLimits.MaxNumberOfTrainingJobs = aws.Int32(751)
		}, "ResourceLimitExceeded", "750"},
		"too many at once": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ResourceLimits.MaxParallelTrainingJobs = aws.Int32(101)
		}, "ResourceLimitExceeded", "100"},
		"long name": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobName = aws.String("a-name-that-has-more-than-32-chars")
		}, "ValidationException", "hyperParameterTuningJobName"},
		"unknown strategy": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.Strategy = "Astrology"
		}, "ValidationException", "strategy"},
		"no resource": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.Strategy = "Hyperband"
		}, "ValidationException", "MaxResource is required"},
		"resources upside down": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			hyperband(in, 9, 3)
		}, "ValidationException", "MinResource <= MaxResource"},
		"Hyperband with early stopping": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			hyperband(in, 1, 9)
			in.HyperParameterTuningJobConfig.TrainingJobEarlyStoppingType = types.TrainingJobEarlyStoppingTypeAuto
		}, "ValidationException", "must be Off"},
		"resources without Hyperband": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			hyperband(in, 1, 9)
			in.HyperParameterTuningJobConfig.Strategy = "Random"
		}, "ValidationException", "only for strategy Hyperband"},
		"ASHA without Hyperband": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.Tags = []types.Tag{{Key: aws.String("musher:strategy"), Value: aws.String("ASHA")}}
		}, "ValidationException", "goes with Strategy Hyperband"},
		"Autotune": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.Autotune = &types.Autotune{Mode: types.AutotuneModeEnabled}
		}, "ValidationException", "Autotune is not supported"},
		"one definition and several": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.TrainingJobDefinitions = []types.HyperParameterTrainingJobDefinition{*in.TrainingJobDefinition}
		}, "ValidationException", "not both"},
		"definitions without a name": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			several(in, "", "")
		}, "ValidationException", "DefinitionName"},
		"definitions of one name": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			several(in, "a", "a")
		}, "ValidationException", "used twice"},
		"objectives of two types": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			several(in, "a", "b")
			in.TrainingJobDefinitions[1].TuningObjective.Type = "Minimize"
		}, "ValidationException", "different types"},
		"definitions with early stopping": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			several(in, "a", "b")
			in.HyperParameterTuningJobConfig.TrainingJobEarlyStoppingType = types.TrainingJobEarlyStoppingTypeAuto
		}, "ValidationException", "only for one training job definition"},
	} {
		in := lab.Tuning("refused", 3, 1, nil)
		c.change(in)
		_, err := srv.SageMaker().CreateHyperParameterTuningJob(t.Context(), in)
		if musher.Code(err) != c.code {
			t.Errorf("%s: the error is %v, want %s", name, err, c.code)
			continue
		}
		wantError(t, err, c.code, c.says)
	}
	lab.Tune(t, lab.Tuning("taken", 1, 1, nil))
	_, err := srv.SageMaker().CreateHyperParameterTuningJob(t.Context(), lab.Tuning("taken", 1, 1, nil))
	wantError(t, err, "ResourceInUse", "taken")
	_, err = srv.SageMaker().DescribeHyperParameterTuningJob(t.Context(), &sagemaker.DescribeHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("none")})
	wantError(t, err, "ResourceNotFound", "none")
	if !is[*types.ResourceNotFound](err) {
		t.Errorf("a missing tuning job gives %T", err)
	}
}

func TestListTuningJobs(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	for i := range 12 {
		lab.Tune(t, lab.Tuning(fmt.Sprintf("tune-%02d", i), 1, 1, nil))
	}
	lab.AwaitTuning(t, "tune-11")
	var names []string
	pages := sagemaker.NewListHyperParameterTuningJobsPaginator(srv.SageMaker(), &sagemaker.ListHyperParameterTuningJobsInput{SortBy: types.HyperParameterTuningJobSortByOptionsCreationTime, SortOrder: types.SortOrderDescending})
	for pages.HasMorePages() {
		for _, s := range must(pages.NextPage(t.Context()))(t).HyperParameterTuningJobSummaries {
			names = append(names, *s.HyperParameterTuningJobName)
		}
	}
	if len(names) != 12 || names[0] != "tune-11" || names[11] != "tune-00" {
		t.Errorf("listed: %v", names)
	}
	for i := range 12 {
		lab.AwaitTuning(t, fmt.Sprintf("tune-%02d", i))
	}
}
