package server

import (
	"context"
	"log/slog"
	"net"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Options say what a server is made of. Data, Cache and Self are required.
type Options struct {
	Data   string // folder of all state; made where it is missing
	Cache  string // folder of what can be fetched or computed again
	Listen string // address; empty: 127.0.0.1:4566; port 0: any free one

	Account       string // 12 digits; empty: 123456789012
	Region        string // of calls that name none; empty: us-east-1
	RootAccessKey string // both or none; none: made at first start
	RootSecretKey string

	// Self is the command of this binary; "train", "serve-model" and
	// "supervise" are appended to run its other parts.
	Self []string

	// FetchFrom are networks beside the public ones from which an endpoint may
	// fetch images by URL, as CIDRs or addresses.
	FetchFrom []string

	// Provider brings what work needs before it can start.
	Provider Provider

	// Images find what runs for container images; nil: the runtimes of Data.
	Images sagemaker.Images

	// Runner replaces the process runner; tests set it.
	Runner func(onChange func(id string)) (runner.Runner, error)

	// Containers runs images that no runtime fits in containers of the Docker
	// engine at DOCKER_HOST, or where it usually is.
	Containers bool

	// Pull lets the engine fetch images that it does not have.
	Pull bool

	// Dial reaches the hosts to which the server is only a proxy; nil: TCP, but
	// not to this machine's own addresses.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// LeaveWork lets jobs and instances run on when the server stops. The next
	// server adopts them; without one they end after a while.
	LeaveWork bool

	Log *slog.Logger
}

// Provider fetches libraries and weights into the cache.
type Provider interface {
	// Training gets ready what a training job with these hyperparameters loads.
	Training(ctx context.Context, hyperparameters map[string]string) (sagemaker.Provision, error)
	// Serving does the same for a model server.
	Serving(ctx context.Context) (sagemaker.Provision, error)
}

const (
	defaultListen  = "127.0.0.1:4566"
	defaultAccount = "123456789012"
	defaultRegion  = "us-east-1"
)

func (o *Options) setDefaults() {
	for value, def := range map[*string]string{
		&o.Listen: defaultListen, &o.Account: defaultAccount, &o.Region: defaultRegion,
	} {
		if *value == "" {
			*value = def
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}
