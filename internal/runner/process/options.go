package process

import (
	"errors"
	"log/slog"
	"time"
)

const (
	defaultOrphanGrace = 5 * time.Minute
	defaultLogLimit    = 1 << 30
)

// ErrClosed is returned by a runner that was closed.
var ErrClosed = errors.New("process runner: closed")

// Options of New. Only Supervisor is required.
type Options struct {
	// Supervisor is the command that ends in Supervise, such as this binary
	// and "supervise"; New's runner appends "--dir" and the folder.
	Supervisor []string

	// OnChange is called, from a goroutine of the runner, after the phase of
	// some work has changed.
	OnChange func(id string)

	Log *slog.Logger

	// OrphanGrace is how long work goes on while no server has the folder
	// open. 0: 5 minutes; negative: for ever.
	OrphanGrace time.Duration

	// LogLimit is how many bytes of a work's output are kept. 0: 1 GiB.
	LogLimit int64

	// System names more folders that all work may read, beyond the operating
	// system's: an interpreter in /opt, say.
	System []string

	// NoNamespaces confines work by Landlock alone.
	NoNamespaces bool
}
