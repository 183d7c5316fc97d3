package musher

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/fake"
	"github.com/musher/musher/internal/server"
	service "github.com/musher/musher/internal/svc/sagemaker"
)

// Local is a server in the test's own process. Its jobs and instances are
// functions.
type Local struct {
	Access
	Runner *fake.Runner

	tb     testing.TB
	opts   server.Options
	log    *os.File
	cancel context.CancelFunc
	ended  chan error
}

// Doings say what the work of a Local does; absent ones are [Trainer] and
// [ModelServer].
type Doings struct {
	Training func(job FakeJob) int // exit code
	Instance func(ctx context.Context, socket string, model string) int
	// Behave, if it says yes, decides of a piece of work alone.
	Behave func(spec runner.Spec) (fake.Behaviour, bool)
	// Wrap puts something between the server and its runner.
	Wrap func(runner.Runner) runner.Runner
	// Options changes how the server is opened.
	Options func(*server.Options)
}

// InProcess starts a server in this process.
func InProcess(tb testing.TB, doings ...Doings) *Local {
	tb.Helper()
	var does Doings
	if len(doings) > 0 {
		does = doings[0]
	}
	dir, err := os.MkdirTemp("", "musher-test-")
	if err != nil {
		tb.Fatal(err)
	}
	l := &Local{tb: tb}
	tb.Cleanup(func() { l.cleanUp(dir) })
	if l.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		tb.Fatal(err)
	}
	l.opts = server.Options{
		Data: filepath.Join(dir, "data"), Cache: filepath.Join(dir, "cache"), Listen: "127.0.0.1:0",
		Self: []string{"musher"}, Provider: nothing{}, Log: slog.New(slog.NewTextHandler(l.log, nil)),
		Runner: func(changed func(string)) (runner.Runner, error) {
			o := fake.Options{OnChange: changed, Behave: does.behave}
			if l.Runner == nil {
				l.Runner = fake.New(o)
			} else {
				l.Runner = l.Runner.Reopen(o)
			}
			if does.Wrap != nil {
				return does.Wrap(keepOpen{l.Runner}), nil
			}
			return keepOpen{l.Runner}, nil
		},
	}
	if does.Options != nil {
		does.Options(&l.opts)
	}
	l.Start()
	return l
}

// keepOpen hides the fake's Close and StopAll: a Local that stops leaves its
// work running, as a crash would, for the next one to adopt.
type keepOpen struct{ runner.Runner }

// nothing is a provider for work that loads nothing.
type nothing struct{}

func (nothing) Training(context.Context, map[string]string) (service.Provision, error) {
	return service.Provision{}, nil
}
func (nothing) Serving(context.Context) (service.Provision, error) { return service.Provision{}, nil }

// Start opens the server and serves.
func (l *Local) Start() {
	l.tb.Helper()
	s, err := server.Open(context.Background(), l.opts)
	if err != nil {
		l.tb.Fatal(err)
	}
	key, secret := s.RootKey()
	l.Access = Access{Endpoint: s.Endpoint(), KeyID: key, Secret: secret}
	l.opts.Listen = strings.TrimPrefix(s.Endpoint(), "http://") // the next start is for the same clients
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.ended = cancel, make(chan error, 1)
	go func() { l.ended <- s.Serve(ctx) }()
}

// Stop ends the server, and leaves its work running.
func (l *Local) Stop() {
	l.tb.Helper()
	if l.cancel == nil {
		return
	}
	l.cancel()
	l.cancel = nil
	select {
	case err := <-l.ended:
		if err != nil {
			l.tb.Errorf("the server ended with %v", err)
		}
	case <-time.After(generous):
		l.tb.Fatal("the server does not end")
	}
}

func (l *Local) cleanUp(dir string) {
	l.Stop()
	if l.Runner != nil {
		l.Runner.Close() //nolint:errcheck // it gives none
	}
	if l.log != nil {
		if text, err := os.ReadFile(l.log.Name()); err == nil && l.tb.Failed() {
			l.tb.Logf("log of the server, its end:\n%s", tail(interesting(string(text)), 40))
		}
		l.log.Close()
	}
	if err := os.RemoveAll(dir); err != nil {
		l.tb.Error(err)
	}
}

func (d Doings) behave(spec runner.Spec) fake.Behaviour {
	if d.Behave != nil {
		if b, ok := d.Behave(spec); ok {
			return b
		}
	}
	train, serve := d.Training, d.Instance
	if train == nil {
		train = Trainer
	}
	if serve == nil {
		serve = ModelServer
	}
	if spec.Labels["kind"] == "training" {
		return fake.Behaviour{Run: func(ctx context.Context, w *fake.Work) int {
			log, err := os.OpenFile(w.Spec.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				panic(err) // the family makes the folder
			}
			defer log.Close()
			return train(newFakeJob(ctx, w, log))
		}}
	}
	return fake.Behaviour{Run: func(ctx context.Context, _ *fake.Work) int {
		model, socket := spec.Command[len(spec.Command)-2], spec.Command[len(spec.Command)-1]
		return serve(ctx, socket, model)
	}}
}

// FakeJob is a training job as its function sees it. It prints to its log.
type FakeJob struct {
	io.Writer
	Ctx             context.Context // ends by SIGTERM
	Name            string
	Dir             string
	Hyperparameters map[string]string
	Env             map[string]string
}

func newFakeJob(ctx context.Context, w *fake.Work, log io.Writer) FakeJob {
	job := FakeJob{Writer: log, Ctx: ctx, Name: w.Spec.Labels["job"], Dir: w.Spec.Dir, Env: maps.Clone(w.Spec.Env)}
	raw, err := os.ReadFile(filepath.Join(job.Dir, "input/config/hyperparameters.json"))
	if err == nil {
		err = json.Unmarshal(raw, &job.Hyperparameters)
	}
	if err != nil {
		panic(err)
	}
	return job
}

// Fail is a job's end by its user's fault.
func (j FakeJob) Fail(why string) int {
	if err := os.WriteFile(filepath.Join(j.Dir, "output/failure"), []byte(why), 0o600); err != nil {
		panic(err)
	}
	return 1
}

// Finish writes a model, and is a good end.
func (j FakeJob) Finish(model string) int {
	if err := os.WriteFile(filepath.Join(j.Dir, "model/model.txt"), []byte(model), 0o600); err != nil {
		panic(err)
	}
	return 0
}

// Trainer prints an accuracy that is best at a learning rate of 0.3, and
// writes a model. The hyperparameter "seconds" says how long it takes; a
// SIGTERM ends it before, with the model so far.
func Trainer(j FakeJob) int {
	rate, err := strconv.ParseFloat(j.Hyperparameters["learning_rate"], 64)
	if err != nil {
		rate = 0.1
	}
	seconds, _ := strconv.ParseFloat(j.Hyperparameters["seconds"], 64) //nolint:errcheck // none is 0
	accuracy := 1 - (rate-0.3)*(rate-0.3)
	fmt.Fprintf(j, "epoch=1 train:loss=%g validation:loss=%g validation:accuracy=%g\n", 2*(1-accuracy), 1-accuracy, accuracy)
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
	case <-j.Ctx.Done():
	}
	return j.Finish(j.Name)
}

// ModelServer answers /ping, and /invocations with the model's file and how
// many requests came before.
func ModelServer(ctx context.Context, socket, model string) int {
	os.Remove(socket) //nolint:errcheck // of an earlier instance
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return 1
	}
	var served atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(filepath.Join(model, "model.txt"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"model": string(text), "before": served.Add(1) - 1}) //nolint:errcheck // the client has gone
	})
	front := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		front.Close()
	}()
	front.Serve(listener) //nolint:errcheck // closed above
	return 0
}

// Path names a file of the server's state.
func (l *Local) Path(parts ...string) string {
	return filepath.Join(append([]string{l.opts.Data}, parts...)...)
}
