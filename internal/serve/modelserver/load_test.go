package modelserver

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/onnx/graph"
)

func answerOf(s *server, target, body string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(target, " ")
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

// ready is a server without its socket.
func ready(t testing.TB, c Config) (*server, *engine) {
	t.Helper()
	c.Library = library(t)
	if c.Model == "" {
		c.Model = modelFolder(t, network("N"), testInfo())
	}
	s, err := newServer(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := s.engine.Load()
	t.Cleanup(func() { e.close(context.Background()); s.sources.close() })
	return s, e
}

// hold takes all tensors, so that decoders wait.
func hold(e *engine) (release func()) {
	var taken [][]float32
	for range e.plan.tensors {
		taken = append(taken, <-e.tensors)
	}
	return func() {
		for _, t := range taken {
			e.tensors <- t
		}
	}
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 2000 {
		if f() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("in vain: ", what)
}

// When as many photos wait as may, the next one is refused, and those that wait
// are answered later.
func TestQueueIsBounded(t *testing.T) {
	s, e := ready(t, Config{MaxQueue: 3})
	release := hold(e)
	reds := string(photo(t, red))
	var wg sync.WaitGroup
	for range e.plan.decoders + 3 {
		wg.Go(func() {
			if w := answerOf(s, "POST /invocations", reds); w.Code != http.StatusOK {
				t.Errorf("a photo that waited: %d %s", w.Code, w.Body)
			}
		})
	}
	await(t, "three photos wait", func() bool { return e.decode.Waiting() == 3 })
	w := answerOf(s, "POST /invocations", reds)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "ThrottlingError") {
		t.Errorf("one photo too many: %d %v %s", w.Code, w.Header(), w.Body)
	}
	release()
	wg.Wait()
	if len(e.tensors) != e.plan.tensors {
		t.Errorf("%d of %d tensors came back", len(e.tensors), e.plan.tensors)
	}
}

// A client that goes away while its photo waits takes it out of the queue.
func TestClientGoesAway(t *testing.T) {
	s, e := ready(t, Config{MaxQueue: 10})
	release := hold(e)
	reds := string(photo(t, red))
	var wg sync.WaitGroup
	for range e.plan.decoders + 1 {
		wg.Go(func() { answerOf(s, "POST /invocations", reds) })
	}
	await(t, "all decoders are busy", func() bool { return e.decode.Waiting() == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r := httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader(reds)).WithContext(ctx)
		s.handler().ServeHTTP(httptest.NewRecorder(), r)
	}()
	await(t, "its photo waits", func() bool { return e.decode.Waiting() == 2 })
	cancel()
	<-gone
	if n := e.decode.Waiting(); n != 1 {
		t.Errorf("%d photos wait after the client has gone, want 1", n)
	}
	release()
	wg.Wait()
	if w := answerOf(s, "GET /metrics", ""); !strings.Contains(w.Body.String(), `{status="499"} 1`) {
		t.Errorf("metrics do not count the client that went:\n%s", w.Body)
	}
}

// So does one whose photo has a decoder, but no tensor yet.
func TestClientGoesAwayBeforeItsTensor(t *testing.T) {
	_, e := ready(t, Config{})
	release := hold(e)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := e.classify(ctx, photo(t, red)); !errors.Is(err, context.Canceled) {
		t.Errorf("the photo of a client that has gone: %v", err)
	}
	release()
	if _, err := e.classify(t.Context(), photo(t, red)); err != nil || len(e.tensors) != e.plan.tensors {
		t.Errorf("the next photo: %v, %d of %d tensors came back", err, len(e.tensors), e.plan.tensors)
	}
}

// What requests may hold in memory is bounded, and given back.
func TestMemoryIsBounded(t *testing.T) {
	reds := string(photo(t, red))
	s, e := ready(t, Config{Memory: int64(len(reds)) + 10})
	release := hold(e)
	var wg sync.WaitGroup
	wg.Go(func() {
		if w := answerOf(s, "POST /invocations", reds); w.Code != http.StatusOK {
			t.Errorf("the first: %d %s", w.Code, w.Body)
		}
	})
	await(t, "the first request is in", func() bool { return !s.memory.TryAcquire(11) || func() bool { s.memory.Release(11); return false }() })
	if w := answerOf(s, "POST /invocations", reds); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "memory") {
		t.Errorf("the second: %d %s", w.Code, w.Body)
	}
	release()
	wg.Wait()
	if !s.memory.TryAcquire(s.Memory) {
		t.Error("memory was not given back")
	}
}

// A failed photo gives its tensor back.
func TestTensorsComeBack(t *testing.T) {
	s, e := ready(t, Config{})
	for range 3 * e.plan.tensors {
		if w := answerOf(s, "POST /invocations", "\x89PNG\r\n\x1a\nrubbish"); w.Code != http.StatusBadRequest {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if len(e.tensors) != e.plan.tensors {
		t.Errorf("%d of %d tensors came back", len(e.tensors), e.plan.tensors)
	}
}

// scaled is a network whose answer is a constant over the mean: 0/0, or -x/0.
func scaled(by float32) *graph.Graph {
	g := graph.New("odd", 17)
	x := g.Input(model.Input, graph.Float, "N", 3, side, side)
	mean := g.Op("Flatten", nil, g.Op("GlobalAveragePool", nil, x))
	zero := g.Op("Sub", nil, mean, mean)
	g.Output(model.Output, g.Op("Div", nil, g.Op("Add", nil, zero, g.Floats("by", by)), zero), graph.Float, "N", 3)
	return g
}

func TestOddNumbers(t *testing.T) {
	info := testInfo()
	info.Labels = info.Labels[:3]
	s, err := newServer(Config{Library: library(t), Model: modelFolder(t, scaled(0), info)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load(t.Context()); !errors.Is(err, errNaN) {
		t.Errorf("a network that answers NaN: %v", err)
	}
	s, e := ready(t, Config{Model: modelFolder(t, scaled(-1), info)})
	logp, err := e.classify(t.Context(), photo(t, red))
	if err != nil || logp[0] != -math.MaxFloat32 {
		t.Errorf("minus infinity became %v, %v", logp, err)
	}
	if w := answerOf(s, "POST /invocations", string(photo(t, red))); !strings.HasPrefix(w.Body.String(), "[[-3.4028235e+38,") {
		t.Errorf("answered %s", w.Body)
	}
}

// A batch's tensors are put side by side; the answers go back one by one.
func TestJoinedBatch(t *testing.T) {
	_, e := ready(t, Config{Workers: 1, MaxBatch: 3})
	jobs := make([]*job, 3)
	for i := range jobs {
		jobs[i] = &job{tensor: make([]float32, e.info.Preprocess.Len()), logp: make([]float32, 4)}
		for p := range jobs[i].tensor {
			jobs[i].tensor[p] = float32(i) / 3
		}
	}
	alone := make([][]float32, 3)
	for i, j := range jobs {
		if err := e.runInfer(0, []*job{j}); err != nil {
			t.Fatal(err)
		}
		alone[i], j.logp = j.logp, make([]float32, 4)
	}
	if err := e.runInfer(0, jobs[:2]); err != nil {
		t.Fatal(err)
	}
	for i, j := range jobs[:2] {
		want := make([]float64, 4)
		for k, v := range alone[i] {
			want[k] = float64(v)
		}
		if err := nearly(j.logp, want); err != nil {
			t.Errorf("photo %d of a batch: %v", i, err)
		}
	}
}

func TestPlan(t *testing.T) {
	hint := &model.Serving{Workers: 1, MaxBatch: 32}
	for name, c := range map[string]struct {
		config            Config
		hint              *model.Serving
		workers, maxBatch int
	}{
		"model":    {Config{}, hint, 1, 32},
		"operator": {Config{Workers: 3, MaxBatch: 4}, hint, 3, 4},
		"half":     {Config{MaxBatch: 4}, hint, 1, 4},
		"wild":     {Config{}, &model.Serving{Workers: 1 << 40, MaxBatch: 1 << 40}, 256, 1024},
	} {
		p := newPlan(c.config, c.hint)
		if p.workers != c.workers || p.maxBatch != c.maxBatch || p.threads < 1 || p.tensors < p.workers*p.maxBatch+p.decoders {
			t.Errorf("%s: %+v, want %d workers and batches of %d", name, p, c.workers, c.maxBatch)
		}
	}
	if p := newPlan(Config{}, nil); p.maxBatch != 1 || p.threads != 1 || p.workers != p.decoders {
		t.Errorf("by default: %+v, want a worker for each core, one photo each", p)
	}
}

func BenchmarkInvocation(b *testing.B) {
	s, _ := ready(b, Config{})
	reds := string(photo(b, red))
	b.ReportAllocs()
	for b.Loop() {
		if w := answerOf(s, "POST /invocations", reds); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
