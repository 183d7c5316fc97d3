package features

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Segments are written when they hold this many rows, or when the oldest row
// is this old: what a killed process loses.
const (
	segmentRows = 1024
	segmentAge  = 15 * time.Second
)

// job is a photo on its way through the pipeline.
type job struct {
	i   int    // place in the batch
	buf []byte // the file
	row []float32
	err error
}

// compute runs the backbone over the missing photos of b and writes segments.
//
//	missing ──reader──► files ──workers: decode, resize, infer──► rows ──► b and segments
func (x *Extractor) compute(ctx context.Context, c *cache, b *batch, missing []int) error {
	network, err := x.Backbone.Open()
	if err != nil {
		return fmt.Errorf("backbone: %w", err)
	}
	defer network.Close()

	g, ctx := errgroup.WithContext(ctx)
	files := make(chan *job, x.Workers)
	done := make(chan *job, 4*x.Workers)
	spent := make(chan *job, 8*x.Workers) // jobs whose buffers can be used again

	g.Go(func() error {
		defer close(files)
		return readAhead(ctx, b, missing, files, spent)
	})
	workers, workCtx := errgroup.WithContext(ctx)
	for range x.Workers {
		workers.Go(func() error { return x.work(workCtx, network, files, done) })
	}
	g.Go(func() error {
		defer close(done)
		return workers.Wait()
	})
	g.Go(func() error { return x.collect(c, b, len(missing), done, spent) })
	return g.Wait()
}

func readAhead(ctx context.Context, b *batch, missing []int, files chan<- *job, spent <-chan *job) error {
	for _, i := range missing {
		j := &job{}
		select {
		case j = <-spent:
		default:
		}
		j.i, j.row, j.err = i, nil, nil
		buf, err := readFile(b.paths[i], j.buf)
		if errors.Is(err, errTooLarge) {
			j.err = err
		} else if err != nil {
			return err
		} else {
			j.buf = buf
		}
		select {
		case files <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// work takes files until there are none, with its own input and output tensors.
func (x *Extractor) work(ctx context.Context, network Network, files <-chan *job, done chan<- *job) error {
	in, out := make([]float32, x.Loader.Len()), make([]float32, x.Backbone.Dim)
	run, err := network.Bind(in, out)
	if err != nil {
		return fmt.Errorf("backbone: %w", err)
	}
	defer run.Close()
	for j := range files {
		if j.err == nil {
			j.err = x.Loader.Load(j.buf, in)
		}
		if j.err == nil {
			if err := run.Run(); err != nil {
				return fmt.Errorf("backbone: %w", err)
			}
			j.row = append(make([]float32, 0, len(out)), out...)
		}
		select {
		case done <- j:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// collect puts rows into the batch and into segments until done is closed.
// What has come before an error or an interruption is still written.
func (x *Extractor) collect(c *cache, b *batch, total int, done <-chan *job, spent chan<- *job) error {
	w := segmentWriter{c: c}
	p := progressMeter{report: x.Progress, cached: len(b.ids) - total, total: len(b.ids), start: time.Now()}
	for j := range done {
		b.rows[j.i], b.errs[j.i] = j.row, j.err
		if j.err == nil {
			if err := w.add(b.ids[j.i], j.row); err != nil {
				return err
			}
		}
		p.add()
		select {
		case spent <- j:
		default:
		}
	}
	return w.flush()
}

// segmentWriter gathers rows until they make a segment.
type segmentWriter struct {
	c     *cache
	ids   []ID
	rows  []float32
	first time.Time
}

func (w *segmentWriter) add(id ID, row []float32) error {
	if len(w.ids) == 0 {
		w.first = time.Now()
	}
	w.ids, w.rows = append(w.ids, id), append(w.rows, row...)
	if len(w.ids) < segmentRows && time.Since(w.first) < segmentAge {
		return nil
	}
	return w.flush()
}

func (w *segmentWriter) flush() error {
	if len(w.ids) == 0 {
		return nil
	}
	if err := writeSegment(w.c.dir, w.c.dim, w.ids, w.rows); err != nil {
		return fmt.Errorf("feature cache: %w", err)
	}
	w.ids, w.rows = w.ids[:0], w.rows[:0]
	return nil
}

// progressMeter reports a few times a second, and at the end.
type progressMeter struct {
	report        func(Progress)
	cached, total int
	done          int
	start, last   time.Time
}

func (p *progressMeter) add() {
	p.done++
	now := time.Now()
	if now.Sub(p.last) < 250*time.Millisecond && p.cached+p.done < p.total {
		return
	}
	p.last = now
	p.report(Progress{
		Done: p.cached + p.done, Total: p.total,
		Rate: float64(p.done) / max(now.Sub(p.start).Seconds(), 1e-9),
	})
}
