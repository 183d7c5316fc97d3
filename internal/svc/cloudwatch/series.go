package cloudwatch

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/musher/musher/internal/state"
)

// window is what a query asks for of one metric.
type window struct {
	from, to time.Time
	period   time.Duration
	unit     *string // nil: any
}

// datapoint is the summary of one period and unit.
type datapoint struct {
	at   time.Time
	unit string
	summary
}

// rounded is the window with its begin rounded down, as the service does it:
// to the minute, or the finer period asked for, and more coarsely in the past.
func (w window) rounded(now time.Time) window {
	to := min(w.period, time.Minute)
	switch age := now.Sub(w.from); {
	case age > tiers[2].keep:
		to = time.Hour
	case age > tiers[1].keep:
		to = 5 * time.Minute
	}
	w.from = w.from.Truncate(to)
	if epoch := time.Unix(0, 0).UTC(); w.from.Before(epoch) {
		w.from = epoch // there is no data from before, and durations end
	}
	return w
}

// periods is how many periods the window spans.
func (w window) periods() int64 {
	return int64((w.to.Sub(w.from) + w.period - 1) / w.period)
}

// series reads a metric's data points, by time and then by unit: values of
// different units are not mixed. Periods count from the window's begin.
func (st *store) series(ctx context.Context, m metric, w window, now time.Time) ([]datapoint, error) {
	type slot struct {
		n    int64
		unit string
	}
	found := map[slot]*summary{}
	take := func(_ string, p place, s *summary) (bool, error) {
		if w.unit != nil && *w.unit != p.unit {
			return true, nil
		}
		as := tierOf(p.tier, p.at, now)
		if as == len(tiers) || w.period%tiers[as].width != 0 {
			return true, nil
		}
		in := slot{int64(p.at.Sub(w.from) / w.period), p.unit}
		if found[in] == nil {
			found[in] = &summary{}
		}
		found[in].add(*s)
		return true, nil
	}
	err := st.db.View(ctx, func(tx *state.Tx) error {
		for i := range tiers {
			if err := st.scan(tx, m.id(), i, w.from, w.to, take); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	points := make([]datapoint, 0, len(found))
	for in := range maps.Keys(found) {
		points = append(points, datapoint{w.from.Add(time.Duration(in.n) * w.period), in.unit, *found[in]})
	}
	slices.SortFunc(points, func(a, b datapoint) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.unit, b.unit)) })
	return points, nil
}
