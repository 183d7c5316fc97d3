package smruntime

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/musher/musher/internal/serve"
)

// namespace is where CloudWatch has what endpoints did.
const namespace = "AWS/SageMaker"

// Datum is one figure for CloudWatch.
type Datum struct {
	Name       string
	Dimensions map[string]string
	Value      float64
	Count      float64 // how often it was measured
	Time       time.Time
	Unit       string
}

// usage keeps figures of requests in memory until their minute is over: a
// request must not wait for the database. A crash loses a minute of them.
type usage struct {
	Metrics
	log *slog.Logger

	mu   sync.Mutex
	seen map[series]map[float64]float64 // how often each value was measured
}

// series is one metric in one minute.
type series struct {
	endpoint, variant, name, unit string
	minute                        time.Time
}

// record takes in a request that arrived at begin, and what became of it at the
// router.
func (u *usage) record(endpoint string, begin time.Time, res *serve.Response, err error) {
	if u.Metrics == nil || res == nil {
		return // no variant was asked
	}
	status := res.Status
	switch {
	case errors.Is(err, serve.ErrNotReady):
		status = 429
	case err != nil:
		status = 500
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	add := func(name, unit string, value float64) {
		s := series{endpoint, res.Variant, name, unit, begin.UTC().Truncate(time.Minute)}
		if u.seen[s] == nil {
			u.seen[s] = map[float64]float64{}
		}
		u.seen[s][value]++
	}
	add("Invocations", "None", 1)
	add("Invocation4XXErrors", "None", one(status/100 == 4))
	add("Invocation5XXErrors", "None", one(status/100 == 5))
	if err == nil {
		add("ModelLatency", "Microseconds", micros(res.Took))
		add("OverheadLatency", "Microseconds", micros(time.Since(begin)-res.Took))
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// micros rounds to three digits, so that a minute has few different values.
func micros(d time.Duration) float64 {
	v := max(1, float64(d.Microseconds()))
	unit := math.Pow(10, math.Floor(math.Log10(v))-2)
	return math.Round(v/unit) * unit
}

// run hands minutes on when they are over, and the rest when ctx ends.
func (u *usage) run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			u.put(ctx, now.UTC().Truncate(time.Minute))
		case <-ctx.Done():
			u.put(context.WithoutCancel(ctx), time.Now().Add(time.Minute))
			return ctx.Err()
		}
	}
}

// put hands on what was measured in minutes before a time.
func (u *usage) put(ctx context.Context, before time.Time) {
	u.mu.Lock()
	over := map[series]map[float64]float64{}
	maps.Copy(over, u.seen)
	maps.DeleteFunc(over, func(s series, _ map[float64]float64) bool { return !s.minute.Before(before) })
	maps.DeleteFunc(u.seen, func(s series, _ map[float64]float64) bool { return s.minute.Before(before) })
	u.mu.Unlock()
	var data []Datum
	for s, values := range over {
		dimensions := map[string]string{"EndpointName": s.endpoint, "VariantName": s.variant}
		for value, times := range values {
			data = append(data, Datum{Name: s.name, Dimensions: dimensions, Value: value, Count: times, Time: s.minute, Unit: s.unit})
		}
	}
	if len(data) == 0 {
		return
	}
	if err := u.Put(ctx, namespace, data...); err != nil {
		u.log.Warn("the figures of a minute's requests are lost", "error", err)
	}
}
