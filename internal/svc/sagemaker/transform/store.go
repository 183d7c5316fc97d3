package transform

import (
	"fmt"
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// Job is one row: what was asked for, and how far it came.
type Job struct {
	Request sagemaker.CreateTransformJobInput
	ARN     string

	Status   string // TransformJobStatus
	Failure  string // FailureReason
	Created  time.Time
	Modified time.Time
	Started  time.Time // when the first object could be sent
	Ended    time.Time

	Leased    sagemaker.Leased
	Stream    string // of the job's own log
	Listed    bool   // its objects have rows
	StopAsked bool
	Outcome   string // the status to end with, once the instances are gone
}

// The values of TransformJobStatus.
const (
	inProgress = "InProgress"
	stopping   = "Stopping"
	stopped    = "Stopped"
	completed  = "Completed"
	failed     = "Failed"
)

// Done tells whether the job has ended.
func (j *Job) Done() bool { return !j.Ended.IsZero() }

// object is one row: an object of a job that has begun. The rows go when the
// job ends.
type object struct {
	channel.Source
	Done  bool   // its output is there, or will never be
	Fault string // why it will never be
}

func objectKey(job string, n int) string { return state.Key(job, fmt.Sprintf("%09d", n)) }

type store struct {
	db      *state.DB
	jobs    state.Table[Job]
	objects state.Table[object]
}

func newStore(db *state.DB) store {
	return store{db, state.NewTable[Job](db, "transform_jobs"), state.NewTable[object](db, "transform_objects")}
}

// each visits the objects of a job in the order of their keys in S3.
func (s store) each(tx *state.Tx, job string, visit func(key string, o *object)) error {
	return s.objects.Scan(tx, state.Range{Prefix: state.Key(job, "")}, func(key string, o *object) (bool, error) {
		visit(key, o)
		return true, nil
	})
}
