package loop

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a step that notes when it ran.
type recorder struct {
	mu   sync.Mutex
	at   []time.Duration
	born time.Time
	do   func(run int) (time.Duration, error)
	live int
	most int
}

func (r *recorder) step(context.Context, string) (time.Duration, error) {
	r.mu.Lock()
	r.at = append(r.at, time.Since(r.born))
	run := len(r.at)
	r.live++
	r.most = max(r.most, r.live)
	r.mu.Unlock()
	defer func() { r.mu.Lock(); r.live--; r.mu.Unlock() }()
	return r.do(run)
}

func start(t *testing.T, opts Options, do func(run int) (time.Duration, error)) (*Loop, *recorder) {
	r := &recorder{born: time.Now(), do: do}
	l := New("test", r.step, opts)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go l.Run(ctx) //nolint:errcheck // it ends with the context
	return l, r
}

func (r *recorder) check(t *testing.T, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) != len(want) {
		t.Fatalf("steps at %v, want %v", r.at, want)
	}
	for i := range want {
		if r.at[i] != want[i] {
			t.Fatalf("steps at %v, want %v", r.at, want)
		}
	}
}

const ms = time.Millisecond

func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := start(t, Options{Resync: time.Hour}, func(run int) (time.Duration, error) {
			if run < 3 {
				return 50 * ms, nil
			}
			return 0, nil
		})
		l.Poke("k")
		time.Sleep(time.Minute)
		r.check(t, 0, 50*ms, 100*ms)
	})
}

func TestBackoffGrowsAndResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := start(t, Options{Resync: time.Hour, BackoffMax: 300 * ms}, func(run int) (time.Duration, error) {
			if run == 2 {
				panic("a panic counts as an error")
			}
			if run <= 4 {
				return 0, errors.New("not yet")
			}
			return 0, nil
		})
		l.Poke("k")
		time.Sleep(time.Minute)
		r.check(t, 0, 100*ms, 300*ms, 600*ms, 900*ms)
	})
}

func TestPokeDuringStepRunsOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := start(t, Options{Resync: time.Hour}, func(int) (time.Duration, error) {
			time.Sleep(100 * ms)
			return 0, nil
		})
		l.Poke("k")
		time.Sleep(50 * ms)
		for range 5 {
			l.Poke("k")
		}
		time.Sleep(time.Second)
		r.check(t, 0, 100*ms)
		if r.most != 1 {
			t.Fatalf("%d steps at once for one key", r.most)
		}
	})
}

func TestKeysRunSideBySideUpToWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := start(t, Options{Resync: time.Hour, Workers: 2}, func(int) (time.Duration, error) {
			time.Sleep(100 * ms)
			return 0, nil
		})
		for _, k := range []string{"a", "b", "c"} {
			l.Poke(k)
		}
		time.Sleep(time.Second)
		r.check(t, 0, 0, 100*ms)
		if r.most != 2 {
			t.Fatalf("%d steps at once, want 2", r.most)
		}
	})
}

func TestResyncAsksForKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := func(context.Context) ([]string, error) { return []string{"k"}, nil }
		_, r := start(t, Options{Resync: time.Second, Keys: keys}, func(int) (time.Duration, error) { return 0, nil })
		time.Sleep(2500 * ms)
		r.check(t, 0, time.Second, 2*time.Second)
	})
}
