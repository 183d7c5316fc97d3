package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

const (
	stopGrace = 2 * time.Minute // between SIGTERM and SIGKILL, as on SageMaker
	failGrace = 5 * time.Second // the same, for the peers of an instance that failed
	watch     = time.Second     // how often a running job's metrics are read
	// maxRestarts bounds the attempts of a job that keeps losing its machine.
	maxRestarts = 30
)

// unfinished lists the jobs that the loop must look at after a start.
func (f *Family) unfinished(ctx context.Context) (names []string, err error) {
	err = f.db.View(ctx, func(tx *state.Tx) error {
		return f.jobs.Scan(tx, state.Range{}, func(name string, job *Job) (bool, error) {
			if !job.Done() || job.Pool != nil && job.Pool.Status == poolAvailable {
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
	if err != nil {
		return 0, ignoreMissing(err)
	}
	switch {
	case job.Done():
		return f.cool(ctx, job)
	case job.StopAsked, job.Over != "":
		return f.wind(ctx, job)
	case job.Interrupt != nil:
		return f.takeAway(ctx, job)
	case job.Secondary == "Training":
		return f.watch(ctx, job)
	case job.Secondary == "Interrupted":
		return f.await(ctx, job)
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

// watch looks after the processes of a job.
func (f *Family) watch(ctx context.Context, job *Job) (time.Duration, error) {
	g, err := f.gang(ctx, job)
	if err != nil {
		return 0, err
	}
	switch {
	case len(g.known) < len(g.all):
		return f.abandon(ctx, job, g, "a process is not known to the runner")
	case f.pipesAreCut(job):
		return f.abandon(ctx, job, g, "the server that fed its pipes went away")
	}
	if err := f.readMetrics(ctx, job, len(g.running) == 0); err != nil {
		return 0, err
	}
	if len(g.running) == 0 {
		return 0, f.conclude(ctx, job, g)
	}
	now := time.Now()
	switch limit := seconds(job.Request.StoppingCondition.MaxRuntimeInSeconds); {
	case limit > 0 && job.ran(now) > limit:
		return 0, f.runOut(ctx, job, "MaxRuntimeExceeded", "MaxRuntimeInSeconds has passed")
	case job.waitIsOver(now):
		return 0, f.runOut(ctx, job, "MaxWaitTimeExceeded", "MaxWaitTimeInSeconds has passed")
	case g.failed >= 0 || g.lost:
		// The others would wait for the one that is gone.
		return watch, f.stop(ctx, job, g, failGrace)
	case f.feedFault(job) != nil:
		return watch, f.stop(ctx, job, g, failGrace)
	}
	f.accompany(ctx, job)
	return watch, nil
}

// abandon ends what still runs of an attempt, and begins the next.
func (f *Family) abandon(ctx context.Context, job *Job, g *gang, why string) (time.Duration, error) {
	if len(g.running) > 0 {
		return watch, f.stop(ctx, job, g, 0)
	}
	if err := f.dismiss(ctx, job); err != nil {
		return 0, f.failOver(ctx, job, checkpointsLost(err))
	}
	return 0, f.restart(ctx, job, why)
}

// runOut begins the end of a job whose time has passed.
func (f *Family) runOut(ctx context.Context, job *Job, secondary, message string) error {
	defer f.Poke(job.Request.TrainingJobName)
	return f.update(ctx, job, func(now time.Time, j *Job) {
		j.Over = secondary
		j.enter(now, stopping, "Stopping", message)
	})
}

// conclude decides what becomes of a job all of whose processes have ended.
func (f *Family) conclude(ctx context.Context, job *Job, g *gang) error {
	if fault := f.feedFault(job); fault != nil {
		return f.failOver(ctx, job, channel.Reason("The data could not be fed to the job", fault))
	}
	if err := f.dismiss(ctx, job); err != nil {
		return f.failOver(ctx, job, checkpointsLost(err))
	}
	if g.failed >= 0 {
		st, retry := g.status[g.failed], job.Request.RetryStrategy
		if st.Signal != "" && retry != nil && int64(job.Attempt) < retry.MaximumRetryAttempts {
			return f.restart(ctx, job, "the process was killed by "+st.Signal)
		}
		return f.failOver(ctx, job, f.blame(job, g.known[g.failed], st))
	}
	if g.lost {
		// Nobody asked this job to stop: the machine or the server went away.
		return f.restart(ctx, job, "the instance went away")
	}
	defer f.Poke(job.Request.TrainingJobName)
	return f.update(ctx, job, func(now time.Time, j *Job) {
		j.halt(now)
		j.enter(now, inProgress, "Uploading", "Uploading generated training model")
	})
}

// wind ends a job that shall not go on: it stops the processes, keeps what they
// have written, and closes the row.
func (f *Family) wind(ctx context.Context, job *Job) (time.Duration, error) {
	g, err := f.gang(ctx, job)
	if err != nil {
		return 0, err
	}
	if len(g.running) > 0 {
		return watch, errors.Join(f.stop(ctx, job, g, stopGrace), f.readMetrics(ctx, job, false))
	}
	secondary, message := "Stopped", "Training job stopped"
	switch job.Over {
	case "MaxRuntimeExceeded":
		secondary, message = job.Over, "Training job reached MaxRuntimeInSeconds"
	case "MaxWaitTimeExceeded":
		secondary, message = job.Over, "Training job reached MaxWaitTimeInSeconds"
	}
	if len(g.known) == 0 {
		return 0, f.end(ctx, job, func(now time.Time, j *Job) {
			j.halt(now)
			j.enter(now, stopped, secondary, message)
		})
	}
	if err := f.dismiss(ctx, job); err != nil {
		return 0, f.failOver(ctx, job, checkpointsLost(err))
	}
	if err := f.readMetrics(ctx, job, true); err != nil {
		return 0, err
	}
	return 0, f.finish(ctx, job, stopped, secondary, message)
}

// restart runs the job once more, in its next attempt.
func (f *Family) restart(ctx context.Context, job *Job, why string) error {
	if job.Attempt >= maxRestarts {
		return f.failOver(ctx, job, fmt.Sprintf("InternalServerError: gave up after %d restarts: %s", maxRestarts, why))
	}
	f.Log.Warn("a training job starts again", "job", job.Request.TrainingJobName, "why", why)
	return f.again(ctx, job, func(now time.Time, j *Job) {
		j.Metrics = nil
		j.From = f.logEnds(job)
		j.enter(now, inProgress, "Restarting", "Restarting the training job: "+why)
	})
}

// again ends an attempt and begins the next one.
func (f *Family) again(ctx context.Context, job *Job, change func(now time.Time, j *Job)) error {
	f.forget(ctx, job)
	defer f.Poke(job.Request.TrainingJobName)
	return f.update(ctx, job, func(now time.Time, j *Job) {
		j.halt(now)
		j.Attempt++
		j.Port = 0
		change(now, j)
	})
}

// logEnds is how long the log of each host is now.
func (f *Family) logEnds(job *Job) map[string]int64 {
	ends := map[string]int64{}
	for _, i := range job.instances() {
		if info, err := os.Stat(f.logPath(job, i)); err == nil {
			ends[i.host()] = info.Size()
		}
	}
	return ends
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
			if j.Done() && j.Pool == nil {
				return f.openPool(tx, now, j)
			}
			return nil
		})
		if err == nil {
			*job = *row
		}
		return err
	})
}

func seconds(n *int64) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}
