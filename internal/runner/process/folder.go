//go:build linux

package process

import (
	"cmp"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/record"
)

// Names of the records in a folder of work; doc.go says who writes them.
const (
	launchFile     = "launch.json"
	lockFile       = "lock"
	supervisorFile = "supervisor.json"
	runningFile    = "running.json"
	stopFile       = "stop.json"
	statusFile     = "status.json"
	logFile        = "log"
	refusedFile    = "refused.json"     // an isolation that turned out not to work here
	crashFile      = "supervisor.error" // stderr of the supervisor
	scratchFolder  = "root"             // where the private root is put together
)

const (
	serverLock = "server.lock"
	workFolder = "work"
	tempPrefix = ".tmp-" // folders under work that are being made or removed
)

// launch is all that a supervisor needs to know.
type launch struct {
	Spec        runner.Spec   `json:"spec"`
	AcceptedAt  time.Time     `json:"accepted_at"`
	BootID      string        `json:"boot_id"`
	GPUs        []string      `json:"gpus,omitempty"` // indices of the devices given
	CPUs        []int         `json:"cpus,omitempty"` // that it is bound to; none: all
	System      []string      `json:"system,omitempty"`
	OrphanGrace time.Duration `json:"orphan_grace"`
	LogLimit    int64         `json:"log_limit"`
}

// running says that the command runs.
type running struct {
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Landlock  bool      `json:"landlock"`
}

// stopOrder says that the work is to end, and by when at the latest.
type stopOrder struct {
	Deadline time.Time `json:"deadline"`
}

// refusal says which isolation did not work and why.
type refusal struct {
	Isolation isolation `json:"isolation"`
	Error     string    `json:"error"`
}

// folder is the folder of one piece of work.
type folder = record.Folder

// logPath is where l's output goes, if it is kept in f.
func logPath(f folder, l launch) string {
	return cmp.Or(l.Spec.LogPath, f.Path(logFile))
}
