package cloudwatch

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/state"
)

// metric is what measurements belong to. Dimensions are sorted by name.
type metric struct {
	Namespace  string
	Name       string
	Dimensions []dimension `json:",omitempty"`
}

type dimension struct{ Name, Value string }

// key is the metric's place in the list of all: by namespace, then by name.
func (m *metric) key() string {
	parts := []string{m.Namespace, m.Name}
	for _, d := range m.Dimensions {
		parts = append(parts, d.Name, d.Value)
	}
	return state.Key(parts...)
}

// id stands for the metric in the keys of its summaries.
func (m *metric) id() string {
	sum := sha256.Sum256([]byte(m.key()))
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// metricRow is a metric that has had data.
type metricRow struct {
	metric
	Seen time.Time // when data came last, give or take seenEvery
}

// seenEvery keeps busy metrics from writing Seen all the time.
const seenEvery = time.Minute

// tier is how finely summaries are kept, and up to which age.
type tier struct {
	name  string // in keys
	width time.Duration
	keep  time.Duration
}

const day = 24 * time.Hour

// tiers go from fine to coarse; each width is a multiple of the one before.
var tiers = []tier{
	{"1s", time.Second, 3 * time.Hour},
	{"1m", time.Minute, 15 * day},
	{"5m", 5 * time.Minute, 63 * day},
	{"1h", time.Hour, 455 * day},
}

// longest is the age at which nothing of a metric is left.
var longest = tiers[len(tiers)-1].keep

// tierOf is the tier that something of this instant counts to, if it was
// written to the tier given. It is len(tiers) for what is too old for all.
func tierOf(written int, at, now time.Time) int {
	for written < len(tiers) && now.Sub(at) > tiers[written].keep {
		written++
	}
	return written
}

// store keeps summaries by metric, tier, time and unit.
type store struct {
	db      *state.DB
	metrics state.Table[metricRow]
	data    state.Table[summary]
}

func newStore(db *state.DB) store {
	return store{
		db:      db,
		metrics: state.NewTable[metricRow](db, "cloudwatch_metrics"),
		data:    state.NewTable[summary](db, "cloudwatch_data"),
	}
}

// place is a summary's key, taken apart.
type place struct {
	id   string
	tier int
	at   time.Time // begin of the period
	unit string
}

func (p place) key() string {
	return state.Key(p.id, tiers[p.tier].name, hexTime(p.at), p.unit)
}

// hexTime sorts as instants do, from 1970 to 2106.
func hexTime(t time.Time) string { return fmt.Sprintf("%08x", min(max(0, t.Unix()), math.MaxUint32)) }

// parsePlace reads the end of a key behind a metric's and a tier's part.
func parsePlace(id string, tier int, key string) (place, error) {
	parts := strings.SplitN(key, "\x00", 4)
	if len(parts) != 4 {
		return place{}, fmt.Errorf("cloudwatch: malformed key %q", key)
	}
	seconds, err := strconv.ParseUint(parts[2], 16, 32)
	if err != nil {
		return place{}, fmt.Errorf("cloudwatch: malformed key %q: %w", key, err)
	}
	return place{id, tier, time.Unix(int64(seconds), 0).UTC(), parts[3]}, nil
}

// point is something measured, on its way in.
type point struct {
	metric
	at   time.Time
	fine bool // to be kept by the second
	unit string
	summary
}

// batch is points, gathered by where they go: one row is written once, however
// many points of a request it takes in.
type batch struct {
	metrics map[string]*metric
	data    map[string]*summary
}

func gather(points []point) batch {
	b := batch{map[string]*metric{}, map[string]*summary{}}
	for i := range points {
		p := &points[i]
		b.metrics[p.metric.key()] = &p.metric
		where := place{id: p.id(), tier: 1, unit: p.unit}
		if p.fine {
			where.tier = 0
		}
		where.at = p.at.Truncate(tiers[where.tier].width)
		key := where.key()
		if b.data[key] == nil {
			b.data[key] = &summary{}
		}
		b.data[key].add(p.summary)
	}
	return b
}

// put takes in measurements. They are on disk when it returns.
func (st *store) put(ctx context.Context, points []point) error {
	b := gather(points)
	now := time.Now().UTC()
	return st.db.Update(ctx, func(tx *state.Tx) error {
		for _, key := range slices.Sorted(maps.Keys(b.metrics)) {
			if err := st.touch(tx, key, b.metrics[key], now); err != nil {
				return err
			}
		}
		for _, key := range slices.Sorted(maps.Keys(b.data)) {
			if err := st.merge(tx, key, b.data[key]); err != nil {
				return err
			}
		}
		return nil
	})
}

// touch notes that a metric has new data.
func (st *store) touch(tx *state.Tx, key string, m *metric, now time.Time) error {
	row, err := st.metrics.Get(tx, key)
	switch {
	case errors.Is(err, state.ErrNotFound):
	case err != nil:
		return err
	case now.Sub(row.Seen) < seenEvery:
		return nil
	}
	return st.metrics.Put(tx, key, &metricRow{*m, now})
}

// merge adds a summary to the one that lies under the key.
func (st *store) merge(tx *state.Tx, key string, s *summary) error {
	row, err := st.data.Get(tx, key)
	if errors.Is(err, state.ErrNotFound) {
		return st.data.Insert(tx, key, s)
	}
	if err != nil {
		return err
	}
	row.add(*s)
	return st.data.Put(tx, key, row)
}

// scan visits a metric's summaries of one tier whose periods begin in
// [from, to), in the order of time.
func (st *store) scan(tx *state.Tx, id string, tier int, from, to time.Time, visit func(key string, p place, s *summary) (more bool, err error)) error {
	r := state.Range{Prefix: state.Key(id, tiers[tier].name, "")}
	r.From = r.Prefix + hexTime(from)
	return st.data.Scan(tx, r, func(key string, s *summary) (bool, error) {
		p, err := parsePlace(id, tier, key)
		if err != nil || !p.at.Before(to) {
			return false, err
		}
		return visit(key, p, s)
	})
}
