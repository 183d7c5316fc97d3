package sdk

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/musher/musher/test/musher"
)

// python is an interpreter that has the modules of test/requirements.txt.
func python(tb testing.TB) string {
	tb.Helper()
	candidates := []string{os.Getenv("MUSHER_PYTHON"), filepath.Join(musher.Root(tb), ".venv", "bin", "python"), "python3"}
	var why []byte
	for _, p := range candidates {
		if p == "" {
			continue
		}
		out, err := exec.Command(p, "-c", "import boto3, pytest, awscli").CombinedOutput()
		if err == nil {
			return p
		}
		why = append(append(why, out...), err.Error()+"\n"...)
	}
	musher.Skip(tb, "no Python with boto3, pytest and awscli (make test puts them into .venv):\n%s", why)
	return ""
}

// run runs a program against a server and shows what it printed.
func run(t *testing.T, a musher.Access, dir string, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(a.Env(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, &out, &errs)
	}
	return out.String()
}

// writePictures lays the pictures out in class folders.
func writePictures(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for part, pictures := range map[string]map[string][]byte{"train": musher.Pictures(t, 1, 12), "validation": musher.Pictures(t, 2, 4)} {
		for name, data := range pictures {
			path := filepath.Join(dir, part, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestBoto3 runs the tests in py/ on a server of their own.
func TestBoto3(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	srv := musher.New(t, musher.WithFlags("--fetch-from", "127.0.0.0/8"))
	pictures := writePictures(t)
	out := run(t, srv.Access, filepath.Join(musher.Root(t), "test", "sdk", "py"), []string{"PICTURES=" + pictures, "PYTHONDONTWRITEBYTECODE=1"},
		interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", ".")
	t.Log(out)
}
