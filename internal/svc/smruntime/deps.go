package smruntime

import (
	"context"
	"log/slog"

	"github.com/musher/musher/internal/serve"
)

// Router is the data plane.
type Router interface {
	Invoke(ctx context.Context, endpoint string, req *serve.Request) (*serve.Response, error)
}

// Metrics takes figures to CloudWatch.
type Metrics interface {
	Put(ctx context.Context, namespace string, data ...Datum) error
}

// Deps is what the service needs of the rest.
type Deps struct {
	Router  Router
	Metrics Metrics // may be nil
	Log     *slog.Logger
}
