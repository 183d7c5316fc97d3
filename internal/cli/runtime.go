package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/musher/musher/internal/progress"
	"github.com/musher/musher/internal/runtimes"
)

// runtimeCommand tells and changes what runs for container images. It works on
// the server's folder, whether a server runs or not.
type runtimeCommand struct {
	Ls      runtimeLsCommand      `cmd:"" help:"List the runtimes: what runs for which images."`
	Add     runtimeAddCommand     `cmd:"" help:"Use a Python interpreter of this machine as a runtime."`
	Install runtimeInstallCommand `cmd:"" help:"Make a runtime from a recipe: an environment of its own, filled from your package index."`
	Rm      runtimeRmCommand      `cmd:"" help:"Forget a runtime that was added, remove one that was installed."`
}

func (p place) runtimes(g *globals) (*runtimes.Store, error) {
	return runtimes.Open(p.Data, runtimes.Options{Cache: g.Cache})
}

type runtimeLsCommand struct{ place }

func (c runtimeLsCommand) Run(ctx context.Context, g *globals) error {
	store, err := c.runtimes(g)
	if err != nil {
		return err
	}
	entries, err := store.List(ctx)
	if err != nil {
		return err
	}
	if g.JSON {
		return json.NewEncoder(g.out).Encode(map[string]any{"runtimes": entries})
	}
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, []string{
			e.Name, cmp.Or(string(e.Source), "missing"), cmp.Or(e.Python, "-"), cmp.Or(e.Version, "-"),
			cmp.Or(packages(e.Packages), "-"), strings.Join(e.Images, " "),
		})
	}
	if err := table(g.out, []string{"name", "from", "interpreter", "version", "packages", "images"}, rows); err != nil {
		return err
	}
	return c.advise(g, entries)
}

// advise tells how to get what is missing and can be made.
func (c runtimeLsCommand) advise(g *globals, entries []runtimes.Entry) error {
	for _, e := range entries {
		if e.Source == "" && slices.Contains(runtimes.Recipes(), e.Name) {
			fmt.Fprintf(g.err, "hint: `musher runtime install %s%s` makes the runtime %s\n", e.Name, dataFlag(c.Data), e.Name)
		}
	}
	return nil
}

// packages lists modules with their versions, without the tools of packaging.
func packages(found map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if name != "venv" && name != "ensurepip" {
			out = append(out, strings.TrimSpace(name+" "+found[name]))
		}
	}
	return strings.Join(out, ", ")
}

type runtimeAddCommand struct {
	place
	Name   string   `arg:"" help:"Name of the runtime: one that images lead to, as pytorch, or a new one." placeholder:"NAME"`
	Python string   `arg:"" help:"The interpreter: of the system, of a virtual or a conda environment." placeholder:"PYTHON" type:"path"`
	Image  []string `help:"Image that it serves; * is any characters but a slash. May be repeated." placeholder:"PATTERN" sep:"none"`
}

func (c runtimeAddCommand) Run(ctx context.Context, g *globals) error {
	store, err := c.runtimes(g)
	if err != nil {
		return err
	}
	in, err := store.Add(ctx, c.Name, c.Python, c.Image...)
	if err != nil {
		return err
	}
	return told(g, c.Name, in)
}

type runtimeInstallCommand struct {
	place
	Recipe string `arg:"" help:"One of ${recipes}." placeholder:"RECIPE"`
	Python string `help:"The interpreter to make the environment of." placeholder:"PYTHON" type:"path"`
	Index  string `help:"URL of the package index; else pip's or uv's own configuration says." placeholder:"URL"`
}

func (c runtimeInstallCommand) Run(ctx context.Context, g *globals) error {
	store, err := c.runtimes(g)
	if err != nil {
		return err
	}
	report := progress.New(g.err, progress.Options{JSON: g.JSON})
	defer report.Close()
	var steps stepper
	in, err := store.Install(ctx, c.Recipe, runtimes.InstallOptions{Python: c.Python, Index: c.Index}, func(step, detail string) {
		steps.tell(report, step, detail)
	})
	steps.end(err)
	report.Close()
	if err != nil {
		return err
	}
	return told(g, c.Recipe, in)
}

// stepper makes steps of what is told one after the other.
type stepper struct {
	name, detail string
	now          *progress.Step
}

func (s *stepper) tell(to *progress.Reporter, name, detail string) {
	if name != s.name {
		s.end(nil)
		s.name, s.now = name, to.Step(name)
	}
	s.detail = detail
	s.now.Detail("%s", detail)
}

func (s *stepper) end(err error) {
	switch {
	case s.now == nil:
	case err != nil:
		s.now.Fail(err)
	default:
		s.now.Done("%s", s.detail)
	}
}

// told says what a runtime is from now on.
func told(g *globals, name string, in runtimes.Interpreter) error {
	if g.JSON {
		return json.NewEncoder(g.out).Encode(map[string]any{
			"name": name, "python": in.Path, "version": in.Version, "packages": in.Packages,
		})
	}
	_, err := fmt.Fprintf(g.out, "%s is Python %s at %s (%s)\n", name, in.Version, in.Path, cmp.Or(packages(in.Packages), "no packages"))
	return err
}

type runtimeRmCommand struct {
	place
	Name string `arg:"" help:"Name of the runtime." placeholder:"NAME"`
}

func (c runtimeRmCommand) Run(ctx context.Context, g *globals) error {
	store, err := c.runtimes(g)
	if err != nil {
		return err
	}
	err = store.Remove(ctx, c.Name)
	if errors.Is(err, runtimes.ErrNotFound) {
		return withHint(err, "`musher runtime ls%s` shows where each runtime comes from", dataFlag(c.Data))
	}
	return err
}
