package sdk

import (
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/test/musher"
)

// hyperband makes a request one of strategy Hyperband.
func hyperband(in *sagemaker.CreateHyperParameterTuningJobInput, low, high int32) {
	in.HyperParameterTuningJobConfig.Strategy = types.HyperParameterTuningJobStrategyTypeHyperband
	in.HyperParameterTuningJobConfig.StrategyConfig = &types.HyperParameterTuningJobStrategyConfig{
		HyperbandStrategyConfig: &types.HyperbandStrategyConfig{MinResource: &low, MaxResource: &high},
	}
}

// several makes a request one of several definitions, which differ in their
// names only.
func several(in *sagemaker.CreateHyperParameterTuningJobInput, names ...string) {
	cfg := in.HyperParameterTuningJobConfig
	for _, name := range names {
		d := *in.TrainingJobDefinition
		objective := *cfg.HyperParameterTuningJobObjective
		d.HyperParameterRanges, d.TuningObjective = cfg.ParameterRanges, &objective
		if name != "" {
			d.DefinitionName = aws.String(name)
		}
		in.TrainingJobDefinitions = append(in.TrainingJobDefinitions, d)
	}
	in.TrainingJobDefinition, cfg.ParameterRanges, cfg.HyperParameterTuningJobObjective = nil, nil, nil
}

// report prints an accuracy as each epoch does.
func report(j musher.FakeJob, accuracy ...float64) {
	for i, a := range accuracy {
		fmt.Fprintf(j, "epoch=%d validation:accuracy=%g\n", i+1, a)
	}
}

// untilStopped waits for SIGTERM. A job that is not stopped fails.
func untilStopped(j musher.FakeJob) int {
	select {
	case <-j.Ctx.Done():
		return j.Finish("stopped")
	case <-time.After(2 * time.Minute):
		return j.Fail("nobody stopped this job")
	}
}

// TestEarlyStopping: a trial that is worse than the median of those before it is
// stopped, and what it has reported counts.
func TestEarlyStopping(t *testing.T) {
	t.Parallel()
	var started atomic.Int64
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		if started.Add(1) == 4 {
			report(j, 0.9, 0.2)
			return untilStopped(j)
		}
		report(j, 0.5, 0.6, 0.7)
		return j.Finish("good")
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Tuning("early", 5, 1, nil)
	in.HyperParameterTuningJobConfig.TrainingJobEarlyStoppingType = types.TrainingJobEarlyStoppingTypeAuto
	lab.Tune(t, in)
	job := lab.AwaitTuning(t, "early")
	checkCounters(t, job, 4, 0, 1)
	if *job.ObjectiveStatusCounters.Succeeded != 5 {
		t.Errorf("%d objectives count, want all 5", *job.ObjectiveStatusCounters.Succeeded)
	}
	trials := lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("early"), StatusEquals: types.TrainingJobStatusStopped})
	if len(trials) != 1 || *trials[0].FinalHyperParameterTuningJobObjectiveMetric.Value != 0.2 || trials[0].ObjectiveStatus != types.ObjectiveStatusSucceeded {
		t.Fatalf("the stopped trials are %+v", trials)
	}
	if d := lab.TrainingJob(t, *trials[0].TrainingJobName); d.SecondaryStatus != types.SecondaryStatusStopped || d.ModelArtifacts == nil {
		t.Errorf("the stopped trial's training job is %s, its model %+v", d.SecondaryStatus, d.ModelArtifacts)
	}
}

// TestASHA: two of three are stopped at the first rung, and the server may go
// away in between.
func TestASHA(t *testing.T) {
	t.Parallel()
	var started atomic.Int64
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		if started.Add(1)%3 == 1 {
			report(j, 0.5, 0.6, 0.7, 0.8, 0.9)
			return j.Finish("good")
		}
		report(j, 0.4)
		return untilStopped(j)
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Tuning("asha", 9, 3, map[string]string{"epochs": `"5"`})
	in.HyperParameterTuningJobConfig.Strategy = types.HyperParameterTuningJobStrategyTypeHyperband
	in.Tags = []types.Tag{{Key: aws.String("musher:strategy"), Value: aws.String("ASHA")}}
	lab.Tune(t, in)
	musher.Eventually(t, "a trial has been stopped", func() bool { return *lab.TuningJob(t, "asha").TrainingJobStatusCounters.Stopped > 0 })
	srv.Stop()
	srv.Start()
	job := lab.AwaitTuning(t, "asha")
	checkCounters(t, job, 3, 0, 6)
	if *job.BestTrainingJob.FinalHyperParameterTuningJobObjectiveMetric.Value != 0.9 {
		t.Errorf("the best trial has %v", *job.BestTrainingJob.FinalHyperParameterTuningJobObjectiveMetric.Value)
	}
	tags := must(srv.SageMaker().ListTags(t.Context(), &sagemaker.ListTagsInput{ResourceArn: job.BestTrainingJob.TrainingJobArn}))(t)
	if len(tags.Tags) != 1 || *tags.Tags[0].Value != "ASHA" {
		t.Errorf("the trials have the tags %v, want those of their tuning job", tags.Tags)
	}
}

// TestHyperband: MaxResource ends trials that would go on; what they reported
// last is their objective.
func TestHyperband(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		report(j, 0.1, 0.2, 0.3)
		return untilStopped(j)
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Tuning("hyperband", 4, 4, nil)
	hyperband(in, 1, 3)
	lab.Tune(t, in)
	job := lab.AwaitTuning(t, "hyperband")
	checkCounters(t, job, 0, 0, 4)
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted || *job.BestTrainingJob.FinalHyperParameterTuningJobObjectiveMetric.Value != 0.3 {
		t.Errorf("the job is %s, its best trial %+v", job.HyperParameterTuningJobStatus, job.BestTrainingJob)
	}
	if job.HyperParameterTuningJobConfig.StrategyConfig == nil || *job.HyperParameterTuningJobConfig.StrategyConfig.HyperbandStrategyConfig.MaxResource != 3 {
		t.Error("the resources are not described")
	}
}

// warm makes a request a warm start.
func warm(in *sagemaker.CreateHyperParameterTuningJobInput, kind types.HyperParameterTuningJobWarmStartType, parents ...string) *sagemaker.CreateHyperParameterTuningJobInput {
	in.WarmStartConfig = &types.HyperParameterTuningJobWarmStartConfig{WarmStartType: kind}
	for _, p := range parents {
		in.WarmStartConfig.ParentHyperParameterTuningJobs = append(in.WarmStartConfig.ParentHyperParameterTuningJobs, types.ParentHyperParameterTuningJob{HyperParameterTuningJobName: aws.String(p)})
	}
	return in
}

func rates(in *sagemaker.CreateHyperParameterTuningJobInput, low, high string) {
	r := &in.HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[0]
	r.MinValue, r.MaxValue = &low, &high
}

func TestWarmStart(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	parent := lab.Tuning("parent", 6, 3, nil)
	rates(parent, "0.0001", "0.3")
	lab.Tune(t, parent)
	best := lab.AwaitTuning(t, "parent").BestTrainingJob

	// A child that searches only bad places: its parent keeps the best trial.
	const identical, transfer = types.HyperParameterTuningJobWarmStartTypeIdenticalDataAndAlgorithm, types.HyperParameterTuningJobWarmStartTypeTransferLearning
	child := warm(lab.Tuning("child", 3, 1, nil), identical, "parent")
	child.HyperParameterTuningJobConfig.Strategy = types.HyperParameterTuningJobStrategyTypeBayesian
	rates(child, "0.00001", "0.00002")
	lab.Tune(t, child)
	job := lab.AwaitTuning(t, "child")
	checkCounters(t, job, 3, 0, 0)
	if o := job.OverallBestTrainingJob; o == nil || *o.TrainingJobName != *best.TrainingJobName || *o.TuningJobName != "parent" {
		t.Errorf("the best over all is %+v, want the parent's %s", o, *best.TrainingJobName)
	}
	if *job.BestTrainingJob.TuningJobName != "child" || job.WarmStartConfig == nil || job.WarmStartConfig.WarmStartType != identical {
		t.Errorf("the child is described with %+v, best %+v", job.WarmStartConfig, job.BestTrainingJob)
	}
	lab.Tune(t, warm(lab.Tuning("moved", 1, 1, nil), transfer, "parent", "child"))
	if job := lab.AwaitTuning(t, "moved"); job.OverallBestTrainingJob != nil {
		t.Error("a transfer has a best over all")
	}

	lab.Tune(t, lab.Tuning("open", 1, 1, map[string]string{"seconds": "3600"}))
	for says, change := range map[string]func(in *sagemaker.CreateHyperParameterTuningJobInput){
		"a parent must be Completed": func(in *sagemaker.CreateHyperParameterTuningJobInput) { warm(in, identical, "open") },
		"of its own":                 func(in *sagemaker.CreateHyperParameterTuningJobInput) { warm(in, identical, "parent", "parent") },
		"another objective": func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.HyperParameterTuningJobObjective.Type = "Minimize"
		},
		"the number must be the same": func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.TrainingJobDefinition.StaticHyperParameters = map[string]string{"more": "1"}
		},
		"the type must not change": func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges = &types.ParameterRanges{CategoricalParameterRanges: []types.CategoricalParameterRange{{Name: aws.String("learning_rate"), Values: []string{"0.1"}}}}
		},
		"use TransferLearning": func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.TrainingJobDefinition.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String(lab.URI("other/"))
		},
		"above the limit of 750": func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.Strategy = types.HyperParameterTuningJobStrategyTypeBayesian
			in.HyperParameterTuningJobConfig.ResourceLimits.MaxNumberOfTrainingJobs = aws.Int32(745)
		},
		"only for the strategies": func(in *sagemaker.CreateHyperParameterTuningJobInput) { hyperband(in, 1, 3) },
		"only for one training job definition": func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			several(in, "a", "b")
		},
	} {
		in := warm(lab.Tuning("refused", 3, 1, nil), identical, "parent")
		change(in)
		_, err := srv.SageMaker().CreateHyperParameterTuningJob(t.Context(), in)
		wantError(t, err, "ValidationException", says)
	}
	_, err := srv.SageMaker().CreateHyperParameterTuningJob(t.Context(), warm(lab.Tuning("orphan", 1, 1, nil), identical, "nobody"))
	wantError(t, err, "ResourceNotFound", "nobody")
	must(srv.SageMaker().StopHyperParameterTuningJob(t.Context(), &sagemaker.StopHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("open")}))(t)
	lab.AwaitTuning(t, "open")
}

// TestWarmStartKnows: a Bayesian child of a parent with enough trials does not
// begin with points that fill the space, but where the parent did well.
func TestWarmStartKnows(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	parent := lab.Tuning("parent", 12, 4, nil)
	rates(parent, "0.01", "1")
	lab.Tune(t, parent)
	lab.AwaitTuning(t, "parent")
	child := warm(lab.Tuning("child", 1, 1, nil), types.HyperParameterTuningJobWarmStartTypeIdenticalDataAndAlgorithm, "parent")
	rates(child, "0.01", "1")
	child.HyperParameterTuningJobConfig.Strategy = types.HyperParameterTuningJobStrategyTypeBayesian
	lab.Tune(t, child)
	job := lab.AwaitTuning(t, "child")
	// The accuracy is 1 - (rate - 0.3)²; the parent's trials show the place well.
	if rate := number(t, job.BestTrainingJob.TunedHyperParameters["learning_rate"]); rate < 0.15 || rate > 0.45 {
		t.Errorf("the child's first trial has the rate %v", rate)
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	return must(strconv.ParseFloat(text, 64))(t)
}

// TestSeveralDefinitions: trials take turns, each with its definition's ranges,
// fixed values and objective; the best is the best of all.
func TestSeveralDefinitions(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Tuning("both", 6, 2, nil)
	several(in, "low", "high")
	low, high := &in.TrainingJobDefinitions[0], &in.TrainingJobDefinitions[1]
	low.StaticHyperParameters = map[string]string{"note": "low"}
	high.HyperParameterRanges = &types.ParameterRanges{CategoricalParameterRanges: []types.CategoricalParameterRange{
		{Name: aws.String("learning_rate"), Values: []string{"0.29", "0.3", "0.31"}}, {Name: aws.String("batch_size"), Values: []string{`"32"`, `"64"`}},
	}}
	lab.Tune(t, in)
	job := lab.AwaitTuning(t, "both")
	checkCounters(t, job, 6, 0, 0)
	if job.TrainingJobDefinition != nil || len(job.TrainingJobDefinitions) != 2 || *job.BestTrainingJob.TrainingJobDefinitionName != "high" {
		t.Errorf("the job is described with %d definitions, its best trial is of %v", len(job.TrainingJobDefinitions), job.BestTrainingJob.TrainingJobDefinitionName)
	}
	made := map[string]int{}
	for _, s := range lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("both")}) {
		made[*s.TrainingJobDefinitionName]++
		trial := lab.TrainingJob(t, *s.TrainingJobName)
		for name, value := range s.TunedHyperParameters {
			if trial.HyperParameters[name] != value {
				t.Errorf("%s has %s=%s, its trial %s", *s.TrainingJobName, name, trial.HyperParameters[name], value)
			}
		}
		batch, ok := s.TunedHyperParameters["batch_size"]
		if want := *s.TrainingJobDefinitionName == "high"; ok != want || want && batch != `"32"` && batch != `"64"` || want == (trial.HyperParameters["note"] == "low") {
			t.Errorf("the trial of %s tuned %v and got %v", *s.TrainingJobDefinitionName, s.TunedHyperParameters, trial.HyperParameters)
		}
	}
	if !maps.Equal(made, map[string]int{"low": 3, "high": 3}) {
		t.Errorf("the definitions have %v trials", made)
	}
}

// TestCompletionCriteria: a search that gets nowhere ends by itself.
func TestCompletionCriteria(t *testing.T) {
	t.Parallel()
	var started atomic.Int64
	fifth := make(chan struct{})
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		if j.Hyperparameters["hang"] != "" {
			switch started.Add(1) {
			case 4:
				<-fifth // so that one runs when this one ends the search
			case 5:
				close(fifth)
				return untilStopped(j)
			}
		}
		report(j, 0.5)
		return j.Finish("same")
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	stale := lab.Tuning("stale", 100, 2, map[string]string{"hang": "yes"})
	stale.HyperParameterTuningJobConfig.TuningJobCompletionCriteria = &types.TuningJobCompletionCriteria{BestObjectiveNotImproving: &types.BestObjectiveNotImproving{MaxNumberOfTrainingJobsNotImproving: aws.Int32(3)}}
	settled := lab.Tuning("settled", 100, 1, nil)
	settled.HyperParameterTuningJobConfig.TuningJobCompletionCriteria = &types.TuningJobCompletionCriteria{ConvergenceDetected: &types.ConvergenceDetected{CompleteOnConvergence: types.CompleteOnConvergenceEnabled}}
	lab.Tune(t, stale)
	lab.Tune(t, settled)

	job := lab.AwaitTuning(t, "stale")
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted || *job.TuningJobCompletionDetails.NumberOfTrainingJobsObjectiveNotImproving != 3 ||
		*job.TrainingJobStatusCounters.Completed != 4 || *job.TrainingJobStatusCounters.Stopped != 1 {
		t.Errorf("the stale job is %s after %d trials and %d stopped ones, %d in vain", job.HyperParameterTuningJobStatus, *job.TrainingJobStatusCounters.Completed,
			*job.TrainingJobStatusCounters.Stopped, *job.TuningJobCompletionDetails.NumberOfTrainingJobsObjectiveNotImproving)
	}
	job = lab.AwaitTuning(t, "settled")
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted || job.TuningJobCompletionDetails.ConvergenceDetectedTime == nil || *job.TrainingJobStatusCounters.Completed != 11 {
		t.Errorf("the settled job is %s after %d trials, with %+v", job.HyperParameterTuningJobStatus, *job.TrainingJobStatusCounters.Completed, job.TuningJobCompletionDetails)
	}
}

// TestUnmatchedObjective: a regular expression that no line matches is told as
// soon as lines are there, and ends the job after five trials.
func TestUnmatchedObjective(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		fmt.Fprint(j, "loading\nTest loss is 0.25\n")
		<-goOn
		return j.Finish("model")
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Tuning("silent", 50, 1, nil)
	in.HyperParameterTuningJobConfig.HyperParameterTuningJobObjective = &types.HyperParameterTuningJobObjective{MetricName: aws.String("Test Loss"), Type: "Minimize"}
	in.TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("Test Loss"), Regex: aws.String(`Testing Loss: ([0-9\.]+)`)}}
	lab.Tune(t, in)
	const says = "0 of 2 lines matched `Testing Loss: ([0-9\\.]+)`; the last lines: loading\nTest loss is 0.25"
	list := &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("silent")}
	musher.Eventually(t, "the running trial says what it lacks", func() bool {
		trials := lab.Trials(t, list)
		return len(trials) == 1 && trials[0].TrainingJobStatus == types.TrainingJobStatusInProgress && strings.Contains(aws.ToString(trials[0].FailureReason), says)
	})
	tune := func(args ...string) (string, error) {
		cmd := exec.Command(musher.Binary(t), append([]string{"tune"}, args...)...)
		cmd.Env = append(srv.Env(), "MUSHER_DATA_DIR="+srv.Path())
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	const indented = "0 of 2 lines matched `Testing Loss: ([0-9\\.]+)`; the last lines: loading\n    Test loss is 0.25"
	if out, err := tune("describe", "silent"); err != nil || !strings.Contains(out, indented) {
		t.Errorf("tune describe: %v\n%s", err, out)
	}
	close(goOn)
	if out, err := tune("watch", "silent"); err == nil || strings.Count(out, "started") != 5 || !strings.Contains(out, "No objective metrics found") || !strings.Contains(out, indented) {
		t.Errorf("tune watch: %v\n%s", err, out)
	}
	job := lab.AwaitTuning(t, "silent")
	reason := aws.ToString(job.FailureReason)
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusFailed || !strings.Contains(reason, "No objective metrics found after running 5 training jobs") || !strings.Contains(reason, says) {
		t.Errorf("the job is %s: %s", job.HyperParameterTuningJobStatus, reason)
	}
	if *job.ObjectiveStatusCounters.Failed != 5 || *job.TrainingJobStatusCounters.Completed != 5 || job.BestTrainingJob != nil {
		t.Errorf("the counters are %+v, %+v", job.ObjectiveStatusCounters, job.TrainingJobStatusCounters)
	}
	for _, s := range lab.Trials(t, list) {
		if s.ObjectiveStatus != types.ObjectiveStatusFailed || !strings.Contains(aws.ToString(s.FailureReason), says) {
			t.Errorf("trial %s is %s: %s", *s.TrainingJobName, s.ObjectiveStatus, aws.ToString(s.FailureReason))
		}
	}
}

// slope is a script that would train for a minute. Its loss falls, from where
// its learning rate puts it.
const slope = `
import sys, time
rate = float(sys.argv[sys.argv.index("--learning_rate") + 1])
for epoch in range(1, 301):
    print("Testing Loss: %.6f" % (rate + 1 / epoch), flush=True)
    time.sleep(0.2)
`

// TestHyperbandOverScripts: real processes are stopped, most of them early, by
// what they print.
func TestHyperbandOverScripts(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	job := scriptJob(t, lab, "slope", slope, nil)
	in := lab.Tuning("slope", 6, 3, job.HyperParameters)
	hyperband(in, 1, 27)
	in.Tags = []types.Tag{{Key: aws.String("musher:strategy"), Value: aws.String("ASHA")}}
	in.HyperParameterTuningJobConfig.HyperParameterTuningJobObjective = &types.HyperParameterTuningJobObjective{MetricName: aws.String("Test Loss"), Type: "Minimize"}
	in.TrainingJobDefinition.InputDataConfig = nil
	in.TrainingJobDefinition.AlgorithmSpecification.TrainingImage = job.AlgorithmSpecification.TrainingImage
	in.TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("Test Loss"), Regex: aws.String(`Testing Loss: ([0-9\.]+)`)}}
	lab.Tune(t, in)
	tuned := lab.AwaitTuning(t, "slope")
	if tuned.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted {
		t.Fatalf("the job is %s: %s", tuned.HyperParameterTuningJobStatus, aws.ToString(tuned.FailureReason))
	}
	checkCounters(t, tuned, 0, 0, 6)
	early := 0
	for _, s := range lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: aws.String("slope")}) {
		text, err := os.ReadFile(filepath.Join(srv.Data, "jobs", *s.TrainingJobName, "log"))
		if err != nil {
			t.Fatal(err)
		}
		printed, _, _ := strings.Cut(string(text), "ERROR") // the toolkit repeats what a stopped script said last
		epochs := strings.Count(printed, "Testing Loss")
		if epochs < 27 {
			early++
		}
		last := number(t, s.TunedHyperParameters["learning_rate"]) + 1/float64(epochs)
		if got := float64(*s.FinalHyperParameterTuningJobObjectiveMetric.Value); math.Abs(got-last) > 1e-4 || epochs == 0 {
			t.Errorf("%s has the objective %v after %d epochs, want %v", *s.TrainingJobName, got, epochs, last)
		}
	}
	if early < 2 {
		t.Errorf("%d of 6 trials were stopped early", early)
	}
}
