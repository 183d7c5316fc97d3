package docker

import (
	"cmp"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner"
)

// Exit codes that the engine or the first process give without a report.
const (
	codeUnknown = 255 // the engine found the container dead when it started
	codeNotYet  = 2   // SIGTERM came before Init listened
)

// outcome tells how work ended, by what the engine knows of its container and
// what Init told, if it could: told is nil if it was killed itself. limit is in
// bytes; sameBoot tells whether the machine still runs since the start.
func outcome(s runner.Status, c container, told *report, limit int64, sameBoot bool) runner.Status {
	s.Phase, s.StartedAt, s.ExitedAt = runner.Exited, c.State.StartedAt, c.State.FinishedAt
	if s.ExitedAt.Before(s.StartedAt) { // the engine notes a start after the fact
		s.ExitedAt = s.StartedAt
	}
	switch {
	case told != nil:
		s.ExitCode, s.Signal, s.Reason, s.PeakMemory = told.ExitCode, told.Signal, told.Reason, told.PeakMemory
	case c.State.ExitCode == codeUnknown && !sameBoot:
		s.Phase, s.Reason = runner.Lost, "the machine restarted while the work ran"
	case c.State.ExitCode == codeNotYet && s.StopAsked:
		s.ExitCode, s.Reason = 128+int(syscall.SIGTERM), "stopped before it started"
	default:
		s.ExitCode, s.Signal = c.State.ExitCode, signalOf(c.State.ExitCode)
		s.Reason = cmp.Or(c.State.Error, "the container was killed from outside")
	}
	if c.State.OOMKilled && s.Signal == "SIGKILL" {
		s.Reason = fmt.Sprintf("out of memory: it wanted more than its %d bytes", limit)
	}
	return s
}

// signalOf reads an exit code as a shell would.
func signalOf(code int) string {
	if code <= 128 {
		return ""
	}
	return unix.SignalName(syscall.Signal(code - 128))
}
