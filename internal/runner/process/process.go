//go:build linux

package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/gpu"
	"github.com/musher/musher/internal/runner/process/sandbox"
	"github.com/musher/musher/internal/runner/record"
)

// lockPatience is how long New waits for the last server's lock: a child that
// it was starting when it died holds the lock until it executes its program.
const lockPatience = 2 * time.Second

var _ runner.Runner = (*Runner)(nil)

// Runner runs work as processes. It holds all statuses in memory; the folder
// is the truth.
type Runner struct {
	dir     string
	options Options
	boot    string
	gpus    []string
	cpus    []int
	network error // why root can't give work a network of its own here
	log     *slog.Logger

	lock    *os.File
	watcher *watcher
	ctx     context.Context // done when the runner is closed
	cancel  context.CancelFunc
	tending sync.WaitGroup
	warned  sync.Once  // about a kernel without Landlock
	placing sync.Mutex // from the choice of devices until it is known

	mu         sync.Mutex
	items      map[string]*item
	accepting  map[string]chan struct{} // ids whose Start is under way
	isolations []isolation              // that may work here, best first
}

// New opens the runner's folder, which it makes if need be, and adopts the
// work in it. A folder can be open in one runner at a time.
func New(dir string, o Options) (*Runner, error) {
	r, err := open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("process runner in %s: %w", dir, err)
	}
	return r, nil
}

func open(dir string, o Options) (*Runner, error) {
	if len(o.Supervisor) == 0 {
		return nil, errors.New("no supervisor command given")
	}
	o.OrphanGrace = cmp.Or(o.OrphanGrace, defaultOrphanGrace)
	o.LogLimit = cmp.Or(o.LogLimit, defaultLogLimit)
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, workFolder), 0o700); err != nil {
		return nil, err
	}
	boot, err := record.BootID()
	if err != nil {
		return nil, err
	}
	cpus, err := machineCPUs()
	if err != nil {
		return nil, err
	}
	r := &Runner{
		dir: dir, options: o, boot: boot, gpus: gpu.All(), cpus: cpus, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		items: map[string]*item{}, accepting: map[string]chan struct{}{}, isolations: isolations(o.NoNamespaces),
	}
	if r.isolations[0] == isolationRoot {
		r.network = sandbox.ProbeNetwork()
	}
	if r.lock, err = lockPatiently(filepath.Join(dir, serverLock)); err != nil {
		return nil, err
	}
	if r.watcher, err = newWatcher(); err != nil {
		r.lock.Close()
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.adopt(); err != nil {
		r.Close()
		return nil, err
	}
	r.tending.Go(func() { r.watcher.run(r.refresh) })
	return r, nil
}

func lockPatiently(path string) (*os.File, error) {
	for end := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		f, err := lock(path)
		if !errors.Is(err, errLocked) || time.Now().After(end) {
			return f, err
		}
	}
}

// adopt takes over what an earlier runner left in the folder.
func (r *Runner) adopt() error {
	entries, err := os.ReadDir(r.work())
	if err != nil {
		return err
	}
	for _, e := range entries {
		f := folder(filepath.Join(r.work(), e.Name()))
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.RemoveAll(string(f)); err != nil {
				return err
			}
			continue
		}
		it := newItem(e.Name(), f)
		if known, err := f.Read(launchFile, &it.launch); err != nil || !known {
			return fmt.Errorf("adopt %s: %w", e.Name(), cmp.Or(err, fs.ErrNotExist))
		}
		if err := r.add(it); err != nil {
			return fmt.Errorf("adopt %s: %w", e.Name(), err)
		}
	}
	return nil
}

func (r *Runner) work() string { return filepath.Join(r.dir, workFolder) }

// add makes the item known and sees to it until it ends.
func (r *Runner) add(it *item) error {
	if err := r.watcher.add(it); err != nil {
		return err
	}
	if _, err := it.refresh(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return ErrClosed // the next runner finds the item
	}
	r.items[it.id] = it
	r.tending.Go(func() { r.tend(it) })
	return nil
}

// Close lets go of the folder and of all work, which goes on.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.cancel()
	for _, it := range r.items {
		it.letGo()
	}
	r.mu.Unlock()
	err := r.watcher.close()
	r.tending.Wait()
	return errors.Join(err, r.lock.Close())
}

// StopAll stops all work, with the given grace, and returns when no process of
// it is left or ctx is done.
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
		if err := it.waitGone(ctx); err != nil {
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
	release, known, err := r.claim(ctx, spec.ID)
	if err != nil || known {
		return err
	}
	defer release()
	if spec.GPUs > 0 || spec.CPU > 0 {
		r.placing.Lock()
		defer r.placing.Unlock()
	}
	it, err := r.record(spec)
	if err != nil {
		return fmt.Errorf("start %s: %w", spec.ID, err)
	}
	return r.add(it)
}

// claim makes the caller the only one that starts id, or tells that id is
// known already.
func (r *Runner) claim(ctx context.Context, id string) (release func(), known bool, err error) {
	for {
		if r.ctx.Err() != nil {
			return nil, false, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		r.mu.Lock()
		other := r.accepting[id]
		known := r.items[id] != nil
		if other == nil && !known {
			done := make(chan struct{})
			r.accepting[id] = done
			release = func() {
				r.mu.Lock()
				delete(r.accepting, id)
				r.mu.Unlock()
				close(done)
			}
		}
		r.mu.Unlock()
		if known || release != nil {
			return release, known, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
		}
	}
}

// record makes the folder of new work. It is put together under another name,
// so that after a crash there is either all of it or nothing.
func (r *Runner) record(spec runner.Spec) (*item, error) {
	l := launch{
		Spec: spec, AcceptedAt: time.Now(), BootID: r.boot, System: r.options.System,
		OrphanGrace: r.options.OrphanGrace, LogLimit: r.options.LogLimit,
	}
	usedGPUs, usedCPUs := r.used()
	gpus, refused := gpu.Pick(spec.GPUs, r.gpus, usedGPUs)
	l.GPUs, l.CPUs = gpus, pickCPUs(spec.CPU, r.cpus, usedCPUs)
	temp, err := os.MkdirTemp(r.work(), tempPrefix)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp) // after the rename there is nothing of that name
	if err := fillFolder(folder(temp), l, refused); err != nil {
		return nil, err
	}
	final := filepath.Join(r.work(), spec.ID)
	if err := os.Rename(temp, final); err != nil {
		return nil, err
	}
	if err := record.SyncFolder(r.work()); err != nil {
		return nil, err
	}
	it := newItem(spec.ID, folder(final))
	it.launch = l
	return it, nil
}

// fillFolder writes the records that new work begins with. Work that can't be
// done here has its end among them.
func fillFolder(f folder, l launch, refused error) error {
	if err := os.Mkdir(f.Path(scratchFolder), 0o700); err != nil {
		return err
	}
	if refused != nil {
		status := runner.Status{
			ID: l.Spec.ID, Labels: l.Spec.Labels, Phase: runner.Exited, ExitCode: 126,
			ExitedAt: l.AcceptedAt, Reason: "cannot start: " + refused.Error(),
		}
		if err := f.Write(statusFile, status, true); err != nil {
			return err
		}
	}
	return f.Write(launchFile, l, true)
}

// used tells which GPUs are taken, and how much work is bound to each CPU.
func (r *Runner) used() (gpus map[string]bool, cpus map[int]int) {
	gpus, cpus = map[string]bool{}, map[int]int{}
	for _, it := range r.all() {
		if it.current().Ended() {
			continue
		}
		for _, g := range it.launch.GPUs {
			gpus[g] = true
		}
		for _, c := range it.launch.CPUs {
			cpus[c]++
		}
	}
	return gpus, cpus
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

// Stop implements runner.Runner. SIGTERM goes to the command alone; when it
// has ended, or the grace is over, all that it started is killed.
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

// Remove implements runner.Runner.
func (r *Runner) Remove(_ context.Context, id string) error {
	it, err := r.item(id)
	if err != nil {
		return err
	}
	if !it.current().Ended() {
		return fmt.Errorf("remove %s: %w", id, runner.ErrRunning)
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
	items := slices.Collect(maps.Values(r.items))
	slices.SortFunc(items, func(a, b *item) int { return cmp.Compare(a.id, b.id) })
	return items
}

// refresh reads the item's records again and tells of a change of phase.
func (r *Runner) refresh(it *item) {
	changed, err := it.refresh()
	if err != nil {
		r.log.Error("cannot read the record of work", "id", it.id, "error", err)
		return
	}
	if it.unconfined() {
		r.warned.Do(func() { r.log.Warn("this kernel has no Landlock: work is isolated less than it could be") })
	}
	if changed && r.options.OnChange != nil {
		r.options.OnChange(it.id)
	}
}

var stopSignal = unix.SIGUSR1 // tells a supervisor to look at stop.json
