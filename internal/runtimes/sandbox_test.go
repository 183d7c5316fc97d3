//go:build linux

package runtimes_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/process"
	"github.com/musher/musher/internal/runner/runnertest"
	"github.com/musher/musher/internal/runtimes"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "supervise" {
		os.Exit(process.Supervise(os.Args[3]))
	}
	os.Exit(m.Run())
}

// The machine's own interpreter, and an environment made of it, run as work:
// each finds its modules, and nothing of the folder around it is to be seen.
func TestInSandbox(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	project := t.TempDir()
	env := filepath.Join(project, "env")
	if out, err := exec.Command(python, "-m", "venv", "--without-pip", env).CombinedOutput(); err != nil {
		t.Skipf("this python3 makes no environments: %s", out)
	}
	secret := filepath.Join(project, "secret")
	module := filepath.Join(env, "lib", "mine", "only_here.py")
	for path, text := range map[string]string{secret: "s", module: "", filepath.Join(env, "secret"): "s"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sites, err := filepath.Glob(filepath.Join(env, "lib/python*/site-packages"))
	if err != nil || len(sites) != 1 {
		t.Fatal(sites, err)
	}
	if err := os.WriteFile(filepath.Join(sites[0], "mine.pth"), []byte(filepath.Dir(module)), 0o644); err != nil {
		t.Fatal(err)
	}
	store, err := runtimes.Open(t.TempDir(), runtimes.Options{Cache: t.TempDir(), Search: []string{filepath.Dir(python)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Add(t.Context(), "mine", filepath.Join(env, "bin/python")); err != nil {
		t.Fatal(err)
	}
	for _, namespaces := range []bool{true, false} {
		for image, script := range map[string]string{
			"python:3": "import json, ssl, sqlite3, sys; print(sys.executable)",
			"mine":     "import json, ssl, only_here, sys; print(sys.executable)",
		} {
			rt, err := store.Resolve(image)
			if err != nil {
				t.Fatal(err)
			}
			script += "\nfor path in sys.argv[1:]:\n  try: open(path); print('can read', path)\n  except OSError: pass"
			got := work(t, namespaces, rt, "-c", script, secret, filepath.Join(env, "secret"))
			if strings.TrimSpace(got) != rt.Python {
				t.Errorf("%s, namespaces %v: %q, want %s alone", image, namespaces, got, rt.Python)
			}
		}
	}
}

// work runs python3 of the runtime's Bin and returns what it prints.
func work(t *testing.T, namespaces bool, rt runtimes.Runtime, args ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := process.New(t.TempDir(), process.Options{Supervisor: []string{self, "supervise"}, NoNamespaces: !namespaces})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec := runner.Spec{
		ID: "work", Command: append([]string{"python3"}, args...), Dir: t.TempDir(), Mounts: rt.Mounts,
		Env: map[string]string{"PATH": rt.Bin + ":/usr/bin:/bin"},
	}
	for name, value := range rt.Env {
		spec.Env[name] = value
	}
	if err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(runnertest.Patience); ; time.Sleep(5 * time.Millisecond) {
		st, err := r.Inspect(t.Context(), "work")
		if err != nil || time.Now().After(end) {
			t.Fatal(st, err)
		}
		if st.Ended() {
			break
		}
	}
	log, err := r.Logs(t.Context(), "work", false)
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
