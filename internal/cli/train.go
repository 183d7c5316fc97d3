package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/backbone"
	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/train"
)

// trainCommand is the built-in algorithm: the process of a training job.
type trainCommand struct {
	Dir string `required:"" help:"The job's folder, laid out as /opt/ml."`
}

func (c trainCommand) Run(ctx context.Context, g *globals) error {
	// SIGTERM asks for the model so far; it must not end the context.
	stop := make(chan struct{})
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() { <-term; close(stop) }()

	lib, err := ort.Load(os.Getenv(assets.ONNXRuntimeEnv))
	if err != nil {
		return fmt.Errorf("cannot load ONNX Runtime (%s): %w", assets.ONNXRuntimeEnv, err)
	}
	return train.Run(context.WithoutCancel(ctx), train.Job{
		Dir: c.Dir, Cache: g.Cache, Library: lib, Backbone: resolveBackbone(g.Cache), Out: g.out, Stop: stop,
	})
}

// resolveBackbone finds backbones in the cache; the server has put them there
// before it started the job.
func resolveBackbone(cache string) train.Resolver {
	return func(ctx context.Context, name string) (train.Backbone, error) {
		spec, err := backbone.Get(name)
		if err != nil {
			return train.Backbone{}, err
		}
		resolver, err := assets.New(cache, assets.Options{})
		if err != nil {
			return train.Backbone{}, err
		}
		path, sum, err := backbone.Resolve(ctx, resolver, cache, name)
		if err != nil {
			return train.Backbone{}, err
		}
		model, err := os.ReadFile(path)
		return train.Backbone{Name: name, Model: model, SHA256: sum, Preprocess: spec.Preprocess}, err
	}
}
