package docker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner/record"
)

// sweepInterval is between looks for what is left of ended work.
const sweepInterval = 2 * time.Millisecond

// Init is the first process of a container: it runs the command in args (the
// log's limit in bytes, "--", the command line) until it has ended, and gives
// the exit code for itself. It is the whole of its process.
//
// It tells how the command ended as a line of JSON on stderr, which the command
// does not share, and which the engine keeps.
func Init(args []string) int {
	p := &parent{folder: workTarget, signals: make(chan os.Signal, 64)}
	signal.Notify(p.signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	debug.SetGCPercent(20) // the memory is the work's
	told, err := p.run(args)
	if err != nil {
		told = report{ExitCode: 126, Reason: "cannot start: " + err.Error()}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			told.ExitCode = 127
		}
	}
	if err := json.NewEncoder(os.Stderr).Encode(told); err != nil {
		return 1 // nobody is left to tell
	}
	return told.ExitCode
}

// parent is the state of the command's parent. Only its one loop uses it.
type parent struct {
	folder  record.Folder
	signals chan os.Signal

	pid    int
	ended  *unix.WaitStatus
	peak   int64
	reason string

	deadline time.Time // of a stop in progress; zero: none
	asked    bool      // SIGTERM was passed on
	kill     *time.Timer
}

// run starts the command, waits for its end and leaves nothing of it behind.
func (p *parent) run(args []string) (report, error) {
	if len(args) < 3 || args[1] != "--" {
		return report{}, fmt.Errorf("arguments %q: want LIMIT -- COMMAND", args)
	}
	limit, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return report{}, err
	}
	log, err := record.OpenLog(logTarget, limit)
	if err != nil {
		return report{}, fmt.Errorf("log: %w", err)
	}
	copied, err := p.start(args[2:], log)
	if err != nil {
		return report{}, err
	}
	p.watch()
	for !p.reap() {
		_ = unix.Kill(-1, unix.SIGKILL) // all of the container but us
		time.Sleep(sweepInterval)
	}
	told := report{ExitCode: p.ended.ExitStatus(), Reason: p.reason, PeakMemory: p.peak}
	if err := <-copied; err != nil {
		told.Reason = cmp.Or(told.Reason, "the log is not complete: "+err.Error())
	}
	if p.ended.Signaled() {
		told.ExitCode, told.Signal = 128+int(p.ended.Signal()), unix.SignalName(p.ended.Signal())
	}
	return told, nil
}

// start starts the command with its output going to log. The channel tells
// when the last of the output has been written.
func (p *parent) start(command []string, log *record.LogWriter) (<-chan error, error) {
	program, err := exec.LookPath(command[0])
	if err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	p.pid, err = forkExec(program, command, null, in)
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("execute %q: %w", program, err)
	}
	copied := make(chan error, 1)
	go func() { copied <- log.CopyFrom(out) }()
	return copied, nil
}

// watch returns when the command has ended.
func (p *parent) watch() {
	p.kill = time.NewTimer(time.Hour)
	p.kill.Stop()
	if p.folder.Has(stopFile) {
		p.stop() // it was asked for before we listened
	}
	p.reap()
	for p.ended == nil {
		select {
		case s := <-p.signals:
			if s == unix.SIGCHLD {
				p.reap()
			} else {
				p.stop()
			}
		case <-p.kill.C:
			p.reason = "did not end in time after SIGTERM: killed"
			_ = unix.Kill(-1, unix.SIGKILL)
		}
	}
}

// stop asks the command to end, once, and sees to it that it has ended by the
// deadline that stop.json gives. A later order can only make it earlier.
func (p *parent) stop() {
	if !p.asked {
		p.asked = true
		_ = unix.Kill(p.pid, unix.SIGTERM)
		_ = unix.Kill(p.pid, unix.SIGCONT) // a suspended process would not hear it
	}
	var order stopOrder
	known, err := p.folder.Read(stopFile, &order)
	if err != nil || !known {
		return // it was not the runner who asked
	}
	if p.deadline.IsZero() || order.Deadline.Before(p.deadline) {
		p.deadline = order.Deadline
		p.kill.Reset(max(0, time.Until(order.Deadline)))
	}
}

// reap takes note of children that have ended, and tells whether none is left.
func (p *parent) reap() bool {
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
		p.peak = max(p.peak, usage.Maxrss<<10)
		if pid == p.pid {
			p.ended = &status
		}
	}
}

func forkExec(program string, command []string, stdin, output *os.File) (int, error) {
	return syscall.ForkExec(program, command, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{stdin.Fd(), output.Fd(), output.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
}
