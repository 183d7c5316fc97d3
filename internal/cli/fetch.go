package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/assets/digits"
	"github.com/musher/musher/internal/onnx/backbone"
	"github.com/musher/musher/internal/progress"
)

// fetchCommand fills the cache ahead of time, as for a machine that will be
// offline, and prints where things lie.
type fetchCommand struct {
	Names []string `arg:"" optional:"" help:"What to fetch: ${fetchable}. Default: what the demo needs of libraries and weights." placeholder:"NAME"`
}

const (
	runtimeName = "onnxruntime"
	digitsName  = "digits"
)

// fetchable lists the names that the command takes.
func fetchable() []string { return append([]string{runtimeName, digitsName}, backbone.Names()...) }

func (c fetchCommand) Run(ctx context.Context, g *globals) error {
	if len(c.Names) == 0 {
		c.Names = []string{runtimeName, backbone.Names()[0]}
	}
	for _, name := range c.Names {
		if !slices.Contains(fetchable(), name) {
			return &hinted{fmt.Errorf("nothing is called %q", name), "it is one of " + strings.Join(fetchable(), ", ")}
		}
	}
	report := progress.New(g.err, progress.Options{JSON: g.JSON})
	defer report.Close()
	var shown fetching
	resolver, err := assets.New(g.Cache, assets.Options{Progress: shown.show})
	if err != nil {
		return err
	}
	paths := make(map[string]string, len(c.Names))
	for _, name := range c.Names {
		step := report.Step(name)
		shown.in(step)
		if paths[name], err = fetchOne(ctx, resolver, g.Cache, name); err != nil {
			step.Fail(err)
			return err
		}
		step.Done("%s", paths[name])
	}
	report.Close()
	return c.print(g.out, g.JSON, paths)
}

func fetchOne(ctx context.Context, r *assets.Resolver, cache, name string) (path string, err error) {
	switch name {
	case runtimeName:
		item, err := assets.ONNXRuntime(runtime.GOOS, runtime.GOARCH)
		if err != nil {
			return "", err
		}
		return r.Fetch(ctx, item)
	case digitsName:
		return digits.Fetch(ctx, r, cache)
	}
	path, _, err = backbone.Resolve(ctx, r, cache, name)
	return path, err
}

func (c fetchCommand) print(w io.Writer, asJSON bool, paths map[string]string) error {
	if asJSON {
		return json.NewEncoder(w).Encode(paths)
	}
	for _, name := range c.Names {
		if _, err := fmt.Fprintln(w, paths[name]); err != nil {
			return err
		}
	}
	return nil
}
