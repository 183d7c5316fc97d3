package docker

import (
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/record"
)

// Names of the records; doc.go says what they mean.
const (
	runnerFile = "runner.json"
	launchFile = "launch.json"
	begunFile  = "begun.json"
	stopFile   = "stop.json"
	statusFile = "status.json"
	logFile    = "log"
)

const (
	workFolder = "work"
	tempPrefix = ".tmp-" // folders under work that are being made or removed
)

// name is what the engine knows a runner by.
type name struct {
	Name string `json:"name"`
}

// launch is what was asked for, and what was decided about it.
type launch struct {
	Spec       runner.Spec `json:"spec"`
	Image      string      `json:"image"`
	GPUs       []string    `json:"gpus,omitempty"`
	LogLimit   int64       `json:"log_limit"`
	AcceptedAt time.Time   `json:"accepted_at"`
}

// begun says in which run of the machine a container was started.
type begun struct {
	BootID string `json:"boot_id"`
}

// stopOrder says that the work is to end, and by when at the latest.
type stopOrder struct {
	Deadline time.Time `json:"deadline"`
}

// report is what Init tells of the command's end, as a line of JSON.
type report struct {
	ExitCode   int    `json:"exit_code"`
	Signal     string `json:"signal,omitempty"`
	Reason     string `json:"reason,omitempty"`
	PeakMemory int64  `json:"peak_memory"` // bytes
}

// logPath is where l's output goes, if it is kept in f.
func logPath(f record.Folder, l launch) string {
	if l.Spec.LogPath != "" {
		return l.Spec.LogPath
	}
	return f.Path(logFile)
}
