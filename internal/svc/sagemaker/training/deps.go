package training

import (
	"context"
	"log/slog"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// Deps is what the family needs of the rest.
type Deps struct {
	DB      *state.DB
	Roles   sagemaker.Roles
	Objects sagemaker.Objects
	Stage   *channel.Stage
	Runner  runner.Runner
	Tags    *sagemaker.Tags
	Log     *slog.Logger

	Dir string // one folder per job below it

	// Algorithm is the command of the built-in algorithm; it gets the job's
	// folder as its last argument.
	Algorithm []string
	// Environment is what every job gets beside its own variables: the
	// endpoint of this server, the region, the folders of caches.
	Environment map[string]string
	// Provide gets ready what the algorithm loads.
	Provide func(ctx context.Context, hyperparameters map[string]string) (sagemaker.Provision, error)
	// Mounts are the folders outside of the job's own that the algorithm may
	// see: caches and libraries.
	Mounts []runner.Mount
}
