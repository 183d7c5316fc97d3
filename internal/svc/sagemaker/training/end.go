package training

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// failOver ends a job whose processes have ended.
func (f *Family) failOver(ctx context.Context, job *Job, why string) error {
	if ctx.Err() != nil {
		return ctx.Err() // the server ends; the next one sees to it
	}
	return f.end(ctx, job, func(now time.Time, j *Job) {
		j.halt(now)
		j.fail(now, why)
	})
}

// finish uploads what the job has written and ends it.
func (f *Family) finish(ctx context.Context, job *Job, status, secondary, message string) error {
	model, err := f.upload(ctx, job)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return f.end(ctx, job, func(now time.Time, j *Job) { j.fail(now, channel.Reason("Artifact upload failed", err)) })
	}
	return f.end(ctx, job, func(now time.Time, j *Job) {
		j.halt(now)
		j.Model = model
		j.enter(now, status, secondary, message)
	})
}

// end writes a job's last status, clears up behind it and tells. Who sees the
// status finds all of the job's log.
func (f *Family) end(ctx context.Context, job *Job, change func(now time.Time, j *Job)) error {
	f.finishLogs(ctx, job)
	f.keep(job)
	if err := f.update(ctx, job, change); err != nil {
		return err
	}
	f.clearUp(job)
	f.forget(ctx, job)
	f.ended(job.Request.TrainingJobName)
	if job.Pool != nil {
		f.Poke(job.Request.TrainingJobName)
	}
	return nil
}

func (f *Family) finishLogs(ctx context.Context, job *Job) {
	if f.Logs == nil || job.Started.IsZero() {
		return
	}
	for _, i := range job.instances() {
		if err := f.Logs.Finish(ctx, logGroup, logStream(job, i)); err != nil {
			f.Log.Warn("the end of a training job's log may be missing in CloudWatch Logs", "job", job.Request.TrainingJobName, "error", err)
		}
	}
}

// clearUp removes what an ended job does not need: all but its logs.
func (f *Family) clearUp(job *Job) {
	os.Remove(filepath.Join(f.home(job), codeArchive)) // there if a launch was cut off
	for _, i := range job.instances() {
		if err := os.RemoveAll(f.folder(job, i)); err != nil {
			f.Log.Warn("an ended training job leaves files behind", "error", err)
		}
	}
}

// forget drops what is kept of an attempt outside of the row.
func (f *Family) forget(ctx context.Context, job *Job) {
	f.leave(job)
	f.readers.Delete(job.Request.TrainingJobName)
	for _, i := range job.instances() {
		id := workID(job, i)
		if err := f.Runner.Remove(ctx, id); err != nil && !errors.Is(err, runner.ErrNotFound) {
			f.Log.Warn("cannot remove ended work", "id", id, "error", err)
		}
	}
}
