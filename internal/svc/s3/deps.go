package s3

import (
	"context"
	"io"
	"log/slog"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
	"github.com/musher/musher/internal/state"
)

// Deps is what the service needs from outside.
type Deps struct {
	DB         *state.DB
	Blobs      Blobs
	Authorizer awsapi.Authorizer // asked where one request needs several decisions
	Log        *slog.Logger
}

// Blobs keeps the bytes; *blob.Store is one.
type Blobs interface {
	Put(ctx context.Context, r io.Reader, opts blob.Options) (blob.Info, error)
	Reader(parts []blob.Part, off, n int64) (*blob.Reader, error)
	Link(id blob.ID) (blob.ID, error)
	Delete(ids ...blob.ID) error
	Sweep(keep func(blob.ID) bool) (removed int, err error)
}
