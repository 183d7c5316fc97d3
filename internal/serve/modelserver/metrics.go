package modelserver

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/musher/musher/internal/serve/batch"
)

// metrics are what /metrics shows.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	size     prometheus.Histogram
	seconds  *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "musher_model_requests_total", Help: "Requests by HTTP status; 499: the client had gone.",
		}, []string{"status"}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "musher_model_batch_photos", Help: "Photos in a run of the network.", Buckets: prometheus.ExponentialBuckets(1, 2, 8),
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "musher_model_stage_seconds", Help: "Time of a batch in a stage: decode_wait, decode, infer_wait, infer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}, []string{"stage"}),
	}
	m.registry.MustRegister(m.requests, m.size, m.seconds)
	return m
}

func (m *metrics) decoded(s batch.Stats) {
	m.seconds.WithLabelValues("decode_wait").Observe(s.Waited.Seconds())
	m.seconds.WithLabelValues("decode").Observe(s.Ran.Seconds())
}

func (m *metrics) inferred(s batch.Stats) {
	m.size.Observe(float64(s.Size))
	m.seconds.WithLabelValues("infer_wait").Observe(s.Waited.Seconds())
	m.seconds.WithLabelValues("infer").Observe(s.Ran.Seconds())
}

func (m *metrics) answered(status int) { m.requests.WithLabelValues(strconv.Itoa(status)).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
