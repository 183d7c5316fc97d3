//go:build linux

package process

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/musher/musher/internal/runner"
)

// item is one piece of work as the server knows it.
type item struct {
	id     string
	folder folder
	launch launch

	mu      sync.Mutex
	status  runner.Status
	changed chan struct{} // closed at the next change of status
	hold    *process      // its supervisor, while it is watched
	closed  bool          // the runner has let go of it
	bare    bool          // it runs without Landlock
}

func newItem(id string, f folder) *item {
	return &item{id: id, folder: f, changed: make(chan struct{})}
}

func (it *item) current() runner.Status {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.status
}

// refresh works out the status from the records, and tells whether the phase
// is another than before. It never leaves an end.
func (it *item) refresh() (changed bool, err error) {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.status.Ended() {
		return false, nil
	}
	now, err := it.readStatus()
	if err != nil {
		return false, err
	}
	changed = now.Phase != it.status.Phase
	it.status = now
	if changed {
		close(it.changed)
		it.changed = make(chan struct{})
	}
	return changed, nil
}

// readStatus works out the status from the records. The caller holds it.mu.
func (it *item) readStatus() (runner.Status, error) {
	var s runner.Status
	if ended, err := it.folder.Read(statusFile, &s); err != nil || ended {
		return s, err
	}
	var run running
	runs, err := it.folder.Read(runningFile, &run)
	s = runner.Status{ID: it.id, Labels: it.launch.Spec.Labels, Phase: runner.Starting, StopAsked: it.folder.Has(stopFile)}
	if runs {
		s.Phase, s.PID, s.StartedAt = runner.Running, run.PID, run.StartedAt
		it.bare = !run.Landlock
	}
	return s, err
}

func (it *item) unconfined() bool {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.bare
}

// stop records that the work is to end and tells its supervisor. One that is
// only just starting reads the record by itself.
func (it *item) stop(grace time.Duration) error {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.status.Ended() {
		return nil
	}
	order := stopOrder{Deadline: time.Now().Add(max(0, grace))}
	var before stopOrder
	asked, err := it.folder.Read(stopFile, &before)
	if err != nil {
		return err
	}
	if asked && !order.Deadline.Before(before.Deadline) {
		return nil
	}
	if err := it.folder.Write(stopFile, order, false); err != nil {
		return err
	}
	it.status.StopAsked = true
	return it.tell()
}

// tell makes the supervisor look at the records. The caller holds it.mu.
func (it *item) tell() error {
	var id identity
	if known, err := it.folder.Read(supervisorFile, &id); err != nil || !known {
		return err
	}
	p, alive, err := find(id)
	if err != nil || !alive {
		return err
	}
	defer p.close()
	if err := p.signal(stopSignal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// waitEnded returns nil when the work has ended.
func (it *item) waitEnded(ctx context.Context) error {
	for {
		ended, changed := it.state()
		if ended {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waitGone returns nil when the supervisor, too, has ended: it records the end
// of the work a little before its own.
func (it *item) waitGone(ctx context.Context) error {
	if err := it.waitEnded(ctx); err != nil {
		return err
	}
	var id identity
	if known, err := it.folder.Read(supervisorFile, &id); err != nil || !known {
		return err
	}
	p, alive, err := find(id)
	if err != nil || !alive {
		return err
	}
	defer p.close()
	defer context.AfterFunc(ctx, p.close)()
	return cmp.Or(ctx.Err(), p.wait())
}

// state tells whether the work has ended, and gives a channel that is closed
// when that may have changed.
func (it *item) state() (ended bool, changed <-chan struct{}) {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.status.Ended(), it.changed
}

// keep makes letGo end the wait for p. It reports false if that has happened.
func (it *item) keep(p *process) bool {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.closed {
		return false
	}
	it.hold = p
	return true
}

// letGo ends the watching of the item.
func (it *item) letGo() {
	it.mu.Lock()
	defer it.mu.Unlock()
	it.closed = true
	if it.hold != nil {
		it.hold.close()
	}
}

// crashText gives what a supervisor said before it failed.
func (it *item) crashText() string {
	const enough = 2000
	b, err := os.ReadFile(it.folder.Path(crashFile))
	if errors.Is(err, fs.ErrNotExist) || err != nil {
		return ""
	}
	return string(b[max(0, len(b)-enough):])
}
