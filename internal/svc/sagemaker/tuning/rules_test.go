package tuning

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// newJob is a tuning job of one learning rate.
func newJob(goal hpo.Goal, change ...func(*sagemaker.CreateHyperParameterTuningJobInput)) *Job {
	in := sagemaker.CreateHyperParameterTuningJobInput{
		HyperParameterTuningJobName: "job",
		HyperParameterTuningJobConfig: &sagemaker.HyperParameterTuningJobConfig{
			Strategy:                         hpo.Random,
			ResourceLimits:                   &sagemaker.ResourceLimits{MaxNumberOfTrainingJobs: new(int64(100)), MaxParallelTrainingJobs: 1},
			HyperParameterTuningJobObjective: &sagemaker.HyperParameterTuningJobObjective{Type: string(goal), MetricName: "m"},
			ParameterRanges: &sagemaker.ParameterRanges{
				ContinuousParameterRanges:  []*sagemaker.ContinuousParameterRange{{Name: "rate", MinValue: "0.1", MaxValue: "1"}},
				CategoricalParameterRanges: []*sagemaker.CategoricalParameterRange{{Name: "batch", Values: []string{`"32"`, `"64"`}}},
			},
		},
		TrainingJobDefinition: &sagemaker.HyperParameterTrainingJobDefinition{
			StaticHyperParameters:  map[string]string{"epochs": `"9"`, "layers": "2"},
			AlgorithmSpecification: &sagemaker.HyperParameterAlgorithmSpecification{TrainingImage: new("pytorch:1")},
			ResourceConfig:         &sagemaker.ResourceConfig{},
		},
	}
	for _, c := range change {
		c(&in)
	}
	return &Job{Request: in, Status: inProgress, Created: time.Now()}
}

// ended are trials that have ended one after the other with these objectives.
func ended(values ...float64) (trials []*Trial) {
	for i, v := range values {
		trials = append(trials, &Trial{Index: i, Status: completed, Objective: &v, Ended: time.Unix(int64(i), 0)})
	}
	return trials
}

func repeat(v float64, n int) (out []float64) {
	for range n {
		out = append(out, v)
	}
	return out
}

func TestNotImproving(t *testing.T) {
	for _, c := range []struct {
		goal   hpo.Goal
		values []float64
		want   int64
	}{
		{hpo.Minimize, nil, 0},
		{hpo.Minimize, []float64{5}, 0},
		{hpo.Minimize, []float64{5, 6, 5, 7}, 3},
		{hpo.Minimize, []float64{5, 6, 4}, 0},
		{hpo.Maximize, []float64{5, 6, 4}, 1},
		{hpo.Minimize, []float64{100, 99.5}, 1},              // half a percent
		{hpo.Minimize, []float64{100, 99.5, 98.9}, 0},        // one in two steps
		{hpo.Maximize, []float64{0.9, 0.905, 0.91, 0.89}, 1}, // the third is more than a percent better than the first
		{hpo.Minimize, []float64{-100, -100.5, -102, -102}, 1},
		{hpo.Minimize, []float64{0, -1e-9, 5}, 1}, // of nothing, anything is a percent
	} {
		job := newJob(c.goal)
		if got := notImproving(job, ended(c.values...)); got != c.want {
			t.Errorf("%s %v: %d in vain, want %d", c.goal, c.values, got, c.want)
		}
	}
	trials := ended(5, 6, 4)
	trials[2].Ended = time.Unix(-1, 0) // trials count in the order in which they ended
	trials = append(trials, &Trial{Index: 3, Status: failed}, &Trial{Index: 4, Status: inProgress, Objective: new(1.0)})
	if got := notImproving(newJob(hpo.Minimize), trials); got != 2 {
		t.Errorf("%d in vain, want 2", got)
	}
}

func TestConverged(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   bool
	}{
		{repeat(1, 10), false},
		{repeat(1, 11), true}, // ten in vain, for two hyperparameters
		{append(repeat(2, 9), repeat(1, 10)...), false},
		{append(repeat(2, 9), repeat(1, 11)...), true},
		{append(append(repeat(2, 19), 1), repeat(1, 18)...), false}, // it took 20 to find it
		{append(append(repeat(2, 19), 1), repeat(1, 20)...), true},
	} {
		if got := converged(newJob(hpo.Minimize), ended(c.values...)); got != c.want {
			t.Errorf("%v: converged %v", c.values, got)
		}
	}
}

func TestJudge(t *testing.T) {
	criteria := func(c sagemaker.TuningJobCompletionCriteria) func(*sagemaker.CreateHyperParameterTuningJobInput) {
		return func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.TuningJobCompletionCriteria = &c
		}
	}
	bad := func(n int, status, failure string) (trials []*Trial) {
		for i := range n {
			trials = append(trials, &Trial{Index: i, Name: fmt.Sprint("t", i), Status: status, Failure: failure})
		}
		return trials
	}
	late := newJob(hpo.Minimize, func(in *sagemaker.CreateHyperParameterTuningJobInput) {
		in.HyperParameterTuningJobConfig.ResourceLimits.MaxRuntimeInSeconds = new(int64(120))
	})
	late.Created = time.Now().Add(-121 * time.Second)
	for name, c := range map[string]struct {
		job    *Job
		trials []*Trial
		status string // empty: it goes on
		says   string
	}{
		"nothing yet":            {newJob(hpo.Minimize), nil, "", ""},
		"out of time":            {late, nil, stopped, ""},
		"four failed":            {newJob(hpo.Minimize), bad(4, failed, "x"), "", ""},
		"five failed":            {newJob(hpo.Minimize), bad(5, failed, "x"), failed, "No training job succeeded after 5 attempts"},
		"five without objective": {newJob(hpo.Minimize), bad(5, completed, "0 of 3 lines"), failed, "after running 5 training jobs. Please ensure that the custom algorithm is emitting the objective metric as defined by the regular expression provided. t0: 0 of 3 lines"},
		"one is enough":          {newJob(hpo.Minimize), append(bad(5, failed, "x"), ended(1)...), "", ""},
		"above the target":       {newJob(hpo.Minimize, criteria(sagemaker.TuningJobCompletionCriteria{TargetObjectiveMetricValue: new(0.5)})), ended(0.6), "", ""},
		"below the target":       {newJob(hpo.Minimize, criteria(sagemaker.TuningJobCompletionCriteria{TargetObjectiveMetricValue: new(0.5)})), ended(0.6, 0.5), completed, ""},
		"target upwards":         {newJob(hpo.Maximize, criteria(sagemaker.TuningJobCompletionCriteria{TargetObjectiveMetricValue: new(0.5)})), ended(0.6), completed, ""},
		"patience":               {newJob(hpo.Minimize, criteria(sagemaker.TuningJobCompletionCriteria{BestObjectiveNotImproving: &sagemaker.BestObjectiveNotImproving{MaxNumberOfTrainingJobsNotImproving: new(int64(3))}})), ended(1, 1, 1), "", ""},
		"no patience":            {newJob(hpo.Minimize, criteria(sagemaker.TuningJobCompletionCriteria{BestObjectiveNotImproving: &sagemaker.BestObjectiveNotImproving{MaxNumberOfTrainingJobsNotImproving: new(int64(3))}})), ended(1, 1, 1, 1), completed, ""},
		"converged, not asked":   {newJob(hpo.Minimize), ended(repeat(1, 30)...), "", ""},
		"converged":              {newJob(hpo.Minimize, criteria(sagemaker.TuningJobCompletionCriteria{ConvergenceDetected: &sagemaker.ConvergenceDetected{CompleteOnConvergence: new("Enabled")}})), ended(repeat(1, 30)...), completed, ""},
	} {
		v, end := judge(c.job, c.trials)
		if v.status != c.status || end != (c.status != "") || !strings.Contains(v.why, c.says) {
			t.Errorf("%s: %+v, %v; want %q, %q", name, v, end, c.status, c.says)
		}
	}
}

// What a warm start takes over: trials that could be its own.
func TestParentHistory(t *testing.T) {
	parent := &parent{newJob(hpo.Minimize), []*Trial{
		{Status: completed, Objective: new(1.0), Values: map[string]string{"rate": "0.2", "batch": `"32"`}},
		{Status: stopped, Objective: new(2.0), Values: map[string]string{"rate": "0.9", "batch": `"64"`}},
		{Status: failed, Objective: new(3.0), Values: map[string]string{"rate": "0.2", "batch": `"32"`}},
		{Status: completed, Values: map[string]string{"rate": "0.3", "batch": `"32"`}},
	}}
	for name, c := range map[string]struct {
		change func(*sagemaker.CreateHyperParameterTuningJobInput)
		want   []float64
	}{
		"the same": {func(*sagemaker.CreateHyperParameterTuningJobInput) {}, []float64{1, 2}},
		"a narrower range": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[0].MaxValue = "0.5"
		}, []float64{1}},
		"tuned before, fixed now": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges.CategoricalParameterRanges = nil
			in.TrainingJobDefinition.StaticHyperParameters["batch"] = `"64"`
		}, []float64{2}},
		"fixed before, tuned now": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			delete(in.TrainingJobDefinition.StaticHyperParameters, "layers")
			in.HyperParameterTuningJobConfig.ParameterRanges.IntegerParameterRanges = []*sagemaker.IntegerParameterRange{{Name: "layers", MinValue: "1", MaxValue: "4"}}
		}, []float64{1, 2}},
		"fixed before at a place that is not searched": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			delete(in.TrainingJobDefinition.StaticHyperParameters, "layers")
			in.HyperParameterTuningJobConfig.ParameterRanges.IntegerParameterRanges = []*sagemaker.IntegerParameterRange{{Name: "layers", MinValue: "3", MaxValue: "4"}}
		}, nil},
		"unknown to the parent": {func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.ParameterRanges.IntegerParameterRanges = []*sagemaker.IntegerParameterRange{{Name: "width", MinValue: "1", MaxValue: "4"}}
		}, nil},
	} {
		child := newJob(hpo.Minimize, c.change)
		d := definitions(&child.Request)[0]
		space, err := d.space()
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for _, h := range parent.history(d, space) {
			got = append(got, h.Objective)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if _, err := newPlan(child, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two changes for each value that is fixed anew or differently, as the guide's
// example counts.
func TestChanges(t *testing.T) {
	old := definitions(&newJob(hpo.Minimize).Request)[0]
	for name, c := range map[string]struct {
		static map[string]string
		want   int
	}{
		"none":                    {map[string]string{"epochs": `"9"`, "layers": "2"}, 0},
		"another value":           {map[string]string{"epochs": `"9"`, "layers": "3"}, 2},
		"tuned before":            {map[string]string{"epochs": `"9"`, "layers": "2", "batch": `"32"`}, 2},
		"all":                     {map[string]string{"epochs": "8", "layers": "1", "batch": `"32"`, "rate": "1"}, 8},
		"tuned now, fixed before": {map[string]string{"epochs": `"9"`}, 0},
	} {
		d := old
		def := *old.HyperParameterTrainingJobDefinition
		def.StaticHyperParameters = c.static
		d.HyperParameterTrainingJobDefinition = &def
		if got := changes(old, d); got != c.want {
			t.Errorf("%s: %d changes, want %d", name, got, c.want)
		}
	}
}

func TestEpochs(t *testing.T) {
	for text, want := range map[string]int{"epochs=9": 9, `num_epochs="12"`: 12, "n-epochs=3": 3, "epochs=all": 0, "epochs=0": 0, "layers=9": 0, "": 0} {
		name, value, _ := strings.Cut(text, "=")
		d := definition{HyperParameterTrainingJobDefinition: &sagemaker.HyperParameterTrainingJobDefinition{StaticHyperParameters: map[string]string{name: value}}}
		if got := d.epochs(); got != want {
			t.Errorf("%s: %d epochs, want %d", text, got, want)
		}
	}
}

// A job that ends at MaxResource by itself is left to save its model.
func TestHalvingLeavesTheEndAlone(t *testing.T) {
	atEnd := []hpo.Trial{{Reports: []float64{1, 1, 1, 1, 1, 1, 1, 1, 1}}}
	for name, c := range map[string]struct {
		max  *int64
		stop int
	}{"inferred": {nil, 0}, "the same": {new(int64(9)), 0}, "shorter": {new(int64(8)), 1}} {
		job := newJob(hpo.Minimize, func(in *sagemaker.CreateHyperParameterTuningJobInput) {
			in.HyperParameterTuningJobConfig.Strategy = hpo.Hyperband
			in.HyperParameterTuningJobConfig.StrategyConfig = &sagemaker.HyperParameterTuningJobStrategyConfig{HyperbandStrategyConfig: &sagemaker.HyperbandStrategyConfig{MaxResource: c.max}}
		})
		s, err := definitions(&job.Request)[0].stopper(&job.Request)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(s.Stop(atEnd)); got != c.stop {
			t.Errorf("MaxResource %s: %d stopped, want %d", name, got, c.stop)
		}
	}
}

// The definitions take turns; one whose grid is done is passed over.
func TestTurns(t *testing.T) {
	job := newJob(hpo.Minimize, func(in *sagemaker.CreateHyperParameterTuningJobInput) {
		cfg := in.HyperParameterTuningJobConfig
		cfg.Strategy = hpo.Grid
		for _, values := range [][]string{{"a"}, {"a", "b", "c"}, {"a", "b"}} {
			d := *in.TrainingJobDefinition
			d.TuningObjective = cfg.HyperParameterTuningJobObjective
			d.HyperParameterRanges = &sagemaker.ParameterRanges{CategoricalParameterRanges: []*sagemaker.CategoricalParameterRange{{Name: "x", Values: values}}}
			in.TrainingJobDefinitions = append(in.TrainingJobDefinitions, &d)
		}
		in.TrainingJobDefinition = nil
	})
	p, err := newPlan(job, nil)
	if err != nil {
		t.Fatal(err)
	}
	var trials []*Trial
	var order []string
	for {
		i, values, err := p.next(trials)
		if err != nil {
			break
		}
		order = append(order, fmt.Sprint(i, values["x"]))
		trials = append(trials, &Trial{Index: len(trials), Definition: i, Values: values})
	}
	if diff := cmp.Diff([]string{"0a", "1a", "2a", "1b", "1c", "2b"}, order); diff != "" {
		t.Error(diff)
	}
}
