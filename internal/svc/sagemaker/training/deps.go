package training

import (
	"context"
	"log/slog"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
	"github.com/musher/musher/internal/toolkit"
)

// Deps is what the family needs of the rest.
type Deps struct {
	DB      *state.DB
	Roles   sagemaker.Roles
	Objects sagemaker.Objects
	Images  sagemaker.Images
	Logs    sagemaker.Logs
	Metrics sagemaker.Metrics
	Stage   *channel.Stage
	Runner  runner.Runner
	Tags    *sagemaker.Tags
	Log     *slog.Logger

	Dir string // one folder per job below it

	// Environment is what every job gets beside its own variables: the
	// endpoint of this server.
	Environment map[string]string
	Algorithm   Algorithm
	// Toolkit tells how a Python runtime runs the script of a job that sees
	// its folder at base, or the job's own command where it has one.
	Toolkit func(rt runtimes.Runtime, base string, command []string) (toolkit.Command, error)
	// Packages is where scripts' pip finds packages, if not where it looks anyway.
	Packages sagemaker.Provision
	// Weights is a folder of weights that jobs find in place of a download, laid
	// out as TORCH_HOME. Jobs can't write there. It need not exist.
	Weights string
}

// Algorithm is the built-in one.
type Algorithm struct {
	Command     []string // gets the job's folder as its last argument
	Environment map[string]string
	// Mounts are the folders outside of the job's own that it may see: caches
	// and libraries.
	Mounts []runner.Mount
	// Provide gets ready what it loads.
	Provide func(ctx context.Context, hyperparameters map[string]string) (sagemaker.Provision, error)
}
