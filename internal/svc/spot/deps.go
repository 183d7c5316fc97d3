package spot

import (
	"context"
	"log/slog"
	"time"

	"github.com/musher/musher/internal/state"
)

// Jobs are the training jobs on spot instances.
type Jobs interface {
	// Interrupt takes a job's instances away; an *awsapi.Error where the job
	// has none.
	Interrupt(ctx context.Context, job string, how Interruption) error
	// Running lists the jobs that have instances right now.
	Running(ctx context.Context) ([]Running, error)
}

// Interruption says how instances go, and for how long.
type Interruption struct {
	Grace time.Duration // between SIGTERM and SIGKILL
	Away  time.Duration // without instances afterwards
	Why   string
}

// Running is a job on spot instances.
type Running struct {
	Job           string
	InstanceType  string
	Since         time.Time // when the instances came up
	Interruptions int       // until now
}

// Deps is what the service needs of the rest.
type Deps struct {
	DB   *state.DB
	Jobs Jobs
	Log  *slog.Logger
}
