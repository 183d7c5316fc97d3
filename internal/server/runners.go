package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/docker"
	"github.com/musher/musher/internal/runner/process"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// openRunner opens what runs work, and lets images that no runtime fits run in
// containers where the user wants that.
func (s *Server) openRunner(ctx context.Context) (runner.Runner, error) {
	if s.opts.Runner != nil {
		return s.opts.Runner(s.changed)
	}
	processes, err := process.New(s.path("runner"), process.Options{
		Supervisor: s.self("supervise"), OnChange: s.changed, Log: s.opts.Log,
	})
	if err != nil {
		return nil, err
	}
	if !s.opts.Containers {
		s.warnOfContainers()
		return processes, nil
	}
	containers, err := docker.New(ctx, s.path("containers"), docker.Options{
		Init: s.self("container-init"), Pull: s.opts.Pull, OnChange: s.changed, Log: s.opts.Log,
	})
	if err != nil {
		err = fmt.Errorf("%w (start an engine, or say with DOCKER_HOST where it is; without --runner docker, work runs as processes and needs none)", err)
		return nil, errors.Join(err, processes.Close())
	}
	images := orContainer{s.opts.Images}
	s.opts.Images = images
	return &pair{processes, containers, images.contained}, nil
}

// warnOfContainers says that an earlier server's containers are not looked
// after: without the user's word, an engine is not asked for anything.
func (s *Server) warnOfContainers() {
	if left, err := os.ReadDir(s.path("containers", "work")); err == nil && len(left) > 0 {
		s.opts.Log.Warn("an earlier server's containers are left alone: --runner docker looks after them", "containers", len(left))
	}
}

// self is a command of this binary.
func (s *Server) self(args ...string) []string { return slices.Concat(s.opts.Self, args) }

// orContainer finds a container for each image that no runtime fits.
type orContainer struct{ sagemaker.Images }

// Resolve implements sagemaker.Images.
func (o orContainer) Resolve(image string) (runtimes.Runtime, error) {
	rt, err := o.Images.Resolve(image)
	if err != nil {
		return runtimes.Runtime{Name: image, Kind: runtimes.Container, Image: image}, nil
	}
	return rt, nil
}

// contained tells whether work of the image runs in a container.
func (o orContainer) contained(image string) bool {
	_, err := o.Images.Resolve(image)
	return image != "" && err != nil
}

// whole is a runner that ends with the server.
type whole interface {
	runner.Runner
	stopper
	io.Closer
}

// pair is a runner of processes and one of containers as one runner.
type pair struct {
	processes, containers whole
	contained             func(image string) bool
}

var _ whole = (*pair)(nil)

// Start implements runner.Runner. Work that is known stays where it is, also
// if its image would now lead elsewhere.
func (p *pair) Start(ctx context.Context, spec runner.Spec) error {
	if r, err := p.find(ctx, spec.ID); err == nil {
		return r.Start(ctx, spec)
	}
	if p.contained(spec.Image) {
		return p.containers.Start(ctx, spec)
	}
	return p.processes.Start(ctx, spec)
}

// find gives the runner that knows the work.
func (p *pair) find(ctx context.Context, id string) (runner.Runner, error) {
	_, err := p.containers.Inspect(ctx, id)
	if errors.Is(err, runner.ErrNotFound) {
		_, err = p.processes.Inspect(ctx, id)
		return p.processes, err
	}
	return p.containers, err
}

// Inspect implements runner.Runner.
func (p *pair) Inspect(ctx context.Context, id string) (runner.Status, error) {
	r, err := p.find(ctx, id)
	if err != nil {
		return runner.Status{}, err
	}
	return r.Inspect(ctx, id)
}

// Stop implements runner.Runner.
func (p *pair) Stop(ctx context.Context, id string, grace time.Duration) error {
	r, err := p.find(ctx, id)
	if err != nil {
		return err
	}
	return r.Stop(ctx, id, grace)
}

// Remove implements runner.Runner.
func (p *pair) Remove(ctx context.Context, id string) error {
	r, err := p.find(ctx, id)
	if err != nil {
		return err
	}
	return r.Remove(ctx, id)
}

// Logs implements runner.Runner.
func (p *pair) Logs(ctx context.Context, id string, follow bool) (io.ReadCloser, error) {
	r, err := p.find(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.Logs(ctx, id, follow)
}

// List implements runner.Runner.
func (p *pair) List(ctx context.Context) ([]runner.Status, error) {
	some, err := p.processes.List(ctx)
	if err != nil {
		return nil, err
	}
	others, err := p.containers.List(ctx)
	return append(some, others...), err
}

// Abilities implements runner.Runner: what both can, and images.
func (p *pair) Abilities() runner.Abilities {
	a, b := p.processes.Abilities(), p.containers.Abilities()
	return runner.Abilities{Remap: a.Remap && b.Remap, Isolate: a.Isolate && b.Isolate, Images: b.Images}
}

// StopAll ends the work of both at the same time.
func (p *pair) StopAll(ctx context.Context, grace time.Duration) error {
	other := make(chan error, 1)
	go func() { other <- p.containers.StopAll(ctx, grace) }()
	return errors.Join(p.processes.StopAll(ctx, grace), <-other)
}

// Close implements io.Closer.
func (p *pair) Close() error { return errors.Join(p.processes.Close(), p.containers.Close()) }
