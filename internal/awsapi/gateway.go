package awsapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Config is what a Gateway needs. Authenticator and Authorizer are required.
type Config struct {
	Account       string // 12 digits
	Authenticator Authenticator
	Authorizer    Authorizer
	Log           *slog.Logger     // nil: none
	Now           func() time.Time // nil: time.Now
	MaxBody       int64            // bytes of a body that is held in memory; 0: 26 MiB

	// Observe is called once per HTTP request, after the answer was written;
	// code is empty on success. It must not block.
	Observe func(r *Request, status int, code string, d time.Duration)
}

// Gateway serves several AWS services on one port.
type Gateway struct {
	cfg      Config
	services []*Service
}

// NewGateway returns a gateway for the services given. Order matters only
// where a request without credentials could belong to several.
func NewGateway(cfg Config, services ...*Service) *Gateway {
	return &Gateway{cfg: cfg, services: services}
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// Invoke calls an operation in this process, on behalf of a caller: the input
// is validated and the call authorised just as over the wire.
func Invoke[Out any](ctx context.Context, g *Gateway, caller *Caller, service, operation string, in any) (*Out, error) {
	out, err := g.invoke(ctx, caller, service, operation, in)
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}

func (g *Gateway) invoke(ctx context.Context, caller *Caller, service, operation string, in any) (any, error) {
	return nil, nil
}
