package hosting

import (
	"context"
	"log/slog"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Router is the data plane.
type Router interface {
	// Publish replaces the instances that an endpoint's requests go to; none
	// forgets the endpoint.
	Publish(endpoint string, variants []serve.Variant)
	// Ping asks an instance whether it can take requests.
	Ping(ctx context.Context, in serve.Instance) error
	// Idle tells whether no request is in flight on an instance.
	Idle(in serve.Instance) bool
}

// Deps is what the family needs of the rest.
type Deps struct {
	DB      *state.DB
	Roles   sagemaker.Roles
	Objects sagemaker.Objects
	Runner  runner.Runner
	Router  Router
	Tags    *sagemaker.Tags
	Log     *slog.Logger

	Dir       string // one folder per endpoint below it
	ModelsDir string // unpacked models below it

	// Server is the command of the built-in model server; it gets the model's
	// folder and the socket to listen on as its last arguments.
	Server []string
	// Environment is what every instance gets beside its own variables.
	Environment map[string]string
	// Provide gets ready what the model server loads.
	Provide func(ctx context.Context) (sagemaker.Provision, error)
	// Mounts are the folders outside of its own that the server may see.
	Mounts []runner.Mount
	// HealthTimeout is how long an instance may take until it answers /ping;
	// 0: 4 minutes, as on SageMaker.
	HealthTimeout time.Duration
}
