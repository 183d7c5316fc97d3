package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/record"
)

const (
	retryInterval = time.Second
	// killMargin is what Init gets to end the work at the deadline before the
	// engine does: only Init brings the last of the log.
	killMargin = 2 * time.Second
)

// tend sees to one piece of work until it has ended or the runner is closed.
// It is level-triggered: each round asks the engine and does one thing.
func (r *Runner) tend(it *item) {
	for r.ctx.Err() == nil && !it.current().Ended() {
		phase := it.current().Phase
		err := r.step(it)
		if r.options.OnChange != nil && it.current().Phase != phase {
			r.options.OnChange(it.id)
		}
		if err != nil && r.ctx.Err() == nil {
			r.log.Error("work is not in order", "id", it.id, "error", err)
			sleep(r.ctx, retryInterval)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (r *Runner) step(it *item) error {
	c, err := r.engine.inspect(r.ctx, r.name(it.id))
	switch {
	case answered(err, http.StatusNotFound) && it.folder.Has(begunFile):
		s := it.current()
		s.Phase, s.ExitedAt, s.Reason = runner.Lost, time.Now(), "the engine has no container of it any more"
		return it.end(s)
	case answered(err, http.StatusNotFound):
		return r.create(it)
	case err != nil:
		return err
	case c.State.Status == "created":
		return r.start(it)
	case !c.runs():
		return r.close(it, c)
	case it.current().Phase == runner.Starting:
		it.become(it.runningAs(c))
		return nil
	default:
		return r.watch(it)
	}
}

// runs tells whether there is a process in the container.
func (c container) runs() bool {
	return c.State.Status == "running" || c.State.Status == "paused" || c.State.Status == "restarting"
}

func (it *item) runningAs(c container) runner.Status {
	s := it.current()
	s.Phase, s.PID, s.StartedAt = runner.Running, c.State.Pid, c.State.StartedAt
	return s
}

// failed is the status of work that never ran.
func (it *item) failed(code int, why error) runner.Status {
	s := it.current()
	s.Phase, s.ExitCode, s.ExitedAt, s.Reason = runner.Exited, code, time.Now(), "cannot start: "+why.Error()
	return s
}

// stoppedEarly is the status of work that was stopped before it ran.
func (it *item) stoppedEarly() runner.Status {
	s := it.current()
	s.Phase, s.ExitCode, s.ExitedAt, s.Reason = runner.Exited, 143, time.Now(), "stopped before it started"
	return s
}

// create makes the container, of an image that is there.
func (r *Runner) create(it *item) error {
	if it.folder.Has(stopFile) {
		return it.end(it.stoppedEarly())
	}
	if err := r.provideImage(it.launch.Image); refused(err) {
		return it.end(it.failed(126, err))
	} else if err != nil {
		return err
	}
	path := logPath(it.folder, it.launch)
	log, err := record.OpenLog(path, 0)
	if err != nil {
		return it.end(it.failed(126, fmt.Errorf("log: %w", err)))
	}
	if err := log.Close(); err != nil {
		return err
	}
	err = r.engine.create(r.ctx, r.name(it.id), r.machine.describe(it.launch, string(it.folder), path))
	if refused(err) && !answered(err, http.StatusConflict) {
		return it.end(it.failed(126, err))
	}
	return err
}

func (r *Runner) provideImage(image string) error {
	there, err := r.engine.hasImage(r.ctx, image)
	if err != nil || there {
		return err
	}
	if !r.options.Pull {
		return &engineError{http.StatusNotFound, fmt.Sprintf("the image %s is not here: fetch it with `docker pull %s`", image, image)}
	}
	r.log.Info("fetching an image", "image", image)
	return r.engine.pull(r.ctx, image)
}

// start starts the container. That it is about to be is recorded first: what
// has a record may have run and is never started under another container.
func (r *Runner) start(it *item) error {
	if it.folder.Has(stopFile) {
		return it.end(it.stoppedEarly())
	}
	if err := it.folder.Write(begunFile, begun{r.boot}, true); err != nil {
		return err
	}
	err := r.engine.start(r.ctx, r.name(it.id))
	if refused(err) {
		return it.end(it.failed(126, err))
	}
	return err
}

// watch returns when the container does not run any more, and passes on what
// is asked of it until then.
func (r *Runner) watch(it *item) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.engine.wait(ctx, r.name(it.id)) }()
	kill := time.NewTimer(time.Hour)
	defer kill.Stop()
	kill.Stop()
	for {
		var order stopOrder
		asked, err := it.folder.Read(stopFile, &order)
		if err != nil {
			return err
		}
		if asked {
			if err := r.engine.kill(ctx, r.name(it.id), "SIGTERM"); err != nil {
				return err
			}
			kill.Reset(max(0, time.Until(order.Deadline)) + killMargin)
		}
		select {
		case err := <-ended:
			return err
		case <-it.stops:
		case <-kill.C:
			return r.engine.kill(ctx, r.name(it.id), "SIGKILL")
		}
	}
}

// close records how a container ended.
func (r *Runner) close(it *item, c container) error {
	line, err := r.engine.lastError(r.ctx, r.name(it.id))
	if err != nil && !refused(err) {
		return err
	}
	var told *report
	if json.Unmarshal(line, &told) != nil {
		told = nil // it was killed, and said nothing or something else
	}
	var start begun
	if _, err := it.folder.Read(begunFile, &start); err != nil {
		return err
	}
	return it.end(outcome(it.current(), c, told, it.launch.Spec.Memory, start.BootID == r.boot))
}
