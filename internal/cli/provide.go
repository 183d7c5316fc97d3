package cli

import (
	"context"
	"log/slog"
	"runtime"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/backbone"
	"github.com/musher/musher/internal/train"
)

// provider fetches what work loads, and keeps it in the cache.
type provider struct {
	cache    string
	resolver *assets.Resolver
}

// newProvider returns a provider that tells progress, which may be nil, how far
// its downloads are.
func newProvider(cache string, log *slog.Logger, progress func(assets.Progress)) (*provider, error) {
	r, err := assets.New(cache, assets.Options{Log: log, Progress: progress})
	return &provider{cache, r}, err
}

// Training fetches the runtime library, and the backbone that the
// hyperparameters name.
func (p *provider) Training(ctx context.Context, hyperparameters map[string]string) (map[string]string, error) {
	hp, err := train.Parse(hyperparameters)
	if err != nil {
		return p.Serving(ctx) // the algorithm itself says what is wrong with them
	}
	if _, _, err := backbone.Resolve(ctx, p.resolver, p.cache, hp.Backbone); err != nil {
		return nil, err
	}
	return p.Serving(ctx)
}

// Serving fetches the runtime library.
func (p *provider) Serving(ctx context.Context) (map[string]string, error) {
	item, err := assets.ONNXRuntime(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	lib, err := p.resolver.Fetch(ctx, item)
	if err != nil {
		return nil, err
	}
	return map[string]string{assets.ONNXRuntimeEnv: lib}, nil
}
