package tuning

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Job is one row: a tuning job.
type Job struct {
	Request  sagemaker.CreateHyperParameterTuningJobInput
	ARN      string
	Region   string
	Account  string
	Seed     int64
	Status   string
	Failure  string
	Created  time.Time
	Modified time.Time
	Ended    time.Time
	// Closing is the status that the job takes when its trials have ended; no
	// further trial is started once it is set, and those that run are stopped.
	Closing string
	// Converged is when the trials were first seen to have stopped improving.
	Converged time.Time
}

// The values of HyperParameterTuningJobStatus; TrainingJobStatus has the same.
const (
	inProgress = "InProgress"
	stopping   = "Stopping"
	stopped    = "Stopped"
	completed  = "Completed"
	failed     = "Failed"
)

// Done tells whether the job has ended.
func (j *Job) Done() bool {
	return j.Status == completed || j.Status == failed || j.Status == stopped
}

// Trial is one row: a training job of a tuning job.
type Trial struct {
	Index      int
	Definition int    // which of the job's it is made from
	Name       string // of the training job
	ARN        string
	Values     map[string]string // what was tuned, not what was fixed
	Status     string            // TrainingJobStatus; empty until the job exists
	Failure    string
	Created    time.Time
	Started    time.Time
	Ended      time.Time
	Objective  *float64 // the metric's last value, if the job printed it
	// Reports are all values of the objective, where trials may be stopped
	// early. While the trial runs they are read anew and not written.
	Reports []float64
	// Cut says that the trial was stopped early. What it prints after that is
	// no report: toolkits repeat the last lines when they are stopped.
	Cut bool
}

// Running tells whether the trial may still give an objective.
func (t *Trial) Running() bool {
	return t.Status == "" || t.Status == inProgress || t.Status == stopping
}

// Judged tells whether the trial has ended with an objective. One that was
// stopped has its last value.
func (t *Trial) Judged() bool { return !t.Running() && t.Status != failed && t.Objective != nil }

// history is the trial as hpo sees it.
func (t *Trial) history() hpo.Trial {
	h := hpo.Trial{Values: t.Values, State: hpo.Pending, Reports: t.Reports}
	switch {
	case t.Judged():
		h.State, h.Objective = hpo.Done, *t.Objective
	case !t.Running():
		h.State = hpo.Failed
	}
	return h
}

type store struct {
	db     *state.DB
	jobs   state.Table[Job]
	trials state.Table[Trial] // by tuning job and index
}

func newStore(db *state.DB) store {
	return store{db, state.NewTable[Job](db, "tuning_jobs"), state.NewTable[Trial](db, "tuning_trials")}
}

func trialKey(job string, index int) string { return state.Key(job, fmt.Sprintf("%06d", index)) }

// get reads a job with its trials, in the order in which they were started.
func (s store) get(tx *state.Tx, name string) (job *Job, trials []*Trial, err error) {
	job, err = s.jobs.Get(tx, name)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil, awsapi.Errorf("ResourceNotFound", "Amazon SageMaker can't find a tuning job called %s. Type another name.", name)
	}
	if err != nil {
		return nil, nil, err
	}
	err = s.trials.Scan(tx, state.Range{Prefix: state.Key(name, "")}, func(_ string, t *Trial) (bool, error) {
		trials = append(trials, t)
		return true, nil
	})
	return job, trials, err
}

func (s store) load(ctx context.Context, name string) (job *Job, trials []*Trial, err error) {
	err = s.db.View(ctx, func(tx *state.Tx) error {
		job, trials, err = s.get(tx, name)
		return err
	})
	return job, trials, err
}
