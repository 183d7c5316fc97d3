package fake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/musher/musher/internal/runner"
)

var _ runner.Runner = (*Runner)(nil)

// Options of New.
type Options struct {
	// Behave says what work does, from its spec. It may block: then Start does.
	Behave func(runner.Spec) Behaviour
	// OnChange is called after each change of phase.
	OnChange func(id string)
	// Fail, if it returns an error for a call ("Start", "Inspect", "Stop",
	// "Remove", "Logs", "List"; id is empty for List), makes it fail so, with
	// no effect.
	Fail func(call, id string) error
}

// Runner is a runner of fake work.
type Runner struct {
	options Options
	world   *world
}

// world is the work, which outlives the runners over it.
type world struct {
	mu      sync.Mutex
	work    map[string]*Work
	reader  *Runner // the one that is told of changes
	lastPID int
	living  sync.WaitGroup
}

// New gives a runner without work.
func New(o Options) *Runner {
	w := &world{work: map[string]*Work{}}
	w.reader = &Runner{options: o, world: w}
	return w.reader
}

// Reopen gives another runner over the same work. Only the last one opened is
// told of changes.
func (r *Runner) Reopen(o Options) *Runner {
	again := &Runner{options: o, world: r.world}
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	r.world.reader = again
	return again
}

// Close kills all work and waits for its end.
func (r *Runner) Close() error {
	for _, w := range r.world.all() {
		w.die(false)
	}
	r.world.living.Wait()
	return nil
}

// StopAll stops all work, with the given grace, and returns when all of it has
// ended or ctx is done.
func (r *Runner) StopAll(ctx context.Context, grace time.Duration) error {
	all := r.world.all()
	for _, w := range all {
		w.stop(grace)
	}
	for _, w := range all {
		if err := w.awaitEnd(ctx); err != nil {
			return fmt.Errorf("wait for %s to end: %w", w.Spec.ID, err)
		}
	}
	return nil
}

func (w *Work) awaitEnd(ctx context.Context) error {
	for {
		w.mu.Lock()
		ended, grown := w.status.Ended(), w.grown
		w.mu.Unlock()
		if ended {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Kill ends the work as a fault of the machine would: it dies of SIGKILL
// without a stop.
func (r *Runner) Kill(id string) error {
	w, err := r.find("Kill", id)
	if err != nil {
		return err
	}
	w.die(false)
	return nil
}

// Specs gives what was started and not removed, in the order of the ids.
func (r *Runner) Specs() []runner.Spec {
	var specs []runner.Spec
	for _, w := range r.world.all() {
		specs = append(specs, w.Spec)
	}
	return specs
}

// Start implements runner.Runner.
func (r *Runner) Start(ctx context.Context, spec runner.Spec) error {
	if err := errors.Join(ctx.Err(), r.fail("Start", spec.ID), check(spec)); err != nil {
		return fmt.Errorf("start %q: %w", spec.ID, err)
	}
	does, err := r.options.behaviour(spec)
	if err != nil {
		return fmt.Errorf("start %q: %w", spec.ID, err)
	}
	r.world.start(newWork(spec, does))
	return nil
}

// start begins the life of the work, unless its id is known.
func (o *world) start(w *Work) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.work[w.Spec.ID] != nil {
		return
	}
	o.work[w.Spec.ID] = w
	o.lastPID++
	pid := o.lastPID
	o.living.Go(func() { w.live(pid, func() { o.tell(w.Spec.ID) }) })
}

// tell calls the current runner's OnChange.
func (o *world) tell(id string) {
	o.mu.Lock()
	r := o.reader
	o.mu.Unlock()
	if r.options.OnChange != nil {
		r.options.OnChange(id)
	}
}

// check refuses what other runners refuse.
func check(spec runner.Spec) error {
	if spec.ID == "" || strings.ContainsAny(spec.ID, "/\x00") || strings.HasPrefix(spec.ID, ".") {
		return errors.New("bad id")
	}
	if len(spec.Command) == 0 {
		return errors.New("no command")
	}
	return nil
}

// Inspect implements runner.Runner.
func (r *Runner) Inspect(_ context.Context, id string) (runner.Status, error) {
	w, err := r.find("Inspect", id)
	if err != nil {
		return runner.Status{}, err
	}
	return w.current(), nil
}

// Stop implements runner.Runner.
func (r *Runner) Stop(_ context.Context, id string, grace time.Duration) error {
	w, err := r.find("Stop", id)
	if err != nil {
		return err
	}
	w.stop(grace)
	return nil
}

// Remove implements runner.Runner.
func (r *Runner) Remove(_ context.Context, id string) error {
	w, err := r.find("Remove", id)
	if err != nil {
		return err
	}
	if !w.current().Ended() {
		return fmt.Errorf("remove %s: %w", id, runner.ErrRunning)
	}
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	if r.world.work[id] == w {
		delete(r.world.work, id)
	}
	return nil
}

// Logs implements runner.Runner.
func (r *Runner) Logs(ctx context.Context, id string, follow bool) (io.ReadCloser, error) {
	w, err := r.find("Logs", id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	return &logReader{ctx: ctx, cancel: cancel, work: w, follow: follow}, nil
}

// Abilities implements runner.Runner: the fake promises all that a runner can,
// and keeps none of it.
func (r *Runner) Abilities() runner.Abilities {
	return runner.Abilities{Remap: true, Isolate: true, Images: true}
}

// List implements runner.Runner.
func (r *Runner) List(context.Context) ([]runner.Status, error) {
	if err := r.fail("List", ""); err != nil {
		return nil, err
	}
	statuses := []runner.Status{}
	for _, w := range r.world.all() {
		statuses = append(statuses, w.current())
	}
	return statuses, nil
}

func (r *Runner) fail(call, id string) error {
	if r.options.Fail == nil {
		return nil
	}
	return r.options.Fail(call, id)
}

func (r *Runner) find(call, id string) (*Work, error) {
	if err := r.fail(call, id); err != nil {
		return nil, err
	}
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	w := r.world.work[id]
	if w == nil {
		return nil, fmt.Errorf("work %q: %w", id, runner.ErrNotFound)
	}
	return w, nil
}

func (o *world) all() []*Work {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.SortedFunc(maps.Values(o.work), func(a, b *Work) int { return cmp.Compare(a.Spec.ID, b.Spec.ID) })
}
