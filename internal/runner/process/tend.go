//go:build linux

package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner"
)

// launchInterval is how often we look for a supervisor that has its lock but
// has not yet said who it is: one that a server started just before it died.
const launchInterval = 5 * time.Millisecond

// tend sees to one piece of work until it has ended or the runner is closed.
// It is level-triggered: each round looks at the records and does one thing.
func (r *Runner) tend(it *item) {
	started := false // by us: a supervisor that left no trace has failed then
	for r.ctx.Err() == nil {
		if r.refresh(it); it.current().Ended() {
			r.watcher.drop(it)
			return
		}
		var err error
		var id identity
		known, err := it.folder.Read(supervisorFile, &id)
		switch {
		case err != nil:
		case known:
			err = r.attend(it, id)
		case locked(it.folder.Path(lockFile)):
			sleep(r, launchInterval)
		case it.launch.BootID != r.boot:
			err = r.bury(it, runner.Status{Phase: runner.Lost, Reason: "the machine restarted before the work was seen to start"})
		case started && !r.lowerIsolation(it):
			err = r.bury(it, failed(126, "its supervisor failed: "+it.crashText()))
		default:
			started = true
			err = r.launch(it)
		}
		if err != nil && r.ctx.Err() == nil {
			r.log.Error("work is not in order", "id", it.id, "error", err)
			sleep(r, time.Second)
		}
	}
}

func sleep(r *Runner, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
	}
}

// attend waits for the end of a supervisor. If it left no status it was
// killed, and the work with it.
func (r *Runner) attend(it *item, id identity) error {
	if id.BootID != r.boot {
		return r.bury(it, runner.Status{Phase: runner.Lost, Reason: "the machine restarted while the work ran"})
	}
	p, alive, err := find(id)
	if err != nil {
		return err
	}
	if alive {
		defer p.close()
		if !it.keep(p) {
			return nil
		}
		if err := p.wait(); err != nil {
			return err
		}
	}
	if it.folder.Has(statusFile) || !it.folder.Has(supervisorFile) {
		return nil // it ended well, or refused its isolation
	}
	killSession(id.PID)
	s := failed(128+int(unix.SIGKILL), "its supervisor was killed or failed, and the work ended with it")
	s.Signal = unix.SignalName(unix.SIGKILL)
	if text := it.crashText(); text != "" {
		s.Reason += ": " + text
	}
	return r.bury(it, s)
}

func failed(code int, reason string) runner.Status {
	return runner.Status{Phase: runner.Exited, ExitCode: code, Reason: strings.TrimRight(reason, ": \n")}
}

// bury records the end of work that no supervisor can record any more. Its
// lock keeps a late supervisor from starting it.
func (r *Runner) bury(it *item, s runner.Status) error {
	hold, err := lock(it.folder.Path(lockFile))
	if errors.Is(err, errLocked) {
		sleep(r, launchInterval)
		return nil // look again: somebody is still at it
	}
	if err != nil {
		return err
	}
	defer hold.Close()
	if it.folder.Has(statusFile) {
		return nil
	}
	it.mu.Lock()
	known, err := it.readStatus()
	it.mu.Unlock()
	if err != nil {
		return err
	}
	s.ID, s.Labels, s.PID, s.StartedAt, s.StopAsked = it.id, known.Labels, known.PID, known.StartedAt, known.StopAsked
	s.ExitedAt = time.Now()
	return it.folder.Write(statusFile, s, true)
}

// launch starts a supervisor and waits for its end.
func (r *Runner) launch(it *item) error {
	cmd, err := r.spawn(it)
	if err != nil {
		return r.bury(it, failed(126, "cannot start the supervisor: "+err.Error()))
	}
	id := identity{PID: cmd.Process.Pid, BootID: r.boot}
	if st, err := readStat(id.PID); err == nil { // there until we wait for it
		id.Start = st.start
	}
	p, alive, err := find(id)
	go reap(cmd, id)
	if err != nil || !alive {
		return err
	}
	defer p.close()
	if !it.keep(p) {
		return nil
	}
	return p.wait()
}

// reap waits for our child to end, without a thread, and outlives the runner:
// somebody has to.
func reap(cmd *exec.Cmd, id identity) {
	if p, alive, err := find(id); err == nil && alive {
		_ = p.wait()
		p.close()
	}
	_ = cmd.Wait() // how a supervisor ended is told by what it wrote
}

// spawn starts a supervisor with the best isolation that may work.
func (r *Runner) spawn(it *item) (*exec.Cmd, error) {
	for {
		way := r.isolation()
		cmd, err := r.spawnWith(it, way)
		if err == nil || way == isolationNone {
			return cmd, err
		}
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EACCES) {
			return nil, err
		}
		r.giveUp(way, err.Error())
	}
}

func (r *Runner) spawnWith(it *item, way isolation) (*exec.Cmd, error) {
	crash, err := os.Create(it.folder.Path(crashFile))
	if err != nil {
		return nil, err
	}
	defer crash.Close()
	args := append(slices.Clone(r.options.Supervisor[1:]), "--dir", string(it.folder))
	cmd := exec.Command(r.options.Supervisor[0], args...)
	cmd.Dir = "/"
	cmd.Env = []string{isolationVar + "=" + string(way), "GOMAXPROCS=2"}
	cmd.Stderr = crash
	cmd.SysProcAttr = way.attr()
	return cmd, cmd.Start()
}

func (r *Runner) isolation() isolation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isolations[0]
}

// giveUp goes on without a way of isolation that does not work here.
func (r *Runner) giveUp(way isolation, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isolations[0] == way && way != isolationNone {
		r.isolations = r.isolations[1:]
		r.log.Warn("work is isolated less than it could be", "without", way, "now", r.isolations[0], "error", why)
	}
}

// lowerIsolation gives up the isolation that the item's supervisor refused.
// It reports false if none was refused: the supervisor failed otherwise.
func (r *Runner) lowerIsolation(it *item) bool {
	var no refusal
	refused, err := it.folder.Read(refusedFile, &no)
	if err != nil || !refused {
		return false
	}
	r.giveUp(no.Isolation, no.Error)
	if err := os.Remove(it.folder.Path(refusedFile)); err != nil {
		r.log.Error("cannot forget a refused isolation", "id", it.id, "error", fmt.Errorf("remove: %w", err))
		return false
	}
	return true
}
