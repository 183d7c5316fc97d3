package batch

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

var (
	// ErrFull means that as many items wait as may. The item was not run.
	ErrFull = errors.New("the queue is full")
	// ErrClosed means that Close has been called. The item was not run.
	ErrClosed = errors.New("it is closed")
)

// PanicError is what the members of a batch get when run panics.
type PanicError struct {
	Value any    // that it panicked with
	Stack []byte // where; for the log
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Options bound a Batcher. Zero values mean one worker, batches of one, no queue.
type Options struct {
	Workers  int // batches that run at the same time
	MaxBatch int // items in a batch
	MaxQueue int // items that wait
	// Observe, if set, is told of every batch after it ran. It must be quick and
	// safe for concurrent use.
	Observe func(Stats)
}

// Stats are what there is to say about one batch.
type Stats struct {
	Size   int
	Waited time.Duration // of the oldest member, from Do until the batch began to run
	Ran    time.Duration
}

// Func does the work of a batch. The worker is a number below Options.Workers; no
// two batches have the same one at the same time, so scratch memory may go by it.
// An error is every member's. What items of type T hold the answers is the
// caller's affair; T is usually a pointer. The slice is valid during the call.
type Func[T any] func(worker int, items []T) error

// Batcher is described in the package's documentation. It is safe for concurrent use.
type Batcher[T any] struct {
	opts Options
	run  Func[T]

	mu      sync.Mutex
	idle    []int         // tokens of the workers that have nothing to do
	queue   list.List     // of *entry[T]; empty while a worker is idle
	closed  bool          // nothing is taken in any more
	drained chan struct{} // closed when all is done after Close
}

// entry is an item on its way.
type entry[T any] struct {
	item  T
	since time.Time
	place *list.Element // in the queue; nil once it was taken out
	// told is sent one value when the item is done, or when this caller shall
	// run the batch in lead. What it guards is written before.
	told chan struct{}
	lead *crew[T]
	err  error
}

// crew is a batch with the worker that runs it. The first member leads.
type crew[T any] struct {
	worker  int
	members []*entry[T]
}

// New makes a Batcher around run.
func New[T any](o Options, run Func[T]) *Batcher[T] {
	o.Workers, o.MaxBatch = max(o.Workers, 1), max(o.MaxBatch, 1)
	b := &Batcher[T]{opts: o, run: run, drained: make(chan struct{})}
	for w := range o.Workers {
		b.idle = append(b.idle, w)
	}
	return b
}

// Do runs an item, alone or with others, and returns when it is done or will never
// be run: then the error is ErrFull, ErrClosed, or ctx's.
func (b *Batcher[T]) Do(ctx context.Context, item T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e := &entry[T]{item: item, since: time.Now()}
	c, err := b.enter(e)
	if err != nil {
		return err
	}
	if c == nil {
		select {
		case <-e.told:
		case <-ctx.Done():
			if b.leave(e) {
				return ctx.Err()
			}
			<-e.told // it is being run, or this caller's turn to run it has come
		}
		c = e.lead
	}
	if c != nil {
		b.work(c)
	}
	return e.err
}

// Waiting is the number of items in the queue.
func (b *Batcher[T]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.Len()
}

// Close refuses further items and waits until those taken in are done, or until
// ctx ends, whose error it then returns. It may be called again.
func (b *Batcher[T]) Close(ctx context.Context) error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		b.signalDrained()
	}
	b.mu.Unlock()
	select {
	case <-b.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter gives the item an idle worker, or else a place in the queue.
func (b *Batcher[T]) enter(e *entry[T]) (*crew[T], error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	if last := len(b.idle) - 1; last >= 0 {
		c := &crew[T]{worker: b.idle[last], members: []*entry[T]{e}}
		b.idle = b.idle[:last]
		return c, nil
	}
	if b.queue.Len() >= b.opts.MaxQueue {
		return nil, ErrFull
	}
	e.told = make(chan struct{}, 1)
	e.place = b.queue.PushBack(e)
	return nil, nil
}

// leave takes an item out of the queue, if it is still there.
func (b *Batcher[T]) leave(e *entry[T]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.place == nil {
		return false
	}
	b.queue.Remove(e.place)
	e.place = nil
	return true
}

// work runs a batch, hands the worker on, and tells the other members.
func (b *Batcher[T]) work(c *crew[T]) {
	items := make([]T, len(c.members))
	for i, e := range c.members {
		items[i] = e.item
	}
	began := time.Now()
	err := b.safely(c.worker, items)
	ran := time.Since(began)
	b.handOn(c.worker)
	for _, e := range c.members {
		e.err = err
	}
	for _, e := range c.members[1:] {
		e.told <- struct{}{}
	}
	if b.opts.Observe != nil {
		b.opts.Observe(Stats{Size: len(items), Waited: began.Sub(c.members[0].since), Ran: ran})
	}
}

func (b *Batcher[T]) safely(worker int, items []T) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return b.run(worker, items)
}

// handOn gives a worker to those who wait longest, or sets it down.
func (b *Batcher[T]) handOn(worker int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue.Len() == 0 {
		b.idle = append(b.idle, worker)
		b.signalDrained()
		return
	}
	c := &crew[T]{worker: worker}
	for len(c.members) < b.opts.MaxBatch && b.queue.Len() > 0 {
		e := b.queue.Remove(b.queue.Front()).(*entry[T])
		e.place = nil
		c.members = append(c.members, e)
	}
	leader := c.members[0]
	leader.lead = c
	leader.told <- struct{}{}
}

// signalDrained says so if nothing runs and nothing more will.
func (b *Batcher[T]) signalDrained() {
	if !b.closed || len(b.idle) < b.opts.Workers {
		return
	}
	select {
	case <-b.drained:
	default:
		close(b.drained)
	}
}
