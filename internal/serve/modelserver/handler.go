package modelserver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/serve/batch"
)

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", s.ping)
	mux.HandleFunc("POST /invocations", s.invocations)
	mux.Handle("GET /metrics", s.metrics.handler())
	return mux
}

var errLoading = problemf(http.StatusServiceUnavailable, "the model is being loaded").withHint("try again in a moment")

func (s *server) ping(w http.ResponseWriter, _ *http.Request) {
	if s.engine.Load() == nil {
		s.refuse(w, errLoading)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// invocations is the one place where answers and errors are written.
func (s *server) invocations(w http.ResponseWriter, r *http.Request) {
	answer, err := s.invoke(r)
	status := http.StatusOK
	if err != nil {
		p := explain(err)
		status = p.status
		s.refuse(w, p)
	} else {
		write(w, status, answer)
	}
	s.metrics.answered(status)
}

// contain makes an error of a panic.
func contain(err *error) {
	if p := recover(); p != nil {
		*err = &batch.PanicError{Value: p, Stack: debug.Stack()}
	}
}

func (s *server) refuse(w http.ResponseWriter, p *problem) {
	s.note(p)
	if p.status == statusGone {
		return
	}
	text, err := json.Marshal(struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{p.text, p.hint})
	if err != nil {
		panic(err) // two strings always make JSON
	}
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	write(w, p.status, text)
}

func write(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that has gone is nobody's error
}

// note logs what the owner of the endpoint should know and the client is not told.
func (s *server) note(p *problem) {
	var panicked *batch.PanicError
	switch {
	case errors.As(p.cause, &panicked):
		s.Log.Error("a request panicked", "panic", panicked.Value, "stack", string(panicked.Stack))
	case p.status == http.StatusInternalServerError:
		s.Log.Error("a request failed", "error", p.cause)
	case p.status != statusGone && p.cause != nil:
		s.Log.Warn("a request was refused", "status", p.status, "why", p.text, "cause", p.cause)
	}
}

// invoke answers one request.
func (s *server) invoke(r *http.Request) (answer []byte, err error) {
	defer contain(&err)
	e := s.engine.Load()
	if e == nil {
		return nil, errLoading
	}
	want, err := styleOf(r.Header)
	if err != nil {
		return nil, err
	}
	k, err := kindOf(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	body, release, err := s.read(r, k)
	if err != nil {
		return nil, err
	}
	defer release()
	in, err := parse(k, body, s.MaxInstances)
	if err != nil {
		return nil, err
	}
	logp, err := s.classify(r.Context(), e, in)
	if err != nil {
		return nil, err
	}
	return encode(e.info.Labels, want, in.list, logp)
}

// read takes a body in, within the memory there is. JSON counts twice: its
// photos are decoded into bytes of their own.
func (s *server) read(r *http.Request, k kind) (body []byte, release func(), err error) {
	size := r.ContentLength
	if size > s.MaxBody {
		return nil, nil, s.tooLarge()
	}
	if size < 0 {
		size = s.MaxBody // not known before it has been read
	}
	cost := size
	if k == jsonBody {
		cost *= 2
	}
	if !s.memory.TryAcquire(cost) {
		return nil, nil, busy("the requests under way take all the memory there is for them")
	}
	buf := s.buffers.get(r.ContentLength)
	release = func() {
		s.memory.Release(cost)
		s.buffers.put(buf)
	}
	if buf, err = readInto(buf, io.LimitReader(r.Body, s.MaxBody+1)); err != nil {
		release()
		if r.Context().Err() != nil {
			return nil, nil, r.Context().Err()
		}
		return nil, nil, &problem{status: http.StatusBadRequest, text: "the request's body ended early", cause: err}
	}
	if int64(len(buf)) > s.MaxBody {
		release()
		return nil, nil, s.tooLarge()
	}
	return buf, release, nil
}

func (s *server) tooLarge() error {
	return problemf(http.StatusRequestEntityTooLarge, "the request is larger than %d bytes", s.MaxBody).
		withHint("scale the photo down, or send its URL")
}

// classify works on all photos of a request at the same time, as far as there
// are tensors. The first error ends the others.
func (s *server) classify(ctx context.Context, e *engine, in input) ([][]float32, error) {
	logp := make([][]float32, len(in.photos))
	if !in.list {
		var err error
		logp[0], err = s.classifyOne(ctx, e, in.photos[0])
		return logp, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.plan.tensors)
	for i, photo := range in.photos {
		g.Go(func() (err error) {
			if logp[i], err = s.classifyOne(ctx, e, photo); err != nil {
				err = explain(err).at(in.place(i))
			}
			return err
		})
	}
	return logp, g.Wait()
}

func (s *server) classifyOne(ctx context.Context, e *engine, from source) (logp []float32, err error) {
	defer contain(&err) // of an instance's own goroutine
	photo := from.bytes
	switch {
	case from.b64 != "":
		if photo, err = decodeB64(from.b64); err != nil {
			return nil, err
		}
	case from.url != "":
		var contentType string
		if photo, contentType, err = s.sources.get(ctx, from.url); err != nil {
			return nil, err
		}
		if !s.memory.TryAcquire(int64(len(photo))) {
			return nil, busy("the photos under way take all the memory there is for them")
		}
		defer s.memory.Release(int64(len(photo)))
		defer func() {
			if err != nil {
				err = whence(err, contentType)
			}
		}()
	}
	return e.classify(ctx, photo)
}

// whence adds to a bad photo's error what the URL's server said it was.
func whence(err error, contentType string) error {
	p := explain(err)
	if p.status != http.StatusBadRequest {
		return err
	}
	q := *p
	q.text = "the URL's content: " + p.text
	if contentType != "" {
		q.hint = "its server calls it " + strconv.Quote(contentType[:min(len(contentType), 80)])
	}
	return &q
}
