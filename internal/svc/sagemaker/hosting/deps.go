package hosting

import (
	"context"
	"log/slog"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
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

// Stage brings S3 prefixes down to folders.
type Stage interface {
	Folder(ctx context.Context, as *awsapi.Caller, uri string, progress channel.Progress) (string, error)
}

// Deps is what the family needs of the rest.
type Deps struct {
	DB      *state.DB
	Roles   sagemaker.Roles
	Objects sagemaker.Objects
	Images  sagemaker.Images
	Logs    sagemaker.Logs // may be nil
	Stage   Stage          // its folders lie below ModelsDir
	Runner  runner.Runner
	Router  Router
	Tags    *sagemaker.Tags
	Log     *slog.Logger

	Dir       string // one folder per endpoint below it
	ModelsDir string // unpacked models below it

	// Environment is what every instance gets beside its own variables: the
	// endpoint of this server.
	Environment map[string]string
	Builtin     ModelServer
	// Toolkit returns the folder of the toolkit that serves users' scripts.
	Toolkit func() (string, error)
	// Packages is where scripts' pip finds packages, if not where it looks anyway.
	Packages sagemaker.Provision

	// Weights is a folder of weights that scripts find in place of a download,
	// laid out as TORCH_HOME. They can't write there. It need not exist.
	Weights string

	// HealthTimeout is how long an instance may take until it answers /ping;
	// 0: 4 minutes, as on SageMaker.
	HealthTimeout time.Duration
}

// ModelServer is the built-in one, of models that the built-in algorithm trained.
type ModelServer struct {
	Command     []string // gets the model's folder and the socket to listen on as its last arguments
	Environment map[string]string
	// Mounts are the folders outside of its own that the server may see.
	Mounts []runner.Mount
	// Provide gets ready what it loads.
	Provide func(ctx context.Context) (sagemaker.Provision, error)
}
