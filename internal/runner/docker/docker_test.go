//go:build linux

package docker_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/docker"
	"github.com/musher/musher/internal/runner/runnertest"
)

func options(t *testing.T) docker.Options {
	e := withEngine(t)
	return docker.Options{
		Init: []string{e.program, "container-init"}, Host: e.host, Image: image,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func open(t *testing.T, dir string, o docker.Options) *docker.Runner {
	t.Helper()
	r, err := docker.New(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { clear(t, r) })
	return r
}

// clear ends all work and leaves no container behind.
func clear(t *testing.T, r *docker.Runner) {
	ctx, cancel := context.WithTimeout(context.Background(), runnertest.Patience)
	defer cancel()
	if r.StopAll(ctx, 0) != nil {
		return // it was closed: another one has the work
	}
	all, err := r.List(ctx)
	for _, s := range all {
		if err == nil {
			err = r.Remove(ctx, s.ID)
		}
	}
	if err != nil {
		t.Error(err)
	}
	r.Close()
}

func TestConformance(t *testing.T) {
	o := options(t)
	dirs := map[runner.Runner]string{}
	start := func(t *testing.T, dir string) runner.Runner {
		r := open(t, dir, o)
		dirs[r] = dir
		return r
	}
	o.Log = nil // tests come and go
	runnertest.Run(t, runnertest.Harness{
		New: func(t *testing.T) runner.Runner { return start(t, t.TempDir()) },
		Reopen: func(t *testing.T, r runner.Runner) runner.Runner {
			if err := r.(*docker.Runner).Close(); err != nil {
				t.Fatal(err)
			}
			return start(t, dirs[r])
		},
		Command: func(steps ...string) []string {
			return append([]string{"/program", runnertest.ProgramArg}, steps...)
		},
		Alive:    func(t *testing.T, mark string) bool { return alive(t, runnertest.MarkStep(mark)) },
		ExtraEnv: []string{"PATH", "HOSTNAME", "HOME"}, // the engine's
	})
}

// alive tells whether a process of this machine has the argument.
func alive(t *testing.T, arg string) bool {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), "\x00"+arg+"\x00") {
			return true
		}
	}
	return false
}

func job(t *testing.T, id string, steps ...string) runner.Spec {
	return runner.Spec{ID: id, Dir: t.TempDir(), Command: append([]string{"/program", runnertest.ProgramArg}, steps...)}
}

// run starts work and gives its end and its log.
func run(t *testing.T, r *docker.Runner, spec runner.Spec) (runner.Status, string) {
	t.Helper()
	if err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return await(t, r, spec.ID, runner.Status.Ended), logOf(t, r, spec.ID)
}

func await(t *testing.T, r *docker.Runner, id string, ok func(runner.Status) bool) runner.Status {
	t.Helper()
	for end := time.Now().Add(runnertest.Patience); ; time.Sleep(5 * time.Millisecond) {
		s, err := r.Inspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("%s stays %+v", id, s)
		}
	}
}

func logOf(t *testing.T, r *docker.Runner, id string) string {
	t.Helper()
	log, err := r.Logs(t.Context(), id, false)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	text, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
