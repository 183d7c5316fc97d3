package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/svc/sagemaker"
)

func trial(name, status string, objective *float64, reason *string) *sagemaker.HyperParameterTrainingJobSummary {
	t := &sagemaker.HyperParameterTrainingJobSummary{
		TrainingJobName: name, TrainingJobStatus: status, FailureReason: reason,
		TunedHyperParameters: map[string]string{"rate": "0.123456", "batch": `"64"`},
	}
	if objective != nil {
		t.FinalHyperParameterTuningJobObjectiveMetric = &sagemaker.FinalHyperParameterTuningJobObjectiveMetric{MetricName: "Test Loss", Value: *objective}
	}
	return t
}

// Each change is told once.
func TestWatched(t *testing.T) {
	seen := watched{}
	for _, step := range []struct {
		trials []*sagemaker.HyperParameterTrainingJobSummary
		want   []string
	}{
		{nil, nil},
		{[]*sagemaker.HyperParameterTrainingJobSummary{trial("a", "InProgress", nil, nil)}, []string{`a  started  batch="64"  rate=0.1235`}},
		{[]*sagemaker.HyperParameterTrainingJobSummary{trial("a", "InProgress", nil, new("0 of 3 lines\nlast"))}, []string{"a  InProgress  0 of 3 lines\n    last"}},
		{[]*sagemaker.HyperParameterTrainingJobSummary{trial("a", "InProgress", nil, new("0 of 4 lines"))}, nil},
		{[]*sagemaker.HyperParameterTrainingJobSummary{trial("a", "InProgress", new(0.5), nil), trial("b", "Failed", nil, new("bad"))},
			[]string{"a  InProgress  0.5000", `b  started  batch="64"  rate=0.1235`, "b  Failed  bad"}},
		{[]*sagemaker.HyperParameterTrainingJobSummary{trial("a", "Stopping", new(0.5), nil), trial("b", "Failed", nil, new("bad"))}, nil},
		{[]*sagemaker.HyperParameterTrainingJobSummary{trial("a", "Stopped", new(0.25), nil)}, []string{"a  Stopped  0.2500"}},
		{[]*sagemaker.HyperParameterTrainingJobSummary{trial("a", "Stopped", new(0.25), nil)}, nil},
	} {
		var got []string
		for _, e := range seen.look(step.trials) {
			_, line, _ := strings.Cut(e.String(), "  ")
			got = append(got, line)
		}
		if d := cmp.Diff(step.want, got); d != "" {
			t.Error(d)
		}
	}
}

func TestWriteTrials(t *testing.T) {
	named := trial("a", "Completed", new(0.5), nil)
	named.TrainingJobDefinitionName = new("low")
	for want, trials := range map[string][]*sagemaker.HyperParameterTrainingJobSummary{
		"trial  status      batch  rate    objective\na      InProgress  \"64\"   0.1235  -\n":                                                                              {trial("a", "InProgress", nil, nil)},
		"trial  status     batch  rate    Test Loss\nb      Completed  \"64\"   0.1235  0.5000  best\n":                                                                     {trial("b", "Completed", new(0.5), nil)},
		"trial  status     definition  batch  rate    Test Loss\na      Completed  low         \"64\"   0.1235  0.5000\nc      Failed                 \"64\"   0.1235  -\n": {named, trial("c", "Failed", nil, nil)},
	} {
		var out strings.Builder
		if err := writeTrials(&out, trials, "b"); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Error(d)
		}
	}
}

func TestWriteReasons(t *testing.T) {
	var trials []*sagemaker.HyperParameterTrainingJobSummary
	for range 7 {
		trials = append(trials, trial("a", "Failed", nil, new("one\ntwo")), trial("b", "Completed", nil, nil))
	}
	var out strings.Builder
	if err := writeReasons(&out, trials); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("\na: one\n    two\n", 5) + "\nand 2 more\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

func TestTuningFacts(t *testing.T) {
	at := time.Unix(0, 0)
	d := &sagemaker.DescribeHyperParameterTuningJobOutput{
		HyperParameterTuningJobName: "job", HyperParameterTuningJobStatus: "Completed",
		HyperParameterTuningJobConfig: &sagemaker.HyperParameterTuningJobConfig{Strategy: "Random", TrainingJobEarlyStoppingType: new("Auto")},
		TrainingJobStatusCounters:     &sagemaker.TrainingJobStatusCounters{Completed: new(int64(3))},
		BestTrainingJob:               trial("a", "Completed", nil, nil), OverallBestTrainingJob: trial("z", "Completed", nil, nil),
		TuningJobCompletionDetails: &sagemaker.HyperParameterTuningJobCompletionDetails{NumberOfTrainingJobsObjectiveNotImproving: new(int64(2)), ConvergenceDetectedTime: &at},
	}
	var out strings.Builder
	if err := facts(&out, tuningFacts(d)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Random, with early stopping", "3 done, 0 running", "best with parents  z", "in the last 2 trials", "converged"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
