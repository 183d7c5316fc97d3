package server

import (
	"context"
	"time"
)

const (
	sweepEvery = time.Hour
	// unused is how long data that can be staged or unpacked again is kept.
	unused = 24 * time.Hour
)

// janitor removes what nothing refers to any more: at the start, what an
// earlier process left behind; then, from time to time, what has gone cold.
func (s *Server) janitor(ctx context.Context) error {
	if err := s.buckets.Sweep(ctx); err != nil && ctx.Err() == nil {
		s.opts.Log.Warn("cannot remove orphaned bytes of objects", "error", err)
	}
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		since := time.Now().Add(-unused)
		for name, sweep := range map[string]func(context.Context, time.Time) error{
			"staged data": s.training.Sweep, "unpacked models": s.hosting.Sweep,
			"old measurements":       func(ctx context.Context, _ time.Time) error { return s.measured.Sweep(ctx) },
			"expired events of logs": func(ctx context.Context, _ time.Time) error { return s.logs.Sweep(ctx) },
		} {
			if err := sweep(ctx, since); err != nil && ctx.Err() == nil {
				s.opts.Log.Warn("cannot remove what is not in use", "what", name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
