package training

import (
	"time"

	"github.com/musher/musher/internal/runtimes"
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
	Kind      runtimes.Kind // what its image stands for here; empty: the built-in algorithm

	Status      string // TrainingJobStatus
	Secondary   string // SecondaryStatus
	Transitions []*sagemaker.SecondaryStatusTransition
	Failure     string // FailureReason
	Created     time.Time
	Modified    time.Time
	Started     time.Time // the training processes, first attempt
	Ended       time.Time

	Attempt  int           // of running the processes; the first is 0
	Launched time.Time     // the processes of this attempt; zero while there are none
	Trained  time.Duration // how long those of earlier attempts ran
	LogEpoch int64         // seconds since 1970 that name the log streams; 0: nothing was logged yet
	Port     int           // free on this machine, for the instances to meet at

	StopAsked bool
	Over      string            // the secondary status to end with because a time limit passed
	Interrupt *Interruption     // that is under way
	Back      time.Time         // when an interrupted job gets instances again
	Inputs    map[string]string // staged folder by host and channel
	Model     string            // S3 URI of the artifact
	Metrics   []Metric
	Pool      *Pool            // what is kept of it
	Warm      string           // the job whose pool it began with
	From      map[string]int64 // where in the log of each host this attempt begins
	Read      map[string]int64 // up to where it was searched for metrics
}

// Interruption takes a job's instances away, as the cloud does when it needs
// spot capacity elsewhere.
type Interruption struct {
	Grace time.Duration // between SIGTERM and SIGKILL
	Away  time.Duration // how long there are no instances afterwards
	Why   string
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

// spot tells whether the job runs on instances that may be taken away.
func (j *Job) spot() bool { return sagemaker.Or(j.Request.EnableManagedSpotTraining, false) }

// builtin tells whether the job runs the built-in algorithm.
func (j *Job) builtin() bool { return j.Kind == "" || j.Kind == runtimes.Builtin }

// ran is for how long the job's processes have run, in all attempts.
func (j *Job) ran(now time.Time) time.Duration {
	if j.Launched.IsZero() {
		return j.Trained
	}
	return j.Trained + now.Sub(j.Launched)
}

// halt notes that the processes of this attempt have ended.
func (j *Job) halt(now time.Time) { j.Trained, j.Launched = j.ran(now), time.Time{} }

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
	db     *state.DB
	jobs   state.Table[Job]
	offers state.Table[offer] // available warm pools, by job
}

func newStore(db *state.DB) store {
	return store{db: db, jobs: state.NewTable[Job](db, "training_jobs"), offers: state.NewTable[offer](db, "training_pools")}
}
