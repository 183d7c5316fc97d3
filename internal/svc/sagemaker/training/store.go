package training

import (
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Job is one row: what was asked for, and how far it came.
type Job struct {
	Request sagemaker.CreateTrainingJobInput
	ARN     string
	Region  string
	// TuningJob is the ARN of the tuning job that this is a trial of.
	TuningJob string

	Status      string // TrainingJobStatus
	Secondary   string // SecondaryStatus
	Transitions []*sagemaker.SecondaryStatusTransition
	Failure     string // FailureReason
	Created     time.Time
	Modified    time.Time
	Started     time.Time // the training process, first attempt
	Ended       time.Time
	Attempt     int // of running the process; the first is 0
	StopAsked   bool
	TimedOut    bool              // MaxRuntimeInSeconds passed
	Inputs      map[string]string // staged folder by channel
	Model       string            // S3 URI of the artifact
	Metrics     []Metric
}

// Metric is the last value that a job printed of a metric.
type Metric struct {
	Name  string
	Value float64
	Time  time.Time
}

// Done tells whether the job has ended.
func (j *Job) Done() bool {
	return j.Status == completed || j.Status == failed || j.Status == stopped
}

// The values of TrainingJobStatus.
const (
	inProgress = "InProgress"
	stopping   = "Stopping"
	stopped    = "Stopped"
	completed  = "Completed"
	failed     = "Failed"
)

// enter moves the job to a secondary status. Entering the one it is in only
// changes the message.
func (j *Job) enter(now time.Time, status, secondary, message string) {
	j.Status, j.Modified = status, now
	if last := len(j.Transitions) - 1; last >= 0 {
		if t := j.Transitions[last]; t.Status == secondary {
			t.StatusMessage = &message
			return
		}
		j.Transitions[last].EndTime = &now
	}
	j.Secondary = secondary
	t := &sagemaker.SecondaryStatusTransition{Status: secondary, StartTime: now, StatusMessage: &message}
	if j.Done() {
		t.EndTime = &now
		j.Ended = now
	}
	j.Transitions = append(j.Transitions, t)
}

// fail ends the job; the reason is cut to what the API may carry.
func (j *Job) fail(now time.Time, reason string) {
	j.Failure = sagemaker.Cut(reason)
	j.enter(now, failed, "Failed", "Training job failed")
}

type store struct {
	db   *state.DB
	jobs state.Table[Job]
}

func newStore(db *state.DB) store {
	return store{db: db, jobs: state.NewTable[Job](db, "training_jobs")}
}
