package cli

import (
	"context"
	"log/slog"
	"path/filepath"
	"runtime"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/backbone"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/svc/sagemaker"
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
func (p *provider) Training(ctx context.Context, hyperparameters map[string]string) (sagemaker.Provision, error) {
	hp, err := train.Parse(hyperparameters)
	if err != nil {
		return p.Serving(ctx) // the algorithm itself says what is wrong with them
	}
	if _, _, err := backbone.Resolve(ctx, p.resolver, p.cache, hp.Backbone); err != nil {
		return sagemaker.Provision{}, err
	}
	return p.Serving(ctx)
}

// Serving fetches the runtime library. One that the user named may lie
// anywhere, with the libraries of its accelerators beside it: work must be
// shown them.
func (p *provider) Serving(ctx context.Context) (ready sagemaker.Provision, err error) {
	item, err := assets.ONNXRuntime(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return ready, err
	}
	lib, err := p.resolver.Fetch(ctx, item)
	if err != nil {
		return ready, err
	}
	ready.Env = map[string]string{assets.ONNXRuntimeEnv: lib}
	if rel, err := filepath.Rel(p.cache, lib); err == nil && filepath.IsLocal(rel) {
		return ready, nil
	}
	beside, err := filepath.Glob(filepath.Join(filepath.Dir(lib), "libonnxruntime*"))
	for _, file := range beside {
		ready.Mounts = append(ready.Mounts, runner.Mount{Source: file, ReadOnly: true})
	}
	return ready, err
}
