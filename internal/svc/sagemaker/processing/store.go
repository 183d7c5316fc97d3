package processing

import (
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Job is one row: what was asked for, and how far it came.
type Job struct {
	Request sagemaker.CreateProcessingJobInput
	ARN     string
	Region  string

	Status   string // ProcessingJobStatus
	Phase    phase
	Failure  string // FailureReason
	Message  string // ExitMessage
	Created  time.Time
	Modified time.Time
	Started  time.Time // the processes, first attempt
	Ended    time.Time

	Attempt  int           // of running the processes; the first is 0
	Launched time.Time     // the processes of this attempt; zero while there are none
	Ran      time.Duration // how long those of earlier attempts ran
	LogEpoch int64         // seconds since 1970 that name the log streams

	StopAsked bool
	Over      bool // MaxRuntimeInSeconds has passed
}

// phase is where a job that has not ended stands.
type phase string

const (
	starting  phase = ""
	running   phase = "running"
	uploading phase = "uploading"
)

// The values of ProcessingJobStatus.
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

// ran is for how long the job's processes have run, in all attempts.
func (j *Job) ran(now time.Time) time.Duration {
	if j.Launched.IsZero() {
		return j.Ran
	}
	return j.Ran + now.Sub(j.Launched)
}

// halt notes that the processes of this attempt have ended.
func (j *Job) halt(now time.Time) { j.Ran, j.Launched = j.ran(now), time.Time{} }

// end gives the job its last status.
func (j *Job) end(now time.Time, status, failure string) {
	j.halt(now)
	j.Status, j.Failure, j.Ended = status, sagemaker.Cut(failure), now
}

// count is how many instances the job has.
func (j *Job) count() int {
	return int(sagemaker.Or(j.Request.ProcessingResources.ClusterConfig.InstanceCount, 1))
}

// limit is how long the job's processes may run.
func (j *Job) limit() time.Duration {
	return time.Duration(j.Request.StoppingCondition.MaxRuntimeInSeconds) * time.Second
}

type store struct {
	db   *state.DB
	jobs state.Table[Job]
}

func newStore(db *state.DB) store {
	return store{db: db, jobs: state.NewTable[Job](db, "processing_jobs")}
}
