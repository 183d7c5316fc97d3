package runner

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrNotFound is returned for an id that the runner does not know.
var ErrNotFound = errors.New("runner: no such work")

// ErrRunning is returned by Remove for work that has not ended.
var ErrRunning = errors.New("runner: the work has not ended")

// Spec is one piece of work. It is plain data: it can be written to disk, sent
// to another machine, or turned into a container or a pod.
type Spec struct {
	ID     string            `json:"id"`     // unique for ever; Start with a known id is a no-op
	Labels map[string]string `json:"labels"` // what it is for: kind, job, variant …

	Command []string          `json:"command"` // argv; argv[0] is looked up in PATH
	Env     map[string]string `json:"env"`     // the whole environment: nothing is inherited
	Dir     string            `json:"dir"`     // working folder; the work may write below it

	Mounts []Mount `json:"mounts,omitempty"` // what else of the file system the work may see

	Image   string  `json:"image,omitempty"`   // a container's; a runner without images leaves it alone
	Network Network `json:"network,omitempty"` // empty: the machine's

	CPU    float64 `json:"cpu,omitempty"`    // cores; 0: no limit
	Memory int64   `json:"memory,omitempty"` // bytes; 0: no limit
	GPUs   int     `json:"gpus,omitempty"`   // whole devices

	LogPath string `json:"log_path,omitempty"` // where stdout and stderr go, for the caller to keep; empty: the runner's own folder
}

// Network is what of the network the work may reach.
type Network string

// NoNetwork leaves the work a loopback device of its own and nothing else: it
// reaches neither other machines nor listeners of this one, the server among
// them. Unix sockets in its folder and mounts still work. A runner that can't
// enforce it here does not start such work: it shows as Exited with a Reason.
const NoNetwork Network = "none"

// Abilities are what a runner can do on this machine beyond running work.
type Abilities struct {
	Remap   bool // mounts may have targets of their own, as /opt/ml
	Isolate bool // NoNetwork is enforced
	Images  bool // the command runs inside Spec.Image
}

// Mount gives the work a folder or file of the host.
type Mount struct {
	Source   string `json:"source"`
	Target   string `json:"target,omitempty"` // empty: the same path; a runner that cannot remap refuses another
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Phase is where a piece of work stands. It only moves downwards.
type Phase string

const (
	Starting Phase = "Starting" // accepted; the command does not run yet
	Running  Phase = "Running"
	Exited   Phase = "Exited" // ended by itself, by Stop or by a fault; ExitCode tells
	Lost     Phase = "Lost"   // it ran, and nobody can say how it ended (machine restart)
)

// Status is what a runner knows about one piece of work.
type Status struct {
	ID         string            `json:"id"`
	Labels     map[string]string `json:"labels"`
	Phase      Phase             `json:"phase"`
	PID        int               `json:"pid,omitempty"`
	StartedAt  time.Time         `json:"started_at"`
	ExitedAt   time.Time         `json:"exited_at"`
	ExitCode   int               `json:"exit_code"`        // 128+n when signal n ended it
	Signal     string            `json:"signal,omitempty"` // "SIGKILL" …
	Reason     string            `json:"reason,omitempty"` // in words: could not start, out of memory …
	StopAsked  bool              `json:"stop_asked"`       // Stop was called before it ended
	PeakMemory int64             `json:"peak_memory"`      // bytes, the largest single process
}

// Ended tells whether nothing of the work runs any more.
func (s Status) Ended() bool { return s.Phase == Exited || s.Phase == Lost }

// Runner starts, inspects, stops and adopts work. All methods are safe for
// concurrent use and idempotent; all but Start return ErrNotFound for an
// unknown id.
type Runner interface {
	// Start accepts the work and returns as soon as it is recorded durably:
	// from then on List knows it, also after a crash of the caller. A command
	// that cannot be started shows as Exited with a Reason, not as an error.
	Start(ctx context.Context, spec Spec) error
	// Inspect tells where the work stands.
	Inspect(ctx context.Context, id string) (Status, error)
	// Stop asks the work to end (SIGTERM), and ends it (SIGKILL) after grace.
	// It returns at once; a second call may shorten the grace.
	Stop(ctx context.Context, id string, grace time.Duration) error
	// Remove forgets ended work and its log. While the work runs it returns
	// ErrRunning.
	Remove(ctx context.Context, id string) error
	// Logs gives stdout and stderr in the order written, from the start; with
	// follow the reader ends when the work has ended and all was read.
	Logs(ctx context.Context, id string, follow bool) (io.ReadCloser, error)
	// List gives all work, also what an earlier process of the caller started.
	List(ctx context.Context) ([]Status, error)
	// Abilities tells what the runner can do here.
	Abilities() Abilities
}
