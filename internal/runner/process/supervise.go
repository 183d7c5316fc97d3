//go:build linux

package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/process/sandbox"
	"github.com/musher/musher/internal/runner/record"
)

const (
	memoryInterval = 200 * time.Millisecond
	ownGrace       = 10 * time.Second      // when the supervisor itself decides to stop the work
	sweepInterval  = 2 * time.Millisecond  // between looks for what is left of ended work
	tickShortest   = 20 * time.Millisecond // between looks at server.lock
	tickLongest    = 10 * time.Second
)

// Supervise runs the work in dir until it has ended, and gives the exit code
// for the process. It is the whole of a supervisor process: it changes signal
// handling, umask and limits, so nothing else may run beside it.
//
// If another supervisor has the work, or had it, it does nothing.
func Supervise(dir string) int {
	f := folder(dir)
	hold, err := lock(f.Path(lockFile))
	if errors.Is(err, errLocked) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		return 1
	}
	defer hold.Close()
	if f.Has(supervisorFile) || f.Has(statusFile) {
		return 0
	}
	if err := supervise(f); err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		return 1
	}
	return 0
}

// supervisor is the state of a supervisor process. Only its one loop uses it.
type supervisor struct {
	folder  folder
	launch  launch
	self    identity
	jail    isolation
	signals chan os.Signal

	pid      int  // the command, in our pid namespace
	landlock bool // it is confined by Landlock
	ended    *unix.WaitStatus
	peak     int64
	reason   string

	deadline time.Time // of a stop in progress; zero: none
	kill     *time.Timer
	served   time.Time // when a server was last there
}

func supervise(f folder) error {
	s, err := newSupervisor(f)
	if err != nil {
		return err
	}
	if err := f.Write(supervisorFile, s.self, false); err != nil {
		return err
	}
	status, err := s.work()
	if errors.Is(err, sandbox.ErrNoNamespaces) {
		return s.refuse(err)
	}
	if err != nil {
		status.Reason, status.ExitCode = "cannot start: "+reasonOf(err), exitCodeOf(err)
	}
	status.Phase, status.ExitedAt = runner.Exited, time.Now()
	status.StopAsked = f.Has(stopFile)
	return f.Write(statusFile, status, true)
}

func newSupervisor(f folder) (*supervisor, error) {
	s := &supervisor{folder: f, jail: isolation(os.Getenv(isolationVar)), signals: make(chan os.Signal, 64), served: time.Now()}
	signal.Notify(s.signals, unix.SIGCHLD, unix.SIGUSR1, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	unix.Umask(0o077)
	debug.SetGCPercent(20) // there is one supervisor for each piece of work: better small than fast
	// What the server inherited without close-on-exec must not reach the work.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, fmt.Errorf("close inherited files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	known, err := f.Read(launchFile, &s.launch)
	if err != nil || !known {
		return nil, cmp.Or(err, fs.ErrNotExist)
	}
	s.self, err = self()
	return s, err
}

// refuse says that this isolation does not work here. As nothing was started,
// the server may start another supervisor with a lesser one.
func (s *supervisor) refuse(why error) error {
	if err := s.folder.Write(refusedFile, refusal{Isolation: s.jail, Error: why.Error()}, false); err != nil {
		return err
	}
	return os.Remove(s.folder.Path(supervisorFile))
}

// work starts the command, waits for its end and leaves nothing of it behind.
// An error means that the command never ran.
func (s *supervisor) work() (runner.Status, error) {
	status := runner.Status{ID: s.launch.Spec.ID, Labels: s.launch.Spec.Labels}
	log, err := record.OpenLog(logPath(s.folder, s.launch), s.launch.LogLimit)
	if err != nil {
		return status, fmt.Errorf("log: %w", err)
	}
	if s.folder.Has(stopFile) {
		status.Reason, status.ExitCode = "stopped before it started", 128+int(unix.SIGTERM)
		return status, nil
	}
	kills := kernelKills()
	copied, err := s.start(log)
	if err != nil {
		return status, err
	}
	if err := s.announce(&status); err != nil {
		s.reason = "cannot record the start: " + err.Error()
		s.killAll()
	}
	s.watch()
	s.sweep()
	<-copied
	status.ExitCode, status.Signal = exitOf(*s.ended)
	if status.Signal == "SIGKILL" && kernelKills() > kills {
		s.reason = cmp.Or(s.reason, "out of memory: the machine was, and the kernel killed processes")
	}
	status.Reason, status.PeakMemory = s.reason, s.peak
	return status, nil
}

// start starts the command with its output going to log. The channel is closed
// when the last of the output has been written.
func (s *supervisor) start(log *record.LogWriter) (<-chan struct{}, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	child, err := sandbox.Start(s.sandbox(in))
	if err != nil {
		out.Close()
		return nil, err
	}
	s.pid, s.landlock = child.PID, child.Landlock
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if err := log.CopyFrom(out); err != nil {
			fmt.Fprintln(os.Stderr, "supervise: log:", err)
		}
	}()
	return copied, nil
}

func (s *supervisor) sandbox(output *os.File) sandbox.Config {
	spec := s.launch.Spec
	c := sandbox.Config{
		Command: spec.Command, Env: spec.Env, Dir: filepath.Clean(spec.Dir), Mounts: spec.Mounts,
		System: s.launch.System, CPUs: s.launch.CPUs, Output: output, Scratch: s.folder.Path(scratchFolder),
		NoNetwork: spec.Network == runner.NoNetwork,
	}
	if s.jail != isolationNone {
		c.Isolation = sandbox.Namespaces
	}
	giveGPUs(&c, s.launch.GPUs)
	return c
}

// announce records that the command runs.
func (s *supervisor) announce(status *runner.Status) error {
	pid, err := outerPID(s.pid)
	if err != nil {
		return err
	}
	preferToKill(pid)
	status.PID, status.StartedAt = pid, time.Now()
	return s.folder.Write(runningFile, running{PID: pid, StartedAt: status.StartedAt, Landlock: s.landlock}, false)
}

// watch returns when the command has ended.
func (s *supervisor) watch() {
	s.kill = time.NewTimer(time.Hour)
	s.kill.Stop()
	tick := time.NewTicker(s.tickInterval())
	defer tick.Stop()
	memory := time.NewTicker(memoryInterval)
	if s.launch.Spec.Memory == 0 {
		memory.Stop()
	}
	s.obey() // a stop may have been asked for before we listened
	s.reap()
	for s.ended == nil {
		select {
		case sig := <-s.signals:
			s.handle(sig)
		case <-s.kill.C:
			s.reason = cmp.Or(s.reason, "did not end in time after SIGTERM: killed")
			s.killAll()
		case <-tick.C:
			s.obey()
			s.checkServer()
		case <-memory.C:
			s.checkMemory()
		}
	}
}

func (s *supervisor) handle(sig os.Signal) {
	switch sig {
	case unix.SIGCHLD:
		s.reap()
	case unix.SIGUSR1:
		s.obey()
	case unix.SIGTERM:
		s.reason = cmp.Or(s.reason, "the supervisor was told to end")
		s.stop(time.Now().Add(ownGrace))
	}
}

// obey carries out what stop.json asks for.
func (s *supervisor) obey() {
	var order stopOrder
	if asked, err := s.folder.Read(stopFile, &order); err == nil && asked {
		s.stop(order.Deadline)
	}
}

// stop asks the command to end, once, and sees to it that it has ended by the
// deadline. A later call can only make the deadline earlier.
func (s *supervisor) stop(deadline time.Time) {
	if s.deadline.IsZero() {
		_ = unix.Kill(s.pid, unix.SIGTERM)
		_ = unix.Kill(s.pid, unix.SIGCONT) // a suspended process would not hear it
	} else if !deadline.Before(s.deadline) {
		return
	}
	s.deadline = deadline
	s.kill.Reset(max(0, time.Until(deadline)))
}

// checkServer stops work that no server has cared for during the grace.
func (s *supervisor) checkServer() {
	if s.launch.OrphanGrace < 0 || locked(s.serverLock()) {
		s.served = time.Now()
		return
	}
	if s.deadline.IsZero() && time.Since(s.served) >= s.launch.OrphanGrace {
		s.reason = fmt.Sprintf("orphaned: no server for %v", s.launch.OrphanGrace)
		s.stop(time.Now().Add(ownGrace))
	}
}

func (s *supervisor) serverLock() string {
	return filepath.Join(string(s.folder), "..", "..", serverLock)
}

func (s *supervisor) tickInterval() time.Duration {
	if s.launch.OrphanGrace < 0 {
		return tickLongest
	}
	return min(max(s.launch.OrphanGrace/10, tickShortest), tickLongest)
}

func (s *supervisor) checkMemory() {
	limit := s.launch.Spec.Memory
	if used := memoryBelow(s.self.PID); used > limit {
		s.reason = fmt.Sprintf("out of memory: used %d bytes of %d", used, limit)
		s.killAll()
	}
}

// killAll kills the command and all that descends from it.
func (s *supervisor) killAll() {
	if s.jail == isolationNone {
		killDescendants(s.self.PID)
		return
	}
	_ = unix.Kill(-1, unix.SIGKILL) // all of our pid namespace but ourselves
}

// sweep kills what the command left behind and returns when all of it is gone.
// Orphans become our children, so none is left when we have none.
func (s *supervisor) sweep() {
	for !s.reap() {
		s.killAll()
		time.Sleep(sweepInterval)
	}
}

// reap takes note of children that have ended, and tells whether none is left.
func (s *supervisor) reap() bool {
	for {
		var status unix.WaitStatus
		var usage unix.Rusage
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WALL, &usage)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return true // ECHILD
		case pid == 0:
			return false
		}
		s.peak = max(s.peak, usage.Maxrss<<10)
		if pid == s.pid {
			s.ended = &status
		}
	}
}

// exitOf gives exit code and signal as a shell would.
func exitOf(w unix.WaitStatus) (int, string) {
	if w.Signaled() {
		return 128 + int(w.Signal()), unix.SignalName(w.Signal())
	}
	return w.ExitStatus(), ""
}

// exitCodeOf gives the code that shells use for a command that never ran.
func exitCodeOf(err error) int {
	if errors.Is(err, fs.ErrNotExist) {
		return 127
	}
	return 126
}

func reasonOf(err error) string { return strings.TrimSpace(err.Error()) }

// outerPID gives the id of our child pid as the rest of the machine knows it.
func outerPID(pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(info), "\nPid:")
	var outer int
	_, err = fmt.Sscan(rest, &outer)
	return outer, err
}
