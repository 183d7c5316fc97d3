package modelserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// server is the HTTP side of the process.
type server struct {
	Config
	sources *sources
	metrics *metrics
	memory  *semaphore.Weighted // bytes
	buffers buffers
	engine  atomic.Pointer[engine] // nil until the model is warm
}

// Run serves until ctx ends; then it finishes the requests under way and returns
// nil. An error says why the model cannot be served.
func Run(ctx context.Context, c Config) error {
	s, err := newServer(c)
	if err != nil {
		return err
	}
	defer s.sources.close()
	socket, err := listen(s.Socket)
	if err != nil {
		return err
	}
	front := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		if err := front.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	work.Go(func() error { return s.load(ctx) })
	work.Go(func() error {
		<-ctx.Done()
		s.drain(front)
		return nil
	})
	return work.Wait()
}

func newServer(c Config) (*server, error) {
	c.setDefaults()
	s := &server{Config: c, metrics: newMetrics(), memory: semaphore.NewWeighted(c.Memory)}
	var err error
	s.sources, err = newSources(c)
	return s, err
}

// load makes the model ready to answer.
func (s *server) load(ctx context.Context) error {
	began := time.Now()
	e, err := openEngine(ctx, s.Config, s.metrics)
	if err != nil {
		if ctx.Err() != nil {
			return nil // it was told to stop before it was ready
		}
		return err
	}
	s.engine.Store(e)
	s.Log.Info("the model is ready", "model", s.Model, "classes", len(e.info.Labels), "seconds", time.Since(began).Seconds(),
		"workers", e.plan.workers, "threads", e.plan.threads, "max_batch", e.plan.maxBatch, "decoders", e.plan.decoders,
		"jpeg", e.decoder.JPEG(), "onnxruntime", e.lib.Version())
	return nil
}

// drain lets the requests under way finish.
func (s *server) drain(front *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.DrainTimeout)
	defer cancel()
	if err := front.Shutdown(ctx); err != nil {
		s.Log.Warn("requests are still under way and are given up", "after", s.DrainTimeout)
		front.Close()
	}
	if e := s.engine.Load(); e != nil {
		e.close(ctx)
	}
}
