package cloudwatch

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musher/musher/internal/state"
)

func newService(tb testing.TB) *Service {
	tb.Helper()
	db, err := state.Open(filepath.Join(tb.TempDir(), "db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return New(Deps{DB: db, Account: "123456789012"})
}

// sums writes down a metric's sums of the last hours: "12:00:00=3 …".
func sums(t *testing.T, s *Service, name string, back, period time.Duration) string {
	t.Helper()
	now := time.Now()
	w := window{from: now.Add(-back), to: now.Add(time.Second), period: period}
	points, err := s.store.series(context.Background(), metric{Namespace: "N", Name: name}, w.rounded(now), now)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range points {
		out = append(out, fmt.Sprintf("%s=%v", p.at.Format("02.15:04:05"), p.Sum))
	}
	return strings.Join(out, " ")
}

// Time passes; before and after each sweep a query sees the same.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := newService(t)
		begin := time.Now().UTC() // midnight, the first of January
		var fine, coarse []Datum
		for i := range 12 {
			at := begin.Add(time.Duration(i) * 10 * time.Second)
			fine = append(fine, Datum{Name: "fine", Value: 1, Time: at, HighRes: true})
			coarse = append(coarse, Datum{Name: "coarse", Value: 1, Time: at})
		}
		if err := s.Put(ctx, "N", append(fine, coarse...)...); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			age          time.Duration
			name         string
			period       time.Duration
			want, reason string
		}{
			{time.Hour, "fine", 30 * time.Second, "01.00:00:00=3 01.00:00:30=3 01.00:01:00=3 01.00:01:30=3", ""},
			{time.Hour, "coarse", 30 * time.Second, "", "kept by the minute"},
			{time.Hour, "coarse", time.Minute, "01.00:00:00=6 01.00:01:00=6", ""},
			{4 * time.Hour, "fine", 30 * time.Second, "", "older than three hours"},
			{4 * time.Hour, "fine", time.Minute, "01.00:00:00=6 01.00:01:00=6", ""},
			{16 * day, "fine", time.Minute, "", "older than fifteen days"},
			{16 * day, "fine", 5 * time.Minute, "01.00:00:00=12", ""},
			{16 * day, "coarse", 5 * time.Minute, "01.00:00:00=12", ""},
			{64 * day, "coarse", 5 * time.Minute, "", "older than 63 days"},
			{64 * day, "coarse", time.Hour, "01.00:00:00=12", ""},
			{454 * day, "coarse", time.Hour, "01.00:00:00=12", ""},
			{456 * day, "coarse", time.Hour, "", "older than 455 days"},
		} {
			time.Sleep(time.Until(begin.Add(step.age)))
			for _, swept := range []bool{false, true} {
				if got := sums(t, s, step.name, step.age+time.Hour, step.period); got != step.want {
					t.Errorf("%s by %v at %v, swept %v: %q, want %q %s", step.name, step.period, step.age, swept, got, step.want, step.reason)
				}
				if err := s.Sweep(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.store.db.View(ctx, func(tx *state.Tx) error {
			metrics, err := s.store.metrics.Count(tx)
			if err != nil {
				return err
			}
			rows, err := s.store.data.Count(tx)
			if metrics+rows > 0 {
				t.Errorf("%d metrics and %d summaries are left", metrics, rows)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	})
}

// More than one transaction's worth of old data moves, and what comes during
// the sweep is not lost.
func TestSweepOfMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := newService(t)
		begin := time.Now().UTC()
		var data []Datum
		for i := range 3 * sweepSize {
			data = append(data, Datum{Name: "m", Value: float64(i), Time: begin.Add(time.Duration(i) * time.Second), HighRes: true})
		}
		if err := s.Put(ctx, "N", data...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		done := make(chan error)
		go func() { done <- s.Sweep(ctx) }()
		if err := s.Put(ctx, "N", Datum{Name: "m", Value: 1e6, Time: begin}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("01.00:00:00=%v", 1e6+float64(3*sweepSize*(3*sweepSize-1)/2))
		if got := sums(t, s, "m", 6*time.Hour, 6*time.Hour); !strings.HasSuffix(got, strings.TrimPrefix(want, "01.00:00:00")) {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
