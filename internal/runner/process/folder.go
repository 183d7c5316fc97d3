//go:build linux

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/musher/musher/internal/runner"
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
type folder string

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

// logPath is where l's output goes.
func (f folder) logPath(l launch) string {
	if l.Spec.LogPath != "" {
		return l.Spec.LogPath
	}
	return f.path(logFile)
}

// read decodes the record name into v and tells whether it exists.
func (f folder) read(name string, v any) (bool, error) {
	b, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("record %s: %w", f.path(name), err)
	}
	return true, nil
}

func (f folder) has(name string) bool {
	_, err := os.Lstat(f.path(name))
	return err == nil
}

// write puts v in place as the record name. Other processes see it whole or
// not at all; it survives a crash of the machine only if durable.
func (f folder) write(name string, v any, durable bool) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temp := f.path(name + ".new")
	if err := writeFile(temp, b, durable); err != nil {
		return err
	}
	if err := os.Rename(temp, f.path(name)); err != nil {
		return err
	}
	if durable {
		return syncFolder(string(f))
	}
	return nil
}

func writeFile(path string, b []byte, durable bool) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// idForm keeps ids usable as folder names, and apart from temporary ones.
var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// checkSpec finds mistakes of the caller, as opposed to what fails later.
func checkSpec(s runner.Spec) error {
	switch {
	case !idForm.MatchString(s.ID):
		return fmt.Errorf("id %q: must be 1 to 200 letters, digits, '.', '_' or '-', and start with a letter or digit", s.ID)
	case len(s.Command) == 0:
		return errors.New("no command")
	case !filepath.IsAbs(s.Dir):
		return fmt.Errorf("working folder %q: must be an absolute path", s.Dir)
	case s.LogPath != "" && !filepath.IsAbs(s.LogPath):
		return fmt.Errorf("log %q: must be an absolute path", s.LogPath)
	}
	return nil
}
