//go:build linux

package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/process"
	"github.com/musher/musher/internal/runner/runnertest"
)

// TestMain makes the test binary all the programs that the tests need: the
// supervisor, the work, and a server that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(process.Supervise(os.Args[3]))
		case runnertest.ProgramArg:
			os.Exit(runnertest.Program(os.Args[2:]))
		case serverArg:
			os.Exit(serve(os.Args[2:]))
		case probeArg:
			os.Exit(probe(os.Args[2:]))
		}
	}
	code := m.Run()
	if left := leftovers(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "processes left over after the tests:\n%s\n", strings.Join(left, "\n"))
		code = 1
	}
	os.Exit(code)
}

func executable(t testing.TB) string {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func options(t testing.TB) process.Options {
	return process.Options{Supervisor: []string{executable(t), "supervise"}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func open(t testing.TB, dir string, o process.Options) *process.Runner {
	t.Helper()
	r, err := process.New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopAndClose(t, r) })
	return r
}

// stopAndClose ends all work, unless the runner was closed before.
func stopAndClose(t testing.TB, r *process.Runner) {
	ctx, cancel := context.WithTimeout(context.Background(), runnertest.Patience)
	defer cancel()
	err := r.StopAll(ctx, 0)
	if errors.Is(err, process.ErrClosed) {
		return
	}
	if err := errors.Join(err, r.Close()); err != nil {
		t.Error(err)
	}
}

func TestConformance(t *testing.T) {
	for name, noNamespaces := range map[string]bool{"namespaces": false, "landlock only": true} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.NoNamespaces = noNamespaces
			runnertest.Run(t, harness(t, o))
		})
	}
}

func harness(t *testing.T, o process.Options) runnertest.Harness {
	dirs := map[runner.Runner]string{}
	exe := executable(t)
	start := func(t *testing.T, dir string) runner.Runner {
		o := o
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
		r := open(t, dir, o)
		dirs[r] = dir
		return r
	}
	return runnertest.Harness{
		New: func(t *testing.T) runner.Runner { return start(t, t.TempDir()) },
		Reopen: func(t *testing.T, r runner.Runner) runner.Runner {
			if err := r.(*process.Runner).Close(); err != nil {
				t.Fatal(err)
			}
			return start(t, dirs[r])
		},
		Command: func(steps ...string) []string {
			return append([]string{exe, runnertest.ProgramArg}, steps...)
		},
		Alive: func(t *testing.T, mark string) bool {
			return len(commandLines(runnertest.MarkStep(mark))) > 0
		},
		ExtraEnv: []string{"TMPDIR"},
	}
}

// commandLines gives the command lines of the machine's processes that have
// part in them. Ended processes have none.
func commandLines(part string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		line := string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
		if err == nil && strings.Contains(line, part) {
			found = append(found, filepath.Base(filepath.Dir(f))+": "+line)
		}
	}
	return found
}

// leftovers gives processes of this test binary but ourselves. Supervisors
// need a moment to end after they have written how their work ended.
func leftovers() []string {
	exe, err := os.Executable()
	if err != nil {
		return []string{err.Error()}
	}
	self := fmt.Sprint(os.Getpid(), ": ")
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := slices.DeleteFunc(commandLines(exe), func(line string) bool { return strings.HasPrefix(line, self) })
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// TestStopAllLeavesNoProcess: supervisors, too, are gone when StopAll returns.
func TestStopAllLeavesNoProcess(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, options(t))
	for round := range 3 {
		for i := range 4 {
			start(t, r, job(t, fmt.Sprintf("w%d-%d", round, i), "sleep 1m"))
		}
		time.Sleep(time.Duration(round) * 10 * time.Millisecond) // some not yet begun, some in the middle
		if err := r.StopAll(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if left := commandLines(dir); len(left) > 0 {
			t.Fatalf("round %d leaves %v", round, left)
		}
	}
}
