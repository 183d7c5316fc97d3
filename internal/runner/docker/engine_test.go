//go:build linux

package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner/runnertest"
)

// image holds the program of the tests and nothing else.
const image = "musher-test:1"

// testEngine is a Docker engine of the tests' own.
type testEngine struct {
	host    string // unix://PATH
	program string // the path of testdata/program, on this machine
	dir     string
	daemon  *exec.Cmd
	log     *os.File
	why     string // it can't be had
}

// shared is started by the first test that needs it and ended by TestMain.
var shared = sync.OnceValue(startEngine)

func TestMain(m *testing.M) {
	code := m.Run()
	if started.daemon != nil {
		started.end()
	}
	os.Exit(code)
}

// started is what shared began with, for TestMain to end.
var started testEngine

// withEngine gives the engine, or skips the test where there is none to be had.
func withEngine(t *testing.T) *testEngine {
	t.Helper()
	e := shared()
	if e.why != "" {
		t.Skip(e.why)
	}
	return e
}

func startEngine() *testEngine {
	e := &started
	if os.Geteuid() != 0 {
		e.why = "only root can start a Docker engine"
		return e
	}
	for _, program := range []string{"dockerd", "containerd", "runc", "docker-init"} {
		if _, err := exec.LookPath(program); err != nil {
			e.why = "no Docker engine is installed here: " + err.Error()
			return e
		}
	}
	if err := e.start(); err != nil {
		text, _ := os.ReadFile(filepath.Join(e.dir, "log")) // there may be none
		e.why = fmt.Sprintf("no Docker engine can run here: %v\n%s", err, text)
	}
	return e
}

func (e *testEngine) start() (err error) {
	if e.dir, err = os.MkdirTemp("", "musher-docker-"); err != nil {
		return err
	}
	e.program = filepath.Join(e.dir, "program")
	build := exec.Command("go", "build", "-o", e.program, "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	e.host = "unix://" + filepath.Join(e.dir, "socket")
	if e.log, err = os.Create(filepath.Join(e.dir, "log")); err != nil {
		return err
	}
	if err := e.launch(); err != nil {
		return err
	}
	return e.load()
}

// launch starts the daemon and waits until it answers.
func (e *testEngine) launch() error {
	e.daemon = exec.Command("dockerd", "--data-root", e.dir+"/data", "--exec-root", e.dir+"/exec", "-p", e.dir+"/pid",
		"-H", e.host, "--exec-opt", "native.cgroupdriver=cgroupfs", "--bridge", "none", "--iptables=false", "--ip6tables=false")
	e.daemon.Stdout, e.daemon.Stderr = e.log, e.log
	e.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := e.daemon.Start(); err != nil {
		return err
	}
	for end := time.Now().Add(runnertest.Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := e.ask(http.MethodGet, "/_ping", nil); err == nil {
			return nil
		}
	}
	return fmt.Errorf("it does not answer")
}

func (e *testEngine) ask(method, path string, body []byte) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(e.dir, "socket"))
		},
	}}
	req, err := http.NewRequest(method, "http://docker"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s: %s", resp.Status, text.String())
	}
	return resp, nil
}

// load makes the image out of the program.
func (e *testEngine) load() error {
	binary, err := os.ReadFile(e.program)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return err
	}
	if _, err := w.Write(binary); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err = e.ask(http.MethodPost, "/images/create?fromSrc=-&repo=musher-test&tag=1", layer.Bytes())
	return err
}

// restart ends the daemon, which ends its containers, and starts another one.
func (e *testEngine) restart() error {
	if err := e.daemon.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := e.daemon.Wait(); err != nil {
		return err
	}
	return e.launch()
}

// removeAll removes all containers, as a user who cleans up does.
func (e *testEngine) removeAll(t *testing.T) {
	t.Helper()
	names, err := filepath.Glob(e.dir + "/data/containers/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := e.ask(http.MethodDelete, "/containers/"+filepath.Base(name)+"?force=1", nil); err != nil {
			t.Fatal(err)
		}
	}
}

// end ends the engine and all that it runs.
func (e *testEngine) end() {
	_ = e.daemon.Process.Signal(syscall.SIGTERM)
	_ = e.daemon.Wait() // it ends its containers and its containerd
	e.log.Close()
	_ = syscall.Unmount(e.dir+"/exec/netns/default", syscall.MNT_DETACH) // which it leaves behind
	if err := os.RemoveAll(e.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
