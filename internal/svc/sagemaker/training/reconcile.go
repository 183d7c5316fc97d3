package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

const (
	stopGrace = 2 * time.Minute // between SIGTERM and SIGKILL, as on SageMaker
	watch     = time.Second     // how often a running job's metrics are read
	// maxRestarts bounds the attempts of a job that keeps losing its machine.
	maxRestarts = 30
)

// errStopAsked cancels a preparation that StopTrainingJob made useless.
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

// step takes a job one status further.
func (f *Family) step(ctx context.Context, name string) (time.Duration, error) {
	job, err := f.Get(ctx, name)
	if err != nil || job.Done() {
		return 0, ignoreMissing(err)
	}
	switch {
	case job.StopAsked, job.TimedOut:
		return f.wind(ctx, job)
	case job.Secondary == "Training":
		return f.watch(ctx, job)
	case job.Secondary == "Uploading":
		return 0, f.finish(ctx, job, completed, "Completed", "Training job completed")
	}
	return 0, f.prepare(ctx, job) // Starting, Downloading, Restarting
}

// The row of a job is never removed, so a missing one was never committed.
func ignoreMissing(err error) error {
	var api *awsapi.Error
	if errors.As(err, &api) {
		return nil
	}
	return err
}

// prepare brings the data, and starts the process.
func (f *Family) prepare(ctx context.Context, job *Job) error {
	name := job.Request.TrainingJobName
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.steps.Store(name, cancel)
	defer f.steps.Delete(name)

	err := f.launch(ctx, job)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errStopAsked):
		return nil // Stop has poked: the next step winds the job up
	case ctx.Err() != nil:
		return ctx.Err() // the server ends; the next one continues
	}
	return f.end(ctx, job, func(now time.Time, j *Job) { j.fail(now, reason("The job cannot start", err)) })
}

// interrupt cancels the preparation of a job, if one is under way.
func (f *Family) interrupt(name string) {
	if cancel, ok := f.steps.Load(name); ok {
		cancel.(context.CancelCauseFunc)(errStopAsked)
	}
}

func (f *Family) launch(ctx context.Context, job *Job) error {
	// A server that died right after it had started the process could not write
	// so. The process has its folder: it must not be laid out anew.
	switch _, err := f.Runner.Inspect(ctx, workID(job)); {
	case err == nil:
		return f.launched(ctx, job)
	case !errors.Is(err, runner.ErrNotFound):
		return err
	}
	caller, err := f.Roles.Session(ctx, job.Request.RoleArn, sessionName(job))
	if err != nil {
		return err
	}
	provided, err := f.Provide(ctx, job.Request.HyperParameters)
	if err != nil {
		return err
	}
	err = f.update(ctx, job, func(now time.Time, j *Job) {
		j.enter(now, inProgress, "Downloading", "Downloading input data")
	})
	if err != nil {
		return err
	}
	inputs := map[string]string{}
	for _, c := range job.Request.InputDataConfig {
		uri := c.DataSource.S3DataSource.S3Uri
		inputs[c.ChannelName], err = f.Stage.Folder(ctx, caller, uri, func(int64, int64) {})
		if err != nil {
			return fmt.Errorf("data download failed for channel %s: %w", c.ChannelName, err)
		}
	}
	// From here on Sweep keeps its hands off the data.
	if err := f.update(ctx, job, func(_ time.Time, j *Job) { j.Inputs = inputs }); err != nil {
		return err
	}
	if err := f.layOut(job, inputs); err != nil {
		return err
	}
	if err := f.Runner.Start(ctx, f.spec(job, inputs, provided)); err != nil {
		return err
	}
	return f.launched(ctx, job)
}

func (f *Family) launched(ctx context.Context, job *Job) error {
	err := f.update(ctx, job, func(now time.Time, j *Job) {
		if j.Started.IsZero() {
			j.Started = now
		}
		j.enter(now, inProgress, "Training", "Training in-progress")
	})
	f.Poke(job.Request.TrainingJobName)
	return err
}

// watch looks after the process of a job.
func (f *Family) watch(ctx context.Context, job *Job) (time.Duration, error) {
	st, err := f.Runner.Inspect(ctx, workID(job))
	if errors.Is(err, runner.ErrNotFound) {
		return 0, f.restart(ctx, job, "the process is not known to the runner")
	}
	if err != nil {
		return 0, err
	}
	if err := f.readMetrics(ctx, job, st.Ended()); err != nil {
		return 0, err
	}
	limit := seconds(job.Request.StoppingCondition.MaxRuntimeInSeconds)
	switch {
	case !st.Ended() && limit > 0 && time.Since(job.Started) > limit:
		err := f.update(ctx, job, func(now time.Time, j *Job) {
			j.TimedOut = true
			j.enter(now, stopping, "Stopping", "MaxRuntimeInSeconds has passed")
		})
		f.Poke(job.Request.TrainingJobName)
		return 0, err
	case !st.Ended():
		return watch, nil
	case st.Phase == runner.Lost || st.StopAsked:
		// Nobody asked this job to stop: the machine or the server went away.
		return 0, f.restart(ctx, job, "the instance went away")
	case st.ExitCode == 0:
		f.Poke(job.Request.TrainingJobName)
		return 0, f.update(ctx, job, func(now time.Time, j *Job) {
			j.enter(now, inProgress, "Uploading", "Uploading generated training model")
		})
	case st.Signal != "" && job.Request.RetryStrategy != nil && int64(job.Attempt) < job.Request.RetryStrategy.MaximumRetryAttempts:
		return 0, f.restart(ctx, job, "the process was killed by "+st.Signal)
	}
	return 0, f.end(ctx, job, func(now time.Time, j *Job) { j.fail(now, f.blame(job, st)) })
}

// wind ends a job that shall not go on: it stops the process, keeps what it
// has written, and closes the row.
func (f *Family) wind(ctx context.Context, job *Job) (time.Duration, error) {
	st, err := f.Runner.Inspect(ctx, workID(job))
	started := !errors.Is(err, runner.ErrNotFound)
	if started && err != nil {
		return 0, err
	}
	if started && !st.Ended() {
		return watch, f.Runner.Stop(ctx, st.ID, stopGrace)
	}
	secondary, message := "Stopped", "Training job stopped"
	if job.TimedOut {
		secondary, message = "MaxRuntimeExceeded", "Training job reached MaxRuntimeInSeconds"
	}
	if !started {
		return 0, f.end(ctx, job, func(now time.Time, j *Job) { j.enter(now, stopped, secondary, message) })
	}
	if err := f.readMetrics(ctx, job, true); err != nil {
		return 0, err
	}
	return 0, f.finish(ctx, job, stopped, secondary, message)
}

// restart runs the job once more, in its next attempt.
func (f *Family) restart(ctx context.Context, job *Job, why string) error {
	if job.Attempt >= maxRestarts {
		return f.end(ctx, job, func(now time.Time, j *Job) {
			j.fail(now, fmt.Sprintf("InternalServerError: gave up after %d restarts: %s", maxRestarts, why))
		})
	}
	f.forget(ctx, job)
	f.Log.Warn("a training job starts again", "job", job.Request.TrainingJobName, "why", why)
	defer f.Poke(job.Request.TrainingJobName)
	return f.update(ctx, job, func(now time.Time, j *Job) {
		j.Attempt++
		j.Metrics = nil
		j.enter(now, inProgress, "Restarting", "Restarting the training job: "+why)
	})
}

// finish uploads what the job has written and ends it.
func (f *Family) finish(ctx context.Context, job *Job, status, secondary, message string) error {
	model, err := f.upload(ctx, job)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return f.end(ctx, job, func(now time.Time, j *Job) { j.fail(now, reason("Artifact upload failed", err)) })
	}
	return f.end(ctx, job, func(now time.Time, j *Job) {
		j.Model = model
		j.enter(now, status, secondary, message)
	})
}

// end writes a job's last status, clears up behind it and tells.
func (f *Family) end(ctx context.Context, job *Job, change func(now time.Time, j *Job)) error {
	if err := f.update(ctx, job, change); err != nil {
		return err
	}
	f.clearUp(job)
	f.forget(ctx, job)
	f.ended(job.Request.TrainingJobName)
	return nil
}

// clearUp removes what an ended job does not need: all but its log.
func (f *Family) clearUp(job *Job) {
	for _, dir := range []string{"input", "model", "output", "tmp"} {
		if err := os.RemoveAll(filepath.Join(f.folder(job), dir)); err != nil {
			f.Log.Warn("an ended training job leaves files behind", "error", err)
		}
	}
}

// forget drops what is kept of an attempt outside of the row.
func (f *Family) forget(ctx context.Context, job *Job) {
	f.tails.Delete(job.Request.TrainingJobName)
	if err := f.Runner.Remove(ctx, workID(job)); err != nil && !errors.Is(err, runner.ErrNotFound) {
		f.Log.Warn("cannot remove ended work", "id", workID(job), "error", err)
	}
}

// update changes a job's row and the copy at hand alike. A stop that was asked
// for since the copy was read stays asked for.
func (f *Family) update(ctx context.Context, job *Job, change func(now time.Time, j *Job)) error {
	now := time.Now().UTC()
	return f.db.Update(ctx, func(tx *state.Tx) error {
		row, err := f.jobs.Modify(tx, job.Request.TrainingJobName, func(j *Job) error {
			asked := j.StopAsked && !job.StopAsked
			change(now, j)
			if asked && !j.Done() {
				j.enter(now, stopping, "Stopping", "Stopping the training job")
			}
			return nil
		})
		if err == nil {
			*job = *row
		}
		return err
	})
}

func (f *Family) readMetrics(ctx context.Context, job *Job, final bool) error {
	name := job.Request.TrainingJobName
	kept, ok := f.tails.Load(name)
	if !ok {
		defs, err := definitions(job.Request.AlgorithmSpecification.MetricDefinitions)
		if err != nil {
			return err
		}
		kept = &tail{path: f.logPath(job), defs: defs, last: map[string]Metric{}}
		f.tails.Store(name, kept)
	}
	t := kept.(*tail)
	changed, err := t.read(time.Now().UTC(), final)
	if err != nil || !changed {
		return err
	}
	return f.update(ctx, job, func(_ time.Time, j *Job) { j.Metrics = t.metrics() })
}

// reason puts an error into the words of a FailureReason: whose fault it was,
// then what happened.
func reason(what string, err error) string {
	var api *awsapi.Error
	switch {
	case errors.As(err, &api) && api.Status < 500:
		return fmt.Sprintf("ClientError: %s: %v", what, err)
	case errors.Is(err, channel.ErrNoObjects), errors.Is(err, channel.ErrNotAFile):
		return fmt.Sprintf("ClientError: %s: %v", what, err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("InternalServerError: %s: the disk of this machine is full: %v", what, err)
	}
	return fmt.Sprintf("InternalServerError: %s: %v", what, err)
}

func seconds(n *int64) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}
