package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

const (
	stopGrace = 2 * time.Minute // between SIGTERM and SIGKILL, as on SageMaker
	failGrace = 5 * time.Second // the same, for the peers of an instance that failed
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
	f.kill(ctx, job)
	return f.end(ctx, job, func(now time.Time, j *Job) { j.fail(now, channel.Reason("The job cannot start", err)) })
}

// interrupt cancels the preparation of a job, if one is under way.
func (f *Family) interrupt(name string) {
	if cancel, ok := f.steps.Load(name); ok {
		cancel.(context.CancelCauseFunc)(errStopAsked)
	}
}

// launch brings the instances up that do not run yet. A server that died in
// the middle has started some: those have their folders, which must not be laid
// out anew.
func (f *Family) launch(ctx context.Context, job *Job) error {
	missing, err := f.missing(ctx, job)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return f.launched(ctx, job)
	}
	rt, err := f.Images.Resolve(*job.Request.AlgorithmSpecification.TrainingImage)
	if err != nil {
		return sagemaker.Invalid("%v", err)
	}
	caller, err := f.Roles.Session(ctx, job.Request.RoleArn, sessionName(job))
	if err != nil {
		return err
	}
	var provided sagemaker.Provision
	if job.builtin() {
		if provided, err = f.Algorithm.Provide(ctx, job.Request.HyperParameters); err != nil {
			return err
		}
	}
	if err := f.beginDownload(ctx, job); err != nil {
		return err
	}
	inputs, err := f.bring(ctx, caller, job)
	if err != nil {
		return err
	}
	code, err := f.fetchCode(ctx, caller, job)
	if err != nil {
		return err
	}
	// From here on Sweep keeps its hands off the data.
	if err := f.update(ctx, job, func(_ time.Time, j *Job) { j.Inputs = inputs }); err != nil {
		return err
	}
	if err := f.claim(ctx, job); err != nil {
		return err
	}
	if err := os.MkdirAll(f.home(job), 0o700); err != nil {
		return err
	}
	if err := sagemaker.WriteHosts(f.hostsPath(job), job.ARN, len(job.instances())); err != nil {
		return err
	}
	for _, i := range missing {
		if err := f.furnish(ctx, caller, job, i, code); err != nil {
			return err
		}
	}
	for _, i := range missing {
		spec, err := f.spec(job, i, rt, provided)
		if err != nil {
			return err
		}
		if err := f.Runner.Start(ctx, spec); err != nil {
			return err
		}
	}
	return f.launched(ctx, job)
}

// missing are the instances that the runner does not know.
func (f *Family) missing(ctx context.Context, job *Job) (none []instance, err error) {
	for _, i := range job.instances() {
		switch _, err := f.Runner.Inspect(ctx, workID(job, i)); {
		case errors.Is(err, runner.ErrNotFound):
			none = append(none, i)
		case err != nil:
			return nil, err
		}
	}
	return none, nil
}

// beginDownload enters Downloading, and settles what all instances of this
// attempt have in common.
func (f *Family) beginDownload(ctx context.Context, job *Job) error {
	port := job.Port
	if port == 0 && !job.builtin() {
		var err error
		if port, err = freePort(); err != nil {
			return err
		}
	}
	return f.update(ctx, job, func(now time.Time, j *Job) {
		j.Port = port
		if j.LogEpoch == 0 {
			j.LogEpoch = now.Unix()
		}
		j.enter(now, inProgress, "Downloading", "Downloading input data")
	})
}

// furnish makes the folder of an instance, with all that it reads.
func (f *Family) furnish(ctx context.Context, caller *awsapi.Caller, job *Job, i instance, code []byte) error {
	if err := f.layOut(job, i, job.Inputs); err != nil {
		return err
	}
	if err := f.warmUp(job, i); err != nil {
		return err
	}
	if code != nil {
		if err := os.WriteFile(filepath.Join(f.folder(job, i), codeArchive), code, 0o600); err != nil {
			return err
		}
	}
	if err := f.restoreCheckpoints(ctx, caller, job, i); err != nil {
		return err
	}
	pipes, err := f.pipes(ctx, caller, job, i)
	if err != nil {
		return err
	}
	f.beside(job).lay(i.host(), pipes)
	return nil
}

// kill ends what runs of a job that could not be started as a whole.
func (f *Family) kill(ctx context.Context, job *Job) {
	for ctx.Err() == nil {
		g, err := f.gang(ctx, job)
		if err != nil || len(g.running) == 0 || f.stop(ctx, job, g, 0) != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (f *Family) launched(ctx context.Context, job *Job) error {
	for _, i := range job.instances() {
		if f.Logs == nil {
			break
		}
		if err := f.Logs.Follow(ctx, logGroup, logStream(job, i), f.logPath(job, i)); err != nil {
			return err
		}
	}
	err := f.update(ctx, job, func(now time.Time, j *Job) {
		if j.Started.IsZero() {
			j.Started = now
		}
		j.Launched = now
		j.enter(now, inProgress, "Training", "Training in-progress")
	})
	f.Poke(job.Request.TrainingJobName)
	return err
}

// logGroup is where CloudWatch Logs has what training jobs print.
const logGroup = "/aws/sagemaker/TrainingJobs"

// logStream names an instance's stream. It stays the same in all attempts:
// clients look for the streams once.
func logStream(job *Job, i instance) string {
	return fmt.Sprintf("%s/%s-%d", job.Request.TrainingJobName, i.host(), job.LogEpoch)
}

// gang is where the instances of a job stand together.
type gang struct {
	all     []instance
	status  []runner.Status // of those that the runner knows
	known   []instance
	running []instance
	failed  int  // the index in known of the first that failed by itself; -1: none
	lost    bool // one went away, or was stopped by somebody else
}

func (f *Family) gang(ctx context.Context, job *Job) (*gang, error) {
	g := &gang{all: job.instances(), failed: -1}
	for _, i := range g.all {
		st, err := f.Runner.Inspect(ctx, workID(job, i))
		if errors.Is(err, runner.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		g.add(i, st)
	}
	return g, nil
}

func (g *gang) add(i instance, st runner.Status) {
	g.known, g.status = append(g.known, i), append(g.status, st)
	n := len(g.known) - 1
	switch {
	case !st.Ended():
		g.running = append(g.running, i)
	case st.Phase == runner.Lost || st.StopAsked:
		g.lost = true
	case st.ExitCode != 0 && (g.failed < 0 || st.ExitedAt.Before(g.status[g.failed].ExitedAt)):
		g.failed = n
	}
}

// stop asks the instances that still run to end.
func (f *Family) stop(ctx context.Context, job *Job, g *gang, grace time.Duration) error {
	for _, i := range g.running {
		if err := f.Runner.Stop(ctx, workID(job, i), grace); err != nil && !errors.Is(err, runner.ErrNotFound) {
			return err
		}
	}
	return nil
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
