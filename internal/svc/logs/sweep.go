package logs

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/musher/musher/internal/state"
)

// Sweep removes events that have expired and those of deleted streams. Nobody
// can read them any more; only their space is given back.
func (s *Service) Sweep(ctx context.Context) error {
	if err := s.sweepDeleted(ctx); err != nil {
		return err
	}
	return s.sweepExpired(ctx, time.Now())
}

func (s *Service) sweepDeleted(ctx context.Context) error {
	var deleted []string
	err := s.view(ctx, func(tx *state.Tx) error {
		return s.garbage.Scan(tx, state.Range{}, func(id string, _ *struct{}) (bool, error) {
			deleted = append(deleted, id)
			return true, nil
		})
	})
	for _, id := range deleted {
		for more := true; more && err == nil; {
			err = s.update(ctx, func(tx *state.Tx) (err error) {
				_, more, err = s.chunks.remove(tx, id, func([]event) bool { return true })
				if err != nil || more {
					return err
				}
				return s.garbage.Delete(tx, id)
			})
		}
	}
	return err
}

func (s *Service) sweepExpired(ctx context.Context, now time.Time) error {
	oldest := map[string]int64{} // by stream's key
	err := s.view(ctx, func(tx *state.Tx) error {
		return s.groups.Scan(tx, state.Range{}, func(name string, g *group) (bool, error) {
			if g.Days == 0 {
				return true, nil
			}
			limit := g.oldest(now)
			streams, err := s.all(tx, name, "")
			for stream, st := range streams {
				if st.First < limit && st.Bytes > 0 {
					oldest[state.Key(name, stream)] = limit
				}
			}
			return true, err
		})
	})
	for key, limit := range oldest {
		for more := true; more && err == nil; {
			err = s.update(ctx, func(tx *state.Tx) (err error) {
				more, err = s.expire(tx, key, limit)
				return err
			})
		}
	}
	return err
}

// expire removes the chunks of a stream that have expired as a whole. The
// others are still there for a while, but not shown.
func (s *Service) expire(tx *state.Tx, key string, limit int64) (more bool, err error) {
	st, err := s.streams.Get(tx, key)
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	size, more, err := s.chunks.remove(tx, st.ID, func(events []event) bool { return events[len(events)-1].T < limit })
	if err != nil || size == 0 {
		return false, err
	}
	st.Bytes -= size
	st.First = min(limit, st.Last)
	name, _, _ := strings.Cut(key, "\x00")
	if _, err := s.groups.Modify(tx, name, func(g *group) error { g.Bytes -= size; return nil }); err != nil {
		return false, err
	}
	return more, s.streams.Put(tx, key, st)
}
