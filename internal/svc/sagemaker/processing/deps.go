package processing

import (
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
	Stage   *channel.Stage
	Runner  runner.Runner
	Tags    *sagemaker.Tags
	Log     *slog.Logger

	Dir string // one folder per job below it

	// Environment is what every job gets beside its own variables: the
	// endpoint of this server.
	Environment map[string]string
	// Toolkit tells how a Python runtime runs a command of a job that sees its
	// folder at base.
	Toolkit func(rt runtimes.Runtime, base string, command []string) (toolkit.Command, error)
	// Packages is where pip finds packages, if not where it looks anyway.
	Packages sagemaker.Provision
	// Weights is a folder of weights that jobs find in place of a download, laid
	// out as TORCH_HOME. It need not exist.
	Weights string
}
