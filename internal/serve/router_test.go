package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// instanceAt serves h on a socket in a folder of its own.
func instanceAt(t *testing.T, id string, h http.Handler) Instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "serve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go srv.Serve(l) //nolint:errcheck // it ends with Close
	t.Cleanup(func() { srv.Close() })
	return Instance{ID: id, Socket: socket}
}

func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
}

func TestInvokeCarriesAll(t *testing.T) {
	in := instanceAt(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/x")
		w.Header().Set("X-Amzn-SageMaker-Custom-Attributes", "back")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s|%s|%s|%s|%s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("X-Amzn-SageMaker-Custom-Attributes"), body)
	}))
	r := NewRouter(Options{})
	r.Publish("e", []Variant{{Name: "v", Weight: 1, Instances: []Instance{in}}})
	got, err := r.Invoke(context.Background(), "e", &Request{ContentType: "image/jpeg", Accept: "application/json", CustomAttributes: "k=v", Body: []byte("hi")})
	if err != nil {
		t.Fatal(err)
	}
	want := "POST /invocations|image/jpeg|application/json|k=v|hi"
	if string(got.Body) != want || got.Status != http.StatusTeapot || got.Variant != "v" || got.ContentType != "text/x" || got.CustomAttributes != "back" {
		t.Fatalf("got %+v with body %q, want body %q", got, got.Body, want)
	}
}

func TestErrors(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	slow := instanceAt(t, "slow", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	huge := instanceAt(t, "huge", says(strings.Repeat("x", 2000)))
	rude := instanceAt(t, "rude", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	r := NewRouter(Options{Timeout: 100 * time.Millisecond, MaxAnswer: 1000})
	r.Publish("e", []Variant{
		{Name: "slow", Instances: []Instance{slow}}, {Name: "huge", Instances: []Instance{huge}}, {Name: "rude", Instances: []Instance{rude}},
		{Name: "none"}, {Name: "dead", Instances: []Instance{{ID: "x", Socket: "/nowhere"}}},
	})
	for variant, want := range map[string]error{
		"slow": ErrTimeout, "huge": ErrTooLarge, "rude": ErrBroken, "none": ErrUnavailable, "dead": ErrUnavailable, "other": ErrNoVariant,
	} {
		if _, err := r.Invoke(context.Background(), "e", &Request{Variant: variant}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", variant, err, want)
		}
	}
	r.Publish("e", nil)
	if _, err := r.Invoke(context.Background(), "e", &Request{}); !errors.Is(err, ErrNoEndpoint) {
		t.Errorf("after the endpoint was forgotten: %v", err)
	}
}

func TestDeadInstanceIsPassedOver(t *testing.T) {
	alive := instanceAt(t, "alive", says("ok"))
	r := NewRouter(Options{})
	r.Publish("e", []Variant{{Name: "v", Weight: 1, Instances: []Instance{{ID: "dead", Socket: "/nowhere"}, alive}}})
	for range 20 {
		res, err := r.Invoke(context.Background(), "e", &Request{})
		if err != nil || string(res.Body) != "ok" {
			t.Fatalf("%v, %v", res, err)
		}
	}
}

func TestWeights(t *testing.T) {
	variants := []Variant{{Name: "a", Weight: 3}, {Name: "b", Weight: 1}, {Name: "c", Weight: 0}}
	n := map[string]int{}
	const rounds = 40_000
	for range rounds {
		v, err := choose(variants, "")
		if err != nil {
			t.Fatal(err)
		}
		n[v.Name]++
	}
	// Five standard deviations of a binomial with p = 3/4.
	if off := math.Abs(float64(n["a"]) - rounds*0.75); off > 5*math.Sqrt(rounds*0.75*0.25) || n["c"] != 0 {
		t.Fatalf("shares %v of %d for weights 3, 1, 0", n, rounds)
	}
}

// Requests go to the instance with the fewest in flight.
func TestLeastBusy(t *testing.T) {
	arrived, release := make(chan string, 10), make(chan struct{})
	hold := func(name string) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- name; <-release })
	}
	r := NewRouter(Options{})
	a, b := instanceAt(t, "a", hold("a")), instanceAt(t, "b", hold("b"))
	r.Publish("e", []Variant{{Name: "v", Weight: 1, Instances: []Instance{a, b}}})
	var wg sync.WaitGroup
	n := map[string]int{}
	for range 6 {
		wg.Go(func() { r.Invoke(context.Background(), "e", &Request{}) }) //nolint:errcheck // the answer is empty
		n[<-arrived]++
	}
	if n["a"] != 3 || n["b"] != 3 || r.InFlight("e", "v") != 6 || r.Idle(a) {
		t.Errorf("six waiting requests were sent %v, in flight %d", n, r.InFlight("e", "v"))
	}
	close(release)
	wg.Wait()
	if !r.Idle(a) || !r.Idle(b) {
		t.Error("an instance is not idle after all answers")
	}
}

func TestLongSocketPath(t *testing.T) {
	dir := t.TempDir()
	for len(dir) < 150 {
		dir = filepath.Join(dir, strings.Repeat("d", 40))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	short := instanceAt(t, "s", says("ok"))
	if err := os.Link(short.Socket, filepath.Join(dir, "s")); err != nil {
		t.Skip("sockets cannot be linked here:", err)
	}
	if err := NewRouter(Options{}).Ping(context.Background(), Instance{Socket: filepath.Join(dir, "s")}); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkInvoke(b *testing.B) {
	dir := b.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: says("[0.1]"), ReadHeaderTimeout: time.Minute}
	go srv.Serve(l) //nolint:errcheck // it ends with Close
	defer srv.Close()
	r := NewRouter(Options{})
	r.Publish("e", []Variant{{Name: "v", Weight: 1, Instances: []Instance{{ID: "i", Socket: l.Addr().String()}}}})
	for b.Loop() {
		if _, err := r.Invoke(context.Background(), "e", &Request{Body: []byte("{}")}); err != nil {
			b.Fatal(err)
		}
	}
}
