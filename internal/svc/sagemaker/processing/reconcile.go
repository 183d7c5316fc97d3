package processing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

const (
	stopGrace = 2 * time.Minute // between SIGTERM and SIGKILL
	failGrace = 5 * time.Second // the same, for the peers of an instance that failed
	watch     = time.Second     // how often a running job's outputs are looked at
	// maxRestarts bounds the attempts of a job that keeps losing its machine.
	maxRestarts = 30
)

// logGroup is where CloudWatch Logs has what processing jobs print.
const logGroup = "/aws/sagemaker/ProcessingJobs"

// errStopAsked cancels what StopProcessingJob made useless.
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

// step takes a job one phase further.
func (f *Family) step(ctx context.Context, name string) (time.Duration, error) {
	job, err := f.get(ctx, name)
	if err != nil {
		return 0, ignoreMissing(err)
	}
	switch {
	case job.Done():
		return 0, nil
	case job.StopAsked, job.Over:
		return f.wind(ctx, job)
	case job.Phase == running:
		return f.watch(ctx, job)
	case job.Phase == uploading:
		return 0, f.finish(ctx, job)
	}
	return 0, f.prepare(ctx, job)
}

// The row of a job is never removed, so a missing one was never committed.
func ignoreMissing(err error) error {
	var api *awsapi.Error
	if errors.As(err, &api) {
		return nil
	}
	return err
}

// stoppable is ctx for a part of a step that StopProcessingJob ends.
func (f *Family) stoppable(ctx context.Context, job *Job) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	f.steps.Store(job.Request.ProcessingJobName, cancel)
	return ctx, func() {
		f.steps.Delete(job.Request.ProcessingJobName)
		cancel(nil)
	}
}

func (f *Family) interrupt(name string) {
	if cancel, ok := f.steps.Load(name); ok {
		cancel.(context.CancelCauseFunc)(errStopAsked)
	}
}

// prepare brings the inputs, and starts the processes.
func (f *Family) prepare(ctx context.Context, job *Job) error {
	working, done := f.stoppable(ctx, job)
	defer done()
	err := f.launch(working, job)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err() // the server ends; the next one continues
	case working.Err() != nil:
		return nil // Stop has poked: the next step winds the job up
	}
	f.kill(ctx, job)
	return f.fail(ctx, job, channel.Reason("The job cannot start", err))
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
	rt, err := f.Images.Resolve(job.Request.AppSpecification.ImageUri)
	if err != nil {
		return sagemaker.Invalid("%v", err)
	}
	caller, err := f.Roles.Session(ctx, job.Request.RoleArn, sessionName(job))
	if err != nil {
		return err
	}
	for _, i := range missing {
		if err := f.layOut(job, i); err != nil {
			return err
		}
	}
	if err := f.bring(ctx, caller, job, missing); err != nil {
		return err
	}
	if err := sagemaker.WriteHosts(f.hostsPath(job), job.ARN, job.count()); err != nil {
		return err
	}
	for _, i := range missing {
		spec, err := f.spec(job, i, rt)
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

func (f *Family) launched(ctx context.Context, job *Job) error {
	for _, i := range job.instances() {
		if err := f.Logs.Follow(ctx, logGroup, logStream(job, i), f.logPath(job, i)); err != nil {
			return err
		}
	}
	defer f.Poke(job.Request.ProcessingJobName)
	return f.update(ctx, job, func(now time.Time, j *Job) {
		if j.Started.IsZero() {
			j.Started = now
		}
		j.Launched, j.Phase = now, running
	})
}

// logStream names an instance's stream. It stays the same in all attempts:
// clients look for the streams once.
func logStream(job *Job, i instance) string {
	return fmt.Sprintf("%s/%s-%d", job.Request.ProcessingJobName, i.host(), job.LogEpoch)
}

// gang is where the instances of a job stand together.
type gang struct {
	known   int // to the runner
	running []instance
	failed  instance // the first that failed by itself; 0: none
	status  runner.Status
	lost    bool // one went away, or was stopped by somebody else
}

func (f *Family) gang(ctx context.Context, job *Job) (*gang, error) {
	g := &gang{}
	for _, i := range job.instances() {
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
	g.known++
	switch {
	case !st.Ended():
		g.running = append(g.running, i)
	case st.Phase == runner.Lost || st.StopAsked:
		g.lost = true
	case st.ExitCode != 0 && (g.failed == 0 || st.ExitedAt.Before(g.status.ExitedAt)):
		g.failed, g.status = i, st
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

// watch looks after the processes of a job.
func (f *Family) watch(ctx context.Context, job *Job) (time.Duration, error) {
	g, err := f.gang(ctx, job)
	if err != nil {
		return 0, err
	}
	lost := g.lost || g.known < job.count()
	switch {
	case len(g.running) > 0 && (g.failed != 0 || lost):
		// The others would wait for the one that is gone.
		return watch, f.stop(ctx, job, g, failGrace)
	case len(g.running) > 0 && job.ran(time.Now()) > job.limit():
		defer f.Poke(job.Request.ProcessingJobName)
		return 0, f.update(ctx, job, func(_ time.Time, j *Job) { j.Over, j.Status = true, stopping })
	case len(g.running) > 0:
		working, done := f.stoppable(ctx, job)
		defer done()
		f.saveAsItRuns(working, job)
		return watch, nil
	case g.failed != 0:
		return 0, f.failAfterRun(ctx, job, f.blame(job, g.failed, g.status))
	case lost:
		return 0, f.restart(ctx, job)
	}
	defer f.Poke(job.Request.ProcessingJobName)
	return 0, f.update(ctx, job, func(now time.Time, j *Job) {
		j.halt(now)
		j.Phase = uploading
	})
}

// restart runs a job once more of which nobody knows how it ended: its machine
// or its server went away.
func (f *Family) restart(ctx context.Context, job *Job) error {
	if job.Attempt >= maxRestarts {
		return f.failAfterRun(ctx, job, fmt.Sprintf("InternalServerError: gave up after %d restarts: an instance went away", maxRestarts))
	}
	f.Log.Warn("a processing job starts again, since an instance went away", "job", job.Request.ProcessingJobName)
	f.forget(ctx, job)
	defer f.Poke(job.Request.ProcessingJobName)
	return f.update(ctx, job, func(now time.Time, j *Job) {
		j.halt(now)
		j.Attempt++
		j.Phase = starting
	})
}

// finish takes all outputs of a job that did its work to S3, and ends it.
func (f *Family) finish(ctx context.Context, job *Job) error {
	every := func(*sagemaker.ProcessingOutput) bool { return true }
	working, done := f.stoppable(ctx, job)
	defer done()
	err := f.save(working, job, every, (*channel.Mirror).Finish)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case working.Err() != nil:
		return nil // Stop has poked
	case err != nil:
		return f.fail(ctx, job, channel.Reason("Output upload failed", err))
	}
	return f.end(ctx, job, completed, "")
}

// failAfterRun ends a job that went wrong. What it wrote to continuous outputs
// is kept; the others are for jobs that complete.
func (f *Family) failAfterRun(ctx context.Context, job *Job, why string) error {
	if err := f.saveRest(ctx, job); err != nil {
		return err
	}
	return f.fail(ctx, job, why)
}

// saveRest is the last pass over the continuous outputs of a job that does not
// complete. What cannot be saved is no further reason to fail.
func (f *Family) saveRest(ctx context.Context, job *Job) error {
	err := f.save(ctx, job, continuous, (*channel.Mirror).Finish)
	if ctx.Err() != nil {
		return ctx.Err() // the server ends; the next one sees to it
	}
	if err != nil {
		f.Log.Warn("the last outputs of a processing job do not get to S3", "job", job.Request.ProcessingJobName, "error", err)
	}
	return nil
}

func (f *Family) fail(ctx context.Context, job *Job, why string) error {
	return f.end(ctx, job, failed, why)
}

// wind ends a job that shall not go on.
func (f *Family) wind(ctx context.Context, job *Job) (time.Duration, error) {
	g, err := f.gang(ctx, job)
	if err != nil {
		return 0, err
	}
	if len(g.running) > 0 {
		return watch, f.stop(ctx, job, g, stopGrace)
	}
	if g.known > 0 {
		if err := f.saveRest(ctx, job); err != nil {
			return 0, err
		}
	}
	why := ""
	if job.Over {
		why = fmt.Sprintf("ClientError: the job ran for longer than MaxRuntimeInSeconds, which is %d", job.Request.StoppingCondition.MaxRuntimeInSeconds)
	}
	return 0, f.end(ctx, job, stopped, why)
}

// end writes a job's last status and clears up behind it. Who sees the status
// finds all of the job's log.
func (f *Family) end(ctx context.Context, job *Job, status, failure string) error {
	message := f.message(job)
	f.finishLogs(ctx, job)
	err := f.update(ctx, job, func(now time.Time, j *Job) {
		j.Message = sagemaker.Cut(message)
		j.end(now, status, failure)
	})
	if err != nil {
		return err
	}
	f.clearUp(job)
	f.forget(ctx, job)
	return nil
}

func (f *Family) finishLogs(ctx context.Context, job *Job) {
	if job.Started.IsZero() {
		return
	}
	for _, i := range job.instances() {
		if err := f.Logs.Finish(ctx, logGroup, logStream(job, i)); err != nil {
			f.Log.Warn("the end of a processing job's log may be missing in CloudWatch Logs", "job", job.Request.ProcessingJobName, "error", err)
		}
	}
}

// clearUp removes what an ended job does not need: all but its logs.
func (f *Family) clearUp(job *Job) {
	for _, i := range job.instances() {
		if err := os.RemoveAll(f.folder(job, i)); err != nil {
			f.Log.Warn("an ended processing job leaves files behind", "error", err)
		}
		for n := range job.outputs() {
			os.Remove(f.memory(job, i, n))
		}
	}
}

// forget drops the work of an attempt that has ended.
func (f *Family) forget(ctx context.Context, job *Job) {
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
		row, err := f.jobs.Modify(tx, job.Request.ProcessingJobName, func(j *Job) error {
			change(now, j)
			j.Modified = now
			return nil
		})
		if err == nil {
			*job = *row
		}
		return err
	})
}

// tidy clears up behind jobs that ended just before a server died: their row
// is written, and the loop does not look at them any more.
func (f *Family) tidy(ctx context.Context) error {
	work, err := f.Runner.List(ctx)
	if err != nil {
		return err
	}
	for _, st := range work {
		if st.Labels["kind"] != "processing" || !st.Ended() {
			continue
		}
		job, err := f.get(ctx, st.Labels["job"])
		if err := ignoreMissing(err); err != nil {
			return err
		}
		if job != nil && !job.Done() {
			continue
		}
		if job != nil {
			f.clearUp(job)
		}
		if err := f.Runner.Remove(ctx, st.ID); err != nil && !errors.Is(err, runner.ErrNotFound) {
			return err
		}
	}
	return nil
}
