package transform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

const (
	look = 50 * time.Millisecond // how often instances that come or go are asked for

	logGroup    = "/aws/sagemaker/TransformJobs"
	sessionName = "SageMaker"
)

// errStopAsked cancels the work of a job that was stopped.
var errStopAsked = errors.New("the job was stopped")

// unfinished lists the jobs that the loop must look at after a start.
func (f *Family) unfinished(ctx context.Context) (names []string, err error) {
	err = f.db.View(ctx, func(tx *state.Tx) error {
		return f.jobs.Scan(tx, state.Range{}, func(name string, job *Job) (bool, error) {
			if !job.Done() {
				names = append(names, name)
			}
			return true, nil
		})
	})
	return names, err
}

// step takes a job one status further. What may take long ends when the job is
// stopped, also by a stop that comes while the row is being read.
func (f *Family) step(ctx context.Context, name string) (time.Duration, error) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.steps.Store(name, cancel)
	defer f.steps.Delete(name)

	job, err := f.get(ctx, name)
	switch {
	case err != nil:
		return 0, neverCommitted(err)
	case job.Done():
		return 0, nil
	case job.Outcome != "":
		return f.conclude(ctx, job)
	case job.StopAsked:
		return 0, f.release(ctx, job, stopped, "")
	}
	lease, err := f.Instances.Leased(ctx, job.Leased.Address)
	switch {
	case err != nil:
		return 0, err
	case lease.Failure != "":
		return 0, f.release(ctx, job, failed, "AlgorithmError: "+lease.Failure)
	case lease.Gone:
		return 0, f.release(ctx, job, failed, "InternalServerError: the instances are gone")
	case !lease.Up:
		return look, nil
	}
	why, err := f.run(work, job)
	switch {
	case errors.Is(context.Cause(work), errStopAsked):
		return 0, nil // Stop has poked
	case ctx.Err() != nil:
		return 0, ctx.Err() // the server ends; the next one goes on
	case err != nil:
		return 0, f.release(ctx, job, failed, reason(err))
	case why != "":
		return 0, f.release(ctx, job, failed, why)
	}
	return 0, f.release(ctx, job, completed, "")
}

// The row of a job is never removed, so a missing one was never committed.
func neverCommitted(err error) error {
	var api *awsapi.Error
	if errors.As(err, &api) {
		return nil
	}
	return err
}

// interrupt cancels the work of a job, if there is some under way.
func (f *Family) interrupt(name string) {
	if cancel, ok := f.steps.Load(name); ok {
		cancel.(context.CancelCauseFunc)(errStopAsked)
	}
}

// release gives the instances of a job back, and says how it will end.
func (f *Family) release(ctx context.Context, job *Job, outcome, why string) error {
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		_, err := f.jobs.Modify(tx, job.Request.TransformJobName, func(j *Job) error {
			j.Outcome, j.Failure = outcome, sagemaker.Cut(why)
			return nil
		})
		if err != nil {
			return err
		}
		return f.Instances.Release(tx, job.Leased.Address)
	})
	if err == nil {
		f.poke(job)
	}
	return err
}

// conclude writes the last status of a job whose instances are gone.
func (f *Family) conclude(ctx context.Context, job *Job) (time.Duration, error) {
	lease, err := f.Instances.Leased(ctx, job.Leased.Address)
	if err != nil || !lease.Gone {
		return look, err
	}
	name := job.Request.TransformJobName
	if f.Logs != nil && job.Listed {
		if err := f.Logs.Finish(ctx, logGroup, job.Stream); err != nil {
			f.Log.Warn("the end of a transform job's log may be missing in CloudWatch Logs", "job", name, "error", err)
		}
	}
	if err := os.RemoveAll(f.folder(job)); err != nil {
		f.Log.Warn("an ended transform job leaves files behind", "error", err)
	}
	return 0, f.db.Update(ctx, func(tx *state.Tx) error {
		var keys []string
		if err := f.each(tx, name, func(key string, _ *object) { keys = append(keys, key) }); err != nil {
			return err
		}
		for _, key := range keys {
			if err := f.objects.Delete(tx, key); err != nil {
				return err
			}
		}
		now := time.Now().UTC()
		_, err := f.jobs.Modify(tx, name, func(j *Job) error {
			j.Status, j.Modified, j.Ended = j.Outcome, now, now
			return nil
		})
		return err
	})
}

// folder is where a job keeps its log, and outputs that are not complete.
func (f *Family) folder(job *Job) string { return filepath.Join(f.Dir, job.Request.TransformJobName) }

// reason puts an error into the words of a FailureReason: whose fault it was,
// then what happened.
func reason(err error) string {
	var api *awsapi.Error
	switch {
	case errors.As(err, &api) && api.Status < 500,
		errors.Is(err, channel.ErrNoObjects), errors.Is(err, channel.ErrBadInput):
		return fmt.Sprintf("ClientError: %v", err)
	}
	return fmt.Sprintf("InternalServerError: %v", err)
}
