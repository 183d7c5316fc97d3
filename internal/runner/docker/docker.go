package docker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/gpu"
	"github.com/musher/musher/internal/runner/record"
)

const defaultLogLimit = 1 << 30

// ErrClosed is returned by a runner that was closed.
var ErrClosed = errors.New("docker runner: closed")

// Options of New. Only Init is required.
type Options struct {
	// Init is the command that ends in the function Init, such as this binary
	// and "container-init".
	Init []string

	// Host is the engine's address, unix://PATH. Empty: that of DOCKER_HOST, or
	// the usual one.
	Host string

	// Image is for work that names none. Empty: such work does not start.
	Image string

	// Pull fetches images that are not there.
	Pull bool

	// OnChange is called, from a goroutine of the runner, after the phase of
	// some work has changed.
	OnChange func(id string)

	Log *slog.Logger

	// LogLimit is how many bytes of a work's output are kept. 0: 1 GiB.
	LogLimit int64
}

var _ runner.Runner = (*Runner)(nil)

// Runner runs work in containers.
type Runner struct {
	dir     string
	options Options
	engine  *engine
	machine machine
	boot    string
	gpus    []string
	log     *slog.Logger

	ctx      context.Context // done when the runner is closed
	cancel   context.CancelFunc
	tending  sync.WaitGroup
	starting sync.Mutex // one Start at a time, so that no two take the same GPU

	mu    sync.Mutex
	items map[string]*item
}

// New opens the runner's folder, which it makes if need be, and adopts the work
// in it. The caller sees to it that a folder is open in one runner at a time.
func New(ctx context.Context, dir string, o Options) (*Runner, error) {
	r, err := open(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("docker runner: %w", err)
	}
	return r, nil
}

func open(ctx context.Context, dir string, o Options) (*Runner, error) {
	first, err := findInit(o.Init)
	if err != nil {
		return nil, err
	}
	o.LogLimit = cmp.Or(o.LogLimit, defaultLogLimit)
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	r := &Runner{dir: dir, options: o, gpus: gpu.All(), log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), items: map[string]*item{}}
	if err := os.MkdirAll(r.work(), 0o700); err != nil {
		return nil, err
	}
	if r.engine, err = connect(ctx, o.Host); err != nil {
		return nil, err
	}
	if r.boot, err = record.BootID(); err != nil {
		return nil, err
	}
	if r.machine, err = r.look(ctx, first); err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.adopt(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// look finds out what descriptions of containers depend on.
func (r *Runner) look(ctx context.Context, first firstProcess) (machine, error) {
	m := machine{uid: os.Geteuid(), gid: os.Getegid(), first: first}
	var err error
	if m.cpus, err = r.engine.cpus(ctx); err != nil {
		return m, err
	}
	var own name
	at := record.Folder(r.dir)
	known, err := at.Read(runnerFile, &own)
	if err == nil && !known {
		own.Name = strings.ToLower(rand.Text()[:8])
		err = at.Write(runnerFile, own, true)
	}
	m.runner = own.Name
	return m, err
}

// adopt takes over what an earlier runner left in the folder.
func (r *Runner) adopt(ctx context.Context) error {
	entries, err := os.ReadDir(r.work())
	if err != nil {
		return err
	}
	for _, e := range entries {
		f := record.Folder(filepath.Join(r.work(), e.Name()))
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.RemoveAll(string(f)); err != nil {
				return err
			}
			continue
		}
		if err := r.adoptOne(ctx, e.Name(), f); err != nil {
			return fmt.Errorf("adopt %s: %w", e.Name(), err)
		}
	}
	return nil
}

func (r *Runner) adoptOne(ctx context.Context, id string, f record.Folder) error {
	var l launch
	if known, err := f.Read(launchFile, &l); err != nil || !known {
		return cmp.Or(err, os.ErrNotExist)
	}
	it := newItem(f, l)
	ended, err := f.Read(statusFile, &it.status)
	if err != nil {
		return err
	}
	if !ended {
		c, err := r.engine.inspect(ctx, r.name(id))
		if err != nil && !refused(err) {
			return err
		}
		if c.runs() {
			it.status = it.runningAs(c)
		}
	}
	return r.add(it)
}

func (r *Runner) work() string { return filepath.Join(r.dir, workFolder) }

// name is the container's name for the work.
func (r *Runner) name(id string) string { return "musher-" + r.machine.runner + "-" + id }

// add makes the item known and sees to it until it ends.
func (r *Runner) add(it *item) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return ErrClosed // the next runner finds the item
	}
	r.items[it.id] = it
	r.tending.Go(func() { r.tend(it) })
	return nil
}

// Close lets go of all work, which goes on.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.tending.Wait()
	r.engine.http.CloseIdleConnections()
	return nil
}

// StopAll stops all work, with the given grace, and returns when all of it has
// ended or ctx is done.
func (r *Runner) StopAll(ctx context.Context, grace time.Duration) error {
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	items := r.all()
	for _, it := range items {
		if err := it.stop(grace); err != nil {
			return fmt.Errorf("stop %s: %w", it.id, err)
		}
	}
	for _, it := range items {
		if err := it.waitEnded(ctx); err != nil {
			return fmt.Errorf("wait for %s to end: %w", it.id, err)
		}
	}
	return nil
}

// Start implements runner.Runner. Mistakes in the spec are errors; whatever
// else keeps the command from running shows as Exited.
func (r *Runner) Start(ctx context.Context, spec runner.Spec) error {
	if err := record.CheckSpec(spec); err != nil {
		return fmt.Errorf("start work: %w", err)
	}
	r.starting.Lock()
	defer r.starting.Unlock()
	if err := cmp.Or(ctx.Err(), r.ctx.Err()); err != nil {
		return err
	}
	if _, err := r.item(spec.ID); err == nil {
		return nil
	}
	it, err := r.record(spec)
	if err != nil {
		return fmt.Errorf("start %s: %w", spec.ID, err)
	}
	return r.add(it)
}

// record makes the folder of new work. It is put together under another name,
// so that after a crash there is either all of it or nothing.
func (r *Runner) record(spec runner.Spec) (*item, error) {
	l := launch{Spec: spec, Image: cmp.Or(spec.Image, r.options.Image), LogLimit: r.options.LogLimit, AcceptedAt: time.Now()}
	var refused error
	if l.GPUs, refused = gpu.Pick(spec.GPUs, r.gpus, r.usedGPUs()); refused == nil && l.Image == "" {
		refused = errors.New("it names no image to run in")
	}
	temp, err := os.MkdirTemp(r.work(), tempPrefix)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp) // after the rename there is nothing of that name
	final := record.Folder(filepath.Join(r.work(), spec.ID))
	it := newItem(final, l)
	if refused != nil {
		it.status = it.failed(126, refused)
		if err := record.Folder(temp).Write(statusFile, it.status, true); err != nil {
			return nil, err
		}
	}
	if err := record.Folder(temp).Write(launchFile, l, true); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, string(final)); err != nil {
		return nil, err
	}
	return it, record.SyncFolder(r.work())
}

func (r *Runner) usedGPUs() map[string]bool {
	used := map[string]bool{}
	for _, it := range r.all() {
		for _, g := range it.launch.GPUs {
			used[g] = used[g] || !it.current().Ended()
		}
	}
	return used
}

// Inspect implements runner.Runner.
func (r *Runner) Inspect(_ context.Context, id string) (runner.Status, error) {
	it, err := r.item(id)
	if err != nil {
		return runner.Status{}, err
	}
	return it.current(), nil
}

// List implements runner.Runner. The order is that of the ids.
func (r *Runner) List(context.Context) ([]runner.Status, error) {
	statuses := []runner.Status{}
	for _, it := range r.all() {
		statuses = append(statuses, it.current())
	}
	return statuses, nil
}

// Stop implements runner.Runner. SIGTERM goes to the command alone; when it has
// ended, or the grace is over, all that it started is killed.
func (r *Runner) Stop(_ context.Context, id string, grace time.Duration) error {
	it, err := r.item(id)
	if err != nil {
		return err
	}
	if err := it.stop(grace); err != nil {
		return fmt.Errorf("stop %s: %w", id, err)
	}
	return nil
}

// Remove implements runner.Runner. The container goes first: without its record
// nobody would know of it.
func (r *Runner) Remove(ctx context.Context, id string) error {
	it, err := r.item(id)
	if err != nil {
		return err
	}
	if !it.current().Ended() {
		return fmt.Errorf("remove %s: %w", id, runner.ErrRunning)
	}
	if err := r.engine.remove(ctx, r.name(id)); err != nil {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	if err := r.forget(it); err != nil {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	return nil
}

func (r *Runner) forget(it *item) error {
	r.mu.Lock()
	if r.items[it.id] != it {
		r.mu.Unlock()
		return nil // somebody else was faster
	}
	delete(r.items, it.id)
	r.mu.Unlock()
	gone := filepath.Join(r.work(), tempPrefix+"gone-"+it.id)
	if err := os.Rename(string(it.folder), gone); err != nil {
		return err
	}
	if err := record.SyncFolder(r.work()); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// Logs implements runner.Runner.
func (r *Runner) Logs(ctx context.Context, id string, follow bool) (io.ReadCloser, error) {
	it, err := r.item(id)
	if err != nil {
		return nil, err
	}
	return record.ReadLog(ctx, logPath(it.folder, it.launch), it.state, follow), nil
}

// Abilities implements runner.Runner.
func (r *Runner) Abilities() runner.Abilities {
	return runner.Abilities{Remap: true, Isolate: true, Images: true}
}

func (r *Runner) item(id string) (*item, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	it := r.items[id]
	if it == nil {
		return nil, fmt.Errorf("work %q: %w", id, runner.ErrNotFound)
	}
	return it, nil
}

// all gives the items in the order of their ids.
func (r *Runner) all() []*item {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.items), func(a, b *item) int { return cmp.Compare(a.id, b.id) })
}
