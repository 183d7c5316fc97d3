package smruntime

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musher/musher/internal/serve"
)

// sums keeps what was put: sum and count by the metric's name.
type sums map[string][2]float64

func (s sums) Put(_ context.Context, _ string, data ...Datum) error {
	for _, d := range data {
		key := d.Name + " " + d.Dimensions["EndpointName"] + "/" + d.Dimensions["VariantName"]
		s[key] = [2]float64{s[key][0] + d.Value*d.Count, s[key][1] + d.Count}
	}
	return nil
}

// locked lets the test read between two calls.
type locked struct {
	*sync.Mutex
	Metrics
}

func (l locked) Put(ctx context.Context, namespace string, data ...Datum) error {
	l.Lock()
	defer l.Unlock()
	return l.Metrics.Put(ctx, namespace, data...)
}

// TestUsage: a minute's requests are put when it is over, each once, and the
// rest at the end.
func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		got := sums{}
		s := New(Deps{Metrics: locked{&mu, got}, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		answer := func(status int, err error) {
			s.usage.record("e", time.Now(), &serve.Response{Variant: "v", Status: status, Took: 1500 * time.Microsecond}, err)
		}
		answer(200, nil)
		answer(200, nil)
		answer(400, nil)
		answer(0, serve.ErrTimeout)
		answer(0, serve.ErrNotReady)
		s.usage.record("none", time.Now(), nil, serve.ErrNoEndpoint)
		mu.Lock()
		if len(got) != 0 {
			t.Errorf("before the minute is over there is %v", got)
		}
		mu.Unlock()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		want := sums{
			"Invocations e/v": {5, 5}, "Invocation4XXErrors e/v": {2, 5}, "Invocation5XXErrors e/v": {1, 5}, "ModelLatency e/v": {4500, 3},
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s is %v, want %v", key, got[key], value)
			}
		}
		if got["OverheadLatency e/v"][1] != 3 || len(got) != 5 {
			t.Errorf("there is %v", got)
		}
		answer(200, nil)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if got["Invocations e/v"] != [2]float64{6, 6} {
			t.Errorf("at the end there are %v invocations", got["Invocations e/v"])
		}
	})
}
