package transform

import (
	"context"
	"log/slog"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// Instances lends instances of models.
type Instances interface {
	// Lease and Release write in the caller's transaction; after it the caller
	// pokes the lease's address.
	Lease(tx *state.Tx, l sagemaker.Lease) (sagemaker.Leased, error)
	Release(tx *state.Tx, address string) error
	Poke(address string)
	// Leased tells where the instances stand.
	Leased(ctx context.Context, address string) (sagemaker.LeaseState, error)
}

// Router is the data plane.
type Router interface {
	// Invoke sends a request to one of an address's instances.
	Invoke(ctx context.Context, address string, req *serve.Request) (*serve.Response, error)
}

// Finder lists what lies in S3.
type Finder interface {
	Find(ctx context.Context, as *awsapi.Caller, r channel.Request) ([]channel.Source, error)
}

// Deps is what the family needs of the rest.
type Deps struct {
	DB        *state.DB
	Roles     sagemaker.Roles
	Objects   sagemaker.Objects
	Finder    Finder
	Instances Instances
	Router    Router
	Logs      sagemaker.Logs // may be nil
	Tags      *sagemaker.Tags
	Log       *slog.Logger

	Dir string // one folder per job below it
}
