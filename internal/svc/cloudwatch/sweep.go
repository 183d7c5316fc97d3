package cloudwatch

import (
	"context"
	"errors"
	"time"

	"github.com/musher/musher/internal/state"
)

// sweepSize bounds one transaction: there is one writer.
const sweepSize = 500

// Sweep moves what has come of age to coarser periods, and removes what is too
// old, with the metrics that have had no data for as long.
func (s *Service) Sweep(ctx context.Context) error {
	now := time.Now()
	after := ""
	for {
		rows, last, err := s.store.page(ctx, after)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			if err := s.store.age(ctx, row, now); err != nil {
				return err
			}
		}
		after = last
	}
}

// page reads some metrics, those behind a key.
func (st *store) page(ctx context.Context, after string) (rows []*metricRow, last string, err error) {
	err = st.db.View(ctx, func(tx *state.Tx) error {
		return st.metrics.Scan(tx, state.Range{After: after}, func(key string, row *metricRow) (bool, error) {
			rows, last = append(rows, row), key
			return len(rows) < sweepSize, nil
		})
	})
	return rows, last, err
}

// age brings one metric's data to where its age wants it.
func (st *store) age(ctx context.Context, row *metricRow, now time.Time) error {
	for i := range tiers {
		for {
			due, err := st.due(ctx, row.id(), i, now)
			if err != nil {
				return err
			}
			if !due {
				break
			}
			if err := st.db.Update(ctx, func(tx *state.Tx) error { return st.move(tx, row.id(), i, now) }); err != nil {
				return err
			}
		}
	}
	if now.Sub(row.Seen) <= longest {
		return nil
	}
	return st.db.Update(ctx, func(tx *state.Tx) error { return st.forget(tx, row.key(), now) })
}

// due tells whether a tier has data that is too old for it. Asking first keeps
// the writer free: mostly there is none.
func (st *store) due(ctx context.Context, id string, tier int, now time.Time) (due bool, err error) {
	err = st.db.View(ctx, func(tx *state.Tx) error {
		return st.scan(tx, id, tier, time.Unix(0, 0), now, func(_ string, p place, _ *summary) (bool, error) {
			due = tierOf(tier, p.at, now) != tier
			return false, nil
		})
	})
	return due, err
}

// move takes some summaries, the oldest, to the tiers that they belong to.
func (st *store) move(tx *state.Tx, id string, tier int, now time.Time) error {
	type old struct {
		key string
		place
		summary
	}
	var moving []old
	err := st.scan(tx, id, tier, time.Unix(0, 0), now, func(key string, p place, s *summary) (bool, error) {
		p.tier = tierOf(tier, p.at, now)
		if p.tier == tier {
			return false, nil
		}
		moving = append(moving, old{key, p, *s})
		return len(moving) < sweepSize, nil
	})
	if err != nil {
		return err
	}
	for _, m := range moving {
		if err := st.data.Delete(tx, m.key); err != nil {
			return err
		}
		if m.tier == len(tiers) {
			continue
		}
		m.at = m.at.Truncate(tiers[m.tier].width)
		if err := st.merge(tx, m.place.key(), &m.summary); err != nil {
			return err
		}
	}
	return nil
}

// forget removes a metric, unless it has had data since.
func (st *store) forget(tx *state.Tx, key string, now time.Time) error {
	row, err := st.metrics.Get(tx, key)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return nil
	case err != nil || now.Sub(row.Seen) <= longest:
		return err
	}
	return st.metrics.Delete(tx, key)
}
