package logs

import (
	"context"
	"sync"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// Service is CloudWatch Logs.
type Service struct {
	Deps
	store
	api *awsapi.Service

	tailing sync.Mutex       // one look at the files at a time
	tails   map[string]*tail // the followed ones, by key of their stream; under tailing
	wake    chan struct{}    // holds a token when the first file is followed
	buffer  []byte           // for their bytes; under tailing
}

// New makes the service. The files that were followed when the last server
// ended are followed again.
func New(ctx context.Context, deps Deps) (*Service, error) {
	s := &Service{
		Deps: deps, store: newStore(deps.DB), api: awsapi.NewService(Model),
		tails: map[string]*tail{}, wake: make(chan struct{}, 1), buffer: make([]byte, window),
	}
	s.handleGroups()
	s.handleStreams()
	s.handleEvents()
	s.handleTags()
	return s, s.resume(ctx)
}

// API is the service for the gateway.
func (s *Service) API() *awsapi.Service { return s.api }

// update and view run a function on the tables.
func (s *Service) update(ctx context.Context, fn func(tx *state.Tx) error) error {
	return s.DB.Update(ctx, fn)
}

func (s *Service) view(ctx context.Context, fn func(tx *state.Tx) error) error {
	return s.DB.View(ctx, fn)
}

// needs is the permission for a call on a stream, or on a whole group where
// the stream's name is empty.
func needs(r *awsapi.Request, group, stream string) []awsapi.Permission {
	return []awsapi.Permission{{
		Action:   "logs:" + r.Operation,
		Resource: groupARN(r, group) + ":log-stream:" + stream,
	}}
}

func groupARN(r *awsapi.Request, group string) string {
	return "arn:aws:logs:" + r.Region + ":" + r.Account + ":log-group:" + group
}

func invalid(format string, args ...any) error {
	return awsapi.Errorf("InvalidParameterException", format, args...)
}

func millis() int64 { return time.Now().UnixMilli() }

// or is what p points to, or the default.
func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
