package batch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a Func that takes a while, and remembers what it was given.
type machine struct {
	takes time.Duration

	mu      sync.Mutex
	batches [][]int
	busy    map[int]bool
	broken  []string
}

func (m *machine) run(worker int, items []int) error {
	m.mu.Lock()
	if m.busy == nil {
		m.busy = map[int]bool{}
	}
	if m.busy[worker] {
		m.broken = append(m.broken, fmt.Sprintf("worker %d has two batches", worker))
	}
	m.busy[worker] = true
	m.batches = append(m.batches, slices.Clone(items))
	m.mu.Unlock()

	time.Sleep(m.takes)

	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy[worker] = false
	return nil
}

// is compares the batches run so far with "0 | 1 2 3".
func (m *machine) is(t *testing.T, want string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for _, b := range m.batches {
		lines = append(lines, strings.Trim(fmt.Sprint(b), "[]"))
	}
	if got := strings.Join(lines, " | "); got != want || m.broken != nil {
		t.Errorf("batches %q, want %q; %v", got, want, m.broken)
	}
}

// arrive starts a Do for each item, one after the other.
func arrive(b *Batcher[int], ctx context.Context, items ...int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, i := range items {
		wg.Go(func() { b.Do(ctx, i) }) //nolint:errcheck // looked at by other tests
		synctest.Wait()
	}
	return &wg
}

func TestLoneItemRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{takes: time.Second}
		b := New(Options{Workers: 2, MaxBatch: 8, MaxQueue: 10}, m.run)
		start := time.Now()
		for i := range 3 {
			if err := b.Do(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("three lone items of 1 s each took %v", took)
		}
		m.is(t, "0 | 1 | 2")
	})
}

// What comes while all workers are busy is gathered, oldest first.
func TestBatches(t *testing.T) {
	for _, c := range []struct {
		name              string
		workers, maxBatch int
		want              string
	}{
		{"one worker", 1, 3, "0 | 1 2 3 | 4 5 6 | 7"},
		{"no batches", 1, 1, "0 | 1 | 2 | 3 | 4 | 5 | 6 | 7"},
		{"all at once", 1, 100, "0 | 1 2 3 4 5 6 7"},
		{"zero means one", 0, 0, "0 | 1 | 2 | 3 | 4 | 5 | 6 | 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &machine{takes: time.Second}
				b := New(Options{Workers: c.workers, MaxBatch: c.maxBatch, MaxQueue: 10}, m.run)
				arrive(b, t.Context(), 0, 1, 2, 3, 4, 5, 6, 7).Wait()
				m.is(t, c.want)
			})
		})
	}
}

// With several workers the batches begin in order too, whoever becomes free.
func TestSeveralWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{takes: time.Second}
		b := New(Options{Workers: 2, MaxBatch: 2, MaxQueue: 10}, m.run)
		first := arrive(b, t.Context(), 0)
		time.Sleep(300 * time.Millisecond)
		rest := arrive(b, t.Context(), 1, 2, 3, 4, 5, 6)
		first.Wait()
		rest.Wait()
		m.is(t, "0 | 1 | 2 3 | 4 5 | 6")
	})
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{takes: time.Second}
		b := New(Options{MaxBatch: 4, MaxQueue: 10}, m.run)
		arrive(b, t.Context(), 0)

		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		errs := make(chan error, 2)
		go func() { errs <- b.Do(short, 1) }()
		synctest.Wait()
		arrive(b, t.Context(), 2)
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an item that waits too long: %v", err)
		}
		if n := b.Waiting(); n != 1 {
			t.Errorf("%d items wait after one gave up, want 1", n)
		}
		time.Sleep(time.Second) // now item 2 runs
		running, cancel := context.WithCancel(t.Context())
		go func() { errs <- b.Do(running, 3) }()
		time.Sleep(time.Second) // now item 3 runs
		cancel()
		synctest.Wait()
		select {
		case err := <-errs:
			t.Fatalf("Do returned (%v) while its item is being run", err)
		default:
		}
		if err := <-errs; err != nil {
			t.Errorf("an item that was run although its caller gave up: %v", err)
		}
		m.is(t, "0 | 2 | 3")

		if err := b.Do(running, 4); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that had given up before: %v", err)
		}
		m.is(t, "0 | 2 | 3")
	})
}

func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{takes: time.Second}
		b := New(Options{MaxQueue: 2}, m.run)
		wg := arrive(b, t.Context(), 0, 1, 2)
		if err := b.Do(t.Context(), 3); !errors.Is(err, ErrFull) {
			t.Errorf("the third to wait where two may: %v", err)
		}
		wg.Wait()
		if err := b.Do(t.Context(), 4); err != nil {
			t.Errorf("after the queue emptied: %v", err)
		}
		m.is(t, "0 | 1 | 2 | 4")
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{takes: time.Second}
		b := New(Options{MaxBatch: 2, MaxQueue: 10}, m.run)
		arrive(b, t.Context(), 0, 1, 2, 3)
		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := b.Close(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close with too little time: %v", err)
		}
		if err := b.Do(t.Context(), 4); !errors.Is(err, ErrClosed) {
			t.Errorf("an item after Close: %v", err)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Errorf("Close again: %v", err)
		}
		m.is(t, "0 | 1 2 | 3")
		if err := b.Close(t.Context()); err != nil {
			t.Errorf("Close of what is closed: %v", err)
		}
	})
	idle := New(Options{Workers: 3}, (&machine{}).run)
	if err := idle.Close(t.Context()); err != nil {
		t.Errorf("Close of an idle one: %v", err)
	}
}

// An error and a panic reach the members of the batch that they happened in.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sour := errors.New("sour")
		b := New(Options{MaxBatch: 2, MaxQueue: 10}, func(_ int, items []int) error {
			time.Sleep(time.Second)
			switch {
			case slices.Contains(items, 2):
				return sour
			case slices.Contains(items, 4):
				panic("bitter")
			}
			return nil
		})
		got := make([]error, 8)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i] = b.Do(t.Context(), i) })
			synctest.Wait()
		}
		wg.Wait()
		for i, err := range got { // batches: 0 | 1 2 | 3 4 | 5 6 | 7
			var p *PanicError
			switch i {
			case 1, 2:
				if !errors.Is(err, sour) {
					t.Errorf("item %d, in a batch that fails: %v", i, err)
				}
			case 3, 4:
				if !errors.As(err, &p) || p.Value != "bitter" || len(p.Stack) == 0 {
					t.Errorf("item %d, in a batch that panics: %v", i, err)
				}
			default:
				if err != nil {
					t.Errorf("item %d: %v", i, err)
				}
			}
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []Stats
		var mu sync.Mutex
		m := &machine{takes: time.Second}
		b := New(Options{MaxBatch: 2, MaxQueue: 10, Observe: func(s Stats) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, s)
		}}, m.run)
		arrive(b, t.Context(), 0, 1, 2).Wait()
		want := []Stats{{1, 0, time.Second}, {2, time.Second, time.Second}}
		if !slices.Equal(got, want) {
			t.Errorf("told of %v, want %v", got, want)
		}
	})
}

// Under load from everywhere, with callers that give up, every item is run at
// most once, and exactly once if Do says so.
func TestEveryItemOnce(t *testing.T) {
	type item struct {
		n   int64
		ran atomic.Int64
	}
	const workers, maxBatch = 3, 5
	var inside atomic.Int64
	b := New(Options{Workers: workers, MaxBatch: maxBatch, MaxQueue: 40}, func(_ int, items []*item) error {
		if now := inside.Add(1); now > workers || len(items) > maxBatch || len(items) == 0 {
			t.Errorf("%d batches at the same time, this one of %d", now, len(items))
		}
		defer inside.Add(-1)
		for _, i := range items {
			i.ran.Add(1)
		}
		if items[0].n%3 == 0 {
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
		}
		if items[0].n%97 == 0 {
			panic("now and then")
		}
		return nil
	})
	var wg sync.WaitGroup
	var n, full, gone atomic.Int64
	for range 64 {
		wg.Go(func() {
			for range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(2000))*time.Microsecond)
				i := &item{n: n.Add(1)}
				err := b.Do(ctx, i)
				cancel()
				var p *PanicError
				want := int64(1)
				switch {
				case errors.Is(err, ErrFull):
					full.Add(1)
					want = 0
				case errors.Is(err, context.DeadlineExceeded):
					gone.Add(1)
					want = 0
				case err != nil && !errors.As(err, &p):
					t.Errorf("item %d: %v", i.n, err)
				}
				if ran := i.ran.Load(); ran != want {
					t.Errorf("item %d was run %d times, want %d (%v)", i.n, ran, want, err)
				}
			}
		})
	}
	wg.Wait()
	if full.Load() == 0 || gone.Load() == 0 || full.Load()+gone.Load() == n.Load() {
		t.Logf("of %d items %d found the queue full and %d gave up: little was tried", n.Load(), full.Load(), gone.Load())
	}
	if err := b.Close(t.Context()); err != nil || b.Waiting() != 0 {
		t.Errorf("after all is done: %v, %d wait", err, b.Waiting())
	}
}

func BenchmarkIdle(b *testing.B) {
	q := New(Options{Workers: 2, MaxQueue: 10}, func(int, []int) error { return nil })
	for b.Loop() {
		if err := q.Do(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBusy(b *testing.B) {
	q := New(Options{Workers: 2, MaxBatch: 8, MaxQueue: 1 << 20}, func(int, []int) error { return nil })
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := q.Do(context.Background(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
