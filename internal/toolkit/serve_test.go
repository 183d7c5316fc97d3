package toolkit

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musher/musher/internal/runtimes"
)

// TestServeParts runs the checks of the model server's parts.
func TestServeParts(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(interpreter(t), "testdata/serve_checks.py", ".")
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func interpreter(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	return path
}

// served is a model server that runs, in dir.
type served struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	client *http.Client
}

// serveScript starts a server of two workers and waits until it is healthy.
func serveScript(t *testing.T, script string) *served {
	t.Helper()
	rt := runtimes.Runtime{Name: "base", Python: interpreter(t), Bin: "/usr/bin"}
	dir, err := os.MkdirTemp("", "serve-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	tools, err := Install(filepath.Join(dir, "tools"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "model", "code"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model", "code", "inference.py"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	c := Server(rt, tools, Serving{Model: filepath.Join(dir, "model"), Socket: socket, Workers: 2, Loading: time.Minute})
	s := &served{t: t, dir: dir, cmd: exec.Command(c.Argv[0], c.Argv[1:]...)}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, t.Output(), t.Output()
	for name, value := range c.Env {
		s.cmd.Env = append(s.cmd.Env, name+"="+value)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
		s.cmd.Wait()                          //nolint:errcheck // as above
	})
	s.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	s.eventually("the server is healthy", func() bool { return s.ping() == http.StatusOK })
	return s
}

func (s *served) eventually(what string, is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("still not: %s", what)
		}
	}
}

// ping is the status of /ping, 0 where nobody answers.
func (s *served) ping() int {
	res, err := s.client.Get("http://model/ping")
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body) //nolint:errcheck // so that the connection is kept
	return res.StatusCode
}

// ask returns the status, 0 for none, and the answer.
func (s *served) ask(body string) (int, string, http.Header) {
	res, err := s.client.Post("http://model/invocations", "text/csv", strings.NewReader(body))
	if err != nil {
		return 0, err.Error(), nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return res.StatusCode, string(text), res.Header
}

func (s *served) touch(name string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *served) has(name string) bool {
	_, err := os.Stat(filepath.Join(s.dir, name))
	return err == nil
}

// wayward waits, dies or does not load, as files in its folder say.
const wayward = `
import os, time
def model_fn(model_dir):
    if os.path.exists("broken"):
        raise RuntimeError("broken weights")
def transform_fn(model, body, content_type, accept):
    if body == "die":
        os._exit(1)
    if body.startswith("wait"):
        open(body + ".here", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.005)
    return body * (1 << 20 if body == "big" else 1)
`

// TestServerDrains: SIGTERM lets what is here be answered, and nothing else in.
func TestServerDrains(t *testing.T) {
	t.Parallel()
	s := serveScript(t, wayward)
	answers := make(chan int, 3)
	for _, body := range []string{"wait1", "wait2"} {
		go func() {
			status, _, _ := s.ask(body)
			answers <- status
		}()
	}
	s.eventually("both workers are busy", func() bool { return s.has("wait1.here") && s.has("wait2.here") })
	if status := s.ping(); status != http.StatusOK {
		t.Errorf("while the workers are busy /ping answers %d", status)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.client.CloseIdleConnections()
	s.eventually("no connection is taken", func() bool { return s.ping() == 0 })
	s.touch("go")
	for range 2 {
		if status := <-answers; status != http.StatusOK {
			t.Errorf("a request that was under way got %d", status)
		}
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// TestServerNotReady: when no worker can load the model any more, requests are
// told so at once, and served again when it can be loaded.
func TestServerNotReady(t *testing.T) {
	t.Parallel()
	s := serveScript(t, wayward)
	if status, text, _ := s.ask("big"); status != http.StatusOK || len(text) != 3<<20 {
		t.Errorf("a large answer is %d, %d bytes", status, len(text))
	}
	s.touch("broken")
	for range 2 {
		if status, text, _ := s.ask("die"); status != http.StatusInternalServerError || !strings.Contains(text, "exit code 1") {
			t.Errorf("the worker's death is %d: %s", status, text)
		}
	}
	s.eventually("requests are refused", func() bool {
		status, _, head := s.ask("x")
		return status == http.StatusTooManyRequests && head.Get("Musher-Not-Ready") != ""
	})
	if status := s.ping(); status != http.StatusServiceUnavailable {
		t.Errorf("/ping answers %d", status)
	}
	if err := os.Remove(filepath.Join(s.dir, "broken")); err != nil {
		t.Fatal(err)
	}
	s.eventually("requests are answered again", func() bool {
		status, text, _ := s.ask("x")
		return status == http.StatusOK && text == "x"
	})
}
