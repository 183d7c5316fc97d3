package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
)

// known is a runner that only knows which work it was given.
type known map[string]bool

func (k known) Start(_ context.Context, spec runner.Spec) error { k[spec.ID] = true; return nil }
func (k known) Inspect(_ context.Context, id string) (runner.Status, error) {
	if !k[id] {
		return runner.Status{}, runner.ErrNotFound
	}
	return runner.Status{ID: id}, nil
}

func (k known) Remove(_ context.Context, id string) error { delete(k, id); return nil }

func (k known) List(context.Context) (all []runner.Status, _ error) {
	for id := range k {
		all = append(all, runner.Status{ID: id})
	}
	return all, nil
}
func (known) Stop(context.Context, string, time.Duration) error         { return nil }
func (known) Logs(context.Context, string, bool) (io.ReadCloser, error) { return nil, nil }
func (known) StopAll(context.Context, time.Duration) error              { return nil }
func (known) Close() error                                              { return nil }
func (known) Abilities() runner.Abilities                               { return runner.Abilities{Remap: true} }

// images know one image, of scripts.
type images struct{ known string }

func (i images) Resolve(image string) (runtimes.Runtime, error) {
	if image != i.known {
		return runtimes.Runtime{}, errors.New("nothing runs it")
	}
	return runtimes.Runtime{Kind: runtimes.Python, Image: image}, nil
}

func TestOrContainer(t *testing.T) {
	o := orContainer{images{"pytorch:1"}}
	for image, want := range map[string]runtimes.Kind{"pytorch:1": runtimes.Python, "mine:1": runtimes.Container} {
		if rt, err := o.Resolve(image); err != nil || rt.Kind != want || rt.Image != image {
			t.Errorf("%s: %+v, %v", image, rt, err)
		}
	}
}

// A server that is to use an engine says what it tried, and leaves nothing
// open when there is none.
func TestNoEngine(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := "unix://" + t.TempDir() + "/none"
	t.Setenv("DOCKER_HOST", host)
	s := &Server{opts: Options{Data: t.TempDir(), Self: []string{exe}, Containers: true, Log: slog.New(slog.DiscardHandler)}}
	if _, err := s.openRunner(t.Context()); err == nil || !strings.Contains(err.Error(), host) || !strings.Contains(err.Error(), "without --runner docker") {
		t.Errorf("with containers: %v", err)
	}
	s.opts.Containers = false
	r, err := s.openRunner(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}

func TestPair(t *testing.T) {
	processes, containers, ctx := known{}, known{}, t.Context()
	p := &pair{processes, containers, orContainer{images{"pytorch:1"}}.contained}
	for id, image := range map[string]string{"script": "pytorch:1", "mine": "mine:1", "own": ""} {
		if err := p.Start(ctx, runner.Spec{ID: id, Image: image}); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(processes, containers); got != "map[own:true script:true] map[mine:true]" {
		t.Errorf("processes and containers: %s", got)
	}
	// The runtime was added while the work ran: it is not started again.
	p.contained = func(string) bool { return false }
	if err := p.Start(ctx, runner.Spec{ID: "mine", Image: "mine:1"}); err != nil || processes["mine"] {
		t.Errorf("started twice: %v, %v", processes, err)
	}
	all, err := p.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range all {
		ids = append(ids, s.ID)
		if got, err := p.Inspect(ctx, s.ID); err != nil || got.ID != s.ID {
			t.Errorf("%s: %+v, %v", s.ID, got, err)
		}
	}
	slices.Sort(ids)
	if fmt.Sprint(ids) != "[mine own script]" {
		t.Errorf("all work: %v", ids)
	}
	if err := p.Remove(ctx, "mine"); err != nil || len(containers) > 0 {
		t.Errorf("after Remove: %v, %v", containers, err)
	}
	if _, err := p.Inspect(ctx, "mine"); !errors.Is(err, runner.ErrNotFound) {
		t.Errorf("removed work: %v", err)
	}
}
