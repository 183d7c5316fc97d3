// Package loop runs level-triggered reconcilers.
//
// A key says "look again"; a step looks at what is desired and what is
// observed, does one thing towards the first, and says when it wants to look
// next. A step gets no event and no reason, so it does the same after a poke,
// after a restart and after a missed poke. Two steps never run at once for
// one key; a poke during a step makes it run once more afterwards.
package loop

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Step takes one step for a key. It returns when to look again without a
// poke (0: not before the next poke or resync), or an error, after which it is
// run again with a growing delay.
type Step func(ctx context.Context, key string) (again time.Duration, err error)

// Options tune a loop; the zero value is usable.
type Options struct {
	Workers    int                                         // steps at once over all keys; default 4
	Resync     time.Duration                               // how often Keys is asked; default 1 minute
	Keys       func(ctx context.Context) ([]string, error) // all keys that may need a look; asked at the start too
	BackoffMin time.Duration                               // first delay after an error; default 100 ms
	BackoffMax time.Duration                               // longest delay after errors; default 30 s
	Log        *slog.Logger
}

// Loop is one reconciler.
type Loop struct {
	name string
	step Step
	opts Options

	mu    sync.Mutex
	keys  map[string]*entry
	ready []string
	wake  chan struct{} // holds a token while ready may be non-empty
	slots chan struct{}
}

// entry is what the loop remembers of a key between steps.
type entry struct {
	running bool
	queued  bool
	dirty   bool // poked while running
	failed  int  // errors in a row
	timer   *time.Timer
}

// New returns a loop that does nothing until Run is called; pokes before that
// are kept.
func New(name string, step Step, opts Options) *Loop {
	if opts.Workers == 0 {
		opts.Workers = 4
	}
	if opts.Resync == 0 {
		opts.Resync = time.Minute
	}
	if opts.BackoffMin == 0 {
		opts.BackoffMin = 100 * time.Millisecond
	}
	if opts.BackoffMax == 0 {
		opts.BackoffMax = 30 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Loop{
		name: name, step: step, opts: opts, keys: map[string]*entry{},
		wake: make(chan struct{}, 1), slots: make(chan struct{}, opts.Workers),
	}
}

// Poke asks for a look at key, soon. It never blocks.
func (l *Loop) Poke(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enqueue(key)
}

// enqueue marks key as ready; l.mu is held.
func (l *Loop) enqueue(key string) {
	e := l.keys[key]
	if e == nil {
		e = &entry{}
		l.keys[key] = e
	}
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	switch {
	case e.running:
		e.dirty = true
	case !e.queued:
		e.queued = true
		l.ready = append(l.ready, key)
		l.signal()
	}
}

func (l *Loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, then waits for the steps under way.
func (l *Loop) Run(ctx context.Context) error {
	var steps sync.WaitGroup
	defer steps.Wait()
	defer l.stopTimers()
	resync := time.NewTicker(l.opts.Resync)
	defer resync.Stop()
	l.resync(ctx)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-resync.C:
			l.resync(ctx)
		case <-l.wake:
			for key, ok := l.next(); ok; key, ok = l.next() {
				select {
				case l.slots <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				steps.Go(func() {
					defer func() { <-l.slots }()
					l.run(ctx, key)
				})
			}
		}
	}
}

func (l *Loop) resync(ctx context.Context) {
	if l.opts.Keys == nil {
		return
	}
	keys, err := l.opts.Keys(ctx)
	if err != nil {
		l.opts.Log.Error("loop cannot list its keys", "loop", l.name, "error", err)
		return
	}
	for _, key := range keys {
		l.Poke(key)
	}
}

func (l *Loop) next() (key string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) == 0 {
		return "", false
	}
	key, l.ready = l.ready[0], l.ready[1:]
	e := l.keys[key]
	e.queued, e.running = false, true
	return key, true
}

func (l *Loop) run(ctx context.Context, key string) {
	again, err := l.safeStep(ctx, key)
	if err != nil && ctx.Err() == nil {
		l.opts.Log.Warn("step failed and will be repeated", "loop", l.name, "key", key, "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.keys[key]
	e.running = false
	if err != nil {
		e.failed++
		again = l.backoff(e.failed)
	} else {
		e.failed = 0
	}
	switch {
	case e.dirty:
		e.dirty = false
		l.enqueue(key)
	case again > 0:
		e.timer = time.AfterFunc(again, func() { l.Poke(key) })
	default:
		delete(l.keys, key)
	}
}

func (l *Loop) safeStep(ctx context.Context, key string) (again time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.step(ctx, key)
}

func (l *Loop) backoff(failed int) time.Duration {
	d := l.opts.BackoffMin << min(failed-1, 20)
	return min(d, l.opts.BackoffMax)
}

func (l *Loop) stopTimers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.keys {
		if e.timer != nil {
			e.timer.Stop()
		}
	}
}
