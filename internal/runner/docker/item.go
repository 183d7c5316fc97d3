package docker

import (
	"context"
	"sync"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/record"
)

// item is one piece of work.
type item struct {
	id     string
	folder record.Folder
	launch launch

	stops chan struct{} // holds one: look at stop.json

	mu      sync.Mutex
	status  runner.Status
	changed chan struct{} // closed at the next change of phase
}

func newItem(f record.Folder, l launch) *item {
	return &item{
		id: l.Spec.ID, folder: f, launch: l, stops: make(chan struct{}, 1), changed: make(chan struct{}),
		status: runner.Status{ID: l.Spec.ID, Labels: l.Spec.Labels, Phase: runner.Starting, StopAsked: f.Has(stopFile)},
	}
}

func (it *item) current() runner.Status {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.status
}

// state tells whether the work has ended, and gives a channel that is closed
// when that may have changed.
func (it *item) state() (ended bool, changed <-chan struct{}) {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.status.Ended(), it.changed
}

// become gives the item a new status, and tells whether its phase is new.
func (it *item) become(s runner.Status) bool {
	it.mu.Lock()
	defer it.mu.Unlock()
	s.StopAsked = s.StopAsked || it.status.StopAsked
	news := s.Phase != it.status.Phase
	it.status = s
	if news {
		close(it.changed)
		it.changed = make(chan struct{})
	}
	return news
}

// end records how the work ended and makes that its status.
func (it *item) end(s runner.Status) error {
	it.mu.Lock()
	s.StopAsked = it.status.StopAsked
	it.mu.Unlock()
	if err := it.folder.Write(statusFile, s, true); err != nil {
		return err
	}
	it.become(s)
	return nil
}

// stop records that the work is to end.
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
	select {
	case it.stops <- struct{}{}:
	default: // it is about to look
	}
	return nil
}

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
