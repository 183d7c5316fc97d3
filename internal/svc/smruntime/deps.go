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

// Deps is what the service needs of the rest.
type Deps struct {
	Router Router
	Log    *slog.Logger
}
