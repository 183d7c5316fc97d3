package tuning

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// trainer is a training family whose jobs do what a test says.
type trainer struct {
	jobs    map[string]*sagemaker.DescribeTrainingJobOutput
	reports map[string][]float64
	stopped []string
}

func (f *trainer) Create(_ context.Context, in *sagemaker.CreateTrainingJobInput, _ string) (string, error) {
	f.jobs[in.TrainingJobName] = &sagemaker.DescribeTrainingJobOutput{TrainingJobName: in.TrainingJobName, TrainingJobStatus: inProgress, TrainingStartTime: new(time.Now())}
	return "arn", nil
}

func (f *trainer) Describe(_ context.Context, name string) (*sagemaker.DescribeTrainingJobOutput, error) {
	if d, ok := f.jobs[name]; ok {
		return d, nil
	}
	return nil, awsapi.Errorf("ValidationException", "Requested resource not found.")
}

func (f *trainer) Stop(_ context.Context, name string) error {
	f.stopped = append(f.stopped, name)
	return nil
}

func (f *trainer) Series(_ context.Context, name, _ string) ([]float64, error) {
	return slices.Clone(f.reports[name]), nil
}

func (f *trainer) Unmatched(context.Context, string, string) (string, error) { return "", nil }

// A server that dies between the word that a trial is cut and its stop leaves a
// trial that the next one stops, though the rung has filled up by then and the
// rule would let it go on; and what it printed since is no report.
func TestCutIsFinished(t *testing.T) {
	db, err := state.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	work := &trainer{jobs: map[string]*sagemaker.DescribeTrainingJobOutput{}, reports: map[string][]float64{}}
	f := New(Deps{DB: db, Trainer: work, Log: slog.New(slog.DiscardHandler)}, awsapi.NewService(sagemaker.Model))
	job := newJob(hpo.Minimize, func(in *sagemaker.CreateHyperParameterTuningJobInput) {
		in.HyperParameterTuningJobConfig.Strategy = hpo.Hyperband
		in.HyperParameterTuningJobConfig.ResourceLimits = &sagemaker.ResourceLimits{MaxNumberOfTrainingJobs: new(int64(3)), MaxParallelTrainingJobs: 3}
	})
	err = db.Update(t.Context(), func(tx *state.Tx) error {
		if err := f.jobs.Insert(tx, "job", job); err != nil {
			return err
		}
		for i, cut := range []bool{true, false, false} {
			trial := &Trial{Index: i, Name: trialName(job, i), Status: inProgress, Values: map[string]string{"rate": "0.5", "batch": `"32"`}, Reports: []float64{1}, Cut: cut}
			work.jobs[trial.Name] = &sagemaker.DescribeTrainingJobOutput{TrainingJobStatus: inProgress}
			work.reports[trial.Name] = []float64{1, 1, 1}
			if err := f.trials.Put(tx, trialKey("job", i), trial); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.step(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	_, trials, err := f.load(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{trials[0].Name}; !slices.Equal(work.stopped, want) || len(trials[0].Reports) != 1 {
		t.Errorf("stopped: %v, want %v; reports: %v", work.stopped, want, trials[0].Reports)
	}
}
