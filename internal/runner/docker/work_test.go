//go:build linux

package docker_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/docker"
	"github.com/musher/musher/internal/runner/runnertest"
)

func TestImageThatIsNotHere(t *testing.T) {
	for name, o := range map[string]struct {
		pull bool
		want string
	}{
		"never fetched": {false, "docker pull nowhere.invalid/team/net:7"},
		"fetched":       {true, "nowhere.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			options := options(t)
			options.Pull = o.pull
			r := open(t, t.TempDir(), options)
			spec := job(t, "job", "out never")
			spec.Image = "nowhere.invalid/team/net:7"
			s, log := run(t, r, spec)
			if s.Phase != runner.Exited || s.ExitCode != 126 || !strings.Contains(s.Reason, o.want) || log != "" {
				t.Errorf("status %+v, log %q", s, log)
			}
		})
	}
}

func TestNoImage(t *testing.T) {
	o := options(t)
	o.Image = ""
	r := open(t, t.TempDir(), o)
	if s, _ := run(t, r, job(t, "job")); s.ExitCode != 126 || !strings.Contains(s.Reason, "no image") {
		t.Errorf("status %+v", s)
	}
}

func TestOutOfMemory(t *testing.T) {
	r := open(t, t.TempDir(), options(t))
	greedy, modest := job(t, "greedy", "grow 200"), job(t, "modest", "grow 20")
	greedy.Memory, modest.Memory = 100<<20, 100<<20
	if s, _ := run(t, r, greedy); s.Signal != "SIGKILL" || !strings.Contains(s.Reason, "out of memory") {
		t.Errorf("greedy: %+v", s)
	}
	if s, _ := run(t, r, modest); s.ExitCode != 0 || s.PeakMemory < 20<<20 || s.PeakMemory > 100<<20 {
		t.Errorf("modest: %+v", s)
	}
}

func TestGPUsThatAreNotThere(t *testing.T) {
	r := open(t, t.TempDir(), options(t))
	spec := job(t, "job")
	spec.GPUs = 1000
	if s, _ := run(t, r, spec); s.ExitCode != 126 || !strings.Contains(s.Reason, "1000 GPUs") {
		t.Errorf("status %+v", s)
	}
}

func TestMounts(t *testing.T) {
	r := open(t, t.TempDir(), options(t))
	input, model := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(input, "data"), []byte("photos"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := job(t, "job", "read /opt/ml/input/data", "write /opt/ml/input/data", "write /opt/ml/model/result", "write result", "read "+input+"/data")
	spec.Mounts = []runner.Mount{
		{Source: t.TempDir(), Target: "/opt/ml/input"}, // the last of a target counts
		{Source: input, Target: "/opt/ml/input/", ReadOnly: true},
		{Source: model, Target: "/opt/ml/model"},
	}
	s, log := run(t, r, spec)
	if s.ExitCode != 0 || log != "photos\nfailed\nwritten\nwritten\nfailed\n" {
		t.Errorf("status %+v, log %q", s, log)
	}
	for _, path := range []string{filepath.Join(model, "result"), filepath.Join(spec.Dir, "result")} {
		if b, err := os.ReadFile(path); err != nil || string(b) != "written" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
}

func TestLogPath(t *testing.T) {
	r := open(t, t.TempDir(), options(t))
	spec := job(t, "job", "out hello")
	spec.LogPath = filepath.Join(t.TempDir(), "logs", "of-job")
	if s, log := run(t, r, spec); s.ExitCode != 0 || log != "hello\n" {
		t.Errorf("status %+v, log %q", s, log)
	}
	if err := r.Remove(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(spec.LogPath); err != nil || string(b) != "hello\n" {
		t.Errorf("log after Remove: %q, %v", b, err)
	}
}

func TestLogLimit(t *testing.T) {
	o := options(t)
	o.LogLimit = 1000
	r := open(t, t.TempDir(), o)
	s, log := run(t, r, job(t, "job", "flood 100000"))
	if s.ExitCode != 0 || len(log) < 1000 || len(log) > 1100 || !strings.Contains(log, "limit reached") {
		t.Errorf("status %+v, log of %d bytes", s, len(log))
	}
}

// containers gives the names of the containers that the engine has.
func containers(t *testing.T) []string {
	t.Helper()
	e := withEngine(t)
	names, err := filepath.Glob(e.dir + "/data/containers/*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestContainerThatIsGone(t *testing.T) {
	dir, o := t.TempDir(), options(t)
	r := open(t, dir, o)
	spec := job(t, "job", runnertest.LongSleep)
	if err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	await(t, r, "job", func(s runner.Status) bool { return s.Phase == runner.Running })
	withEngine(t).removeAll(t)
	if s := await(t, r, "job", runner.Status.Ended); s.Phase != runner.Lost && s.Signal != "SIGKILL" || s.Reason == "" {
		t.Errorf("status %+v", s)
	}
	r.Close()

	// The same while no server looks.
	r = open(t, dir, o)
	if err := r.Start(t.Context(), job(t, "unseen", runnertest.LongSleep)); err != nil {
		t.Fatal(err)
	}
	await(t, r, "unseen", func(s runner.Status) bool { return s.Phase == runner.Running })
	r.Close()
	withEngine(t).removeAll(t)
	r = open(t, dir, o)
	if s := await(t, r, "unseen", runner.Status.Ended); s.Phase != runner.Lost || s.Reason == "" {
		t.Errorf("status %+v", s)
	}
}

// A process that is killed from outside, with our own first process, says
// nothing of its end.
func TestKilledFromOutside(t *testing.T) {
	r := open(t, t.TempDir(), options(t))
	if err := r.Start(t.Context(), job(t, "job", "out begun", runnertest.LongSleep)); err != nil {
		t.Fatal(err)
	}
	s := await(t, r, "job", func(s runner.Status) bool { return s.Phase == runner.Running && logOf(t, r, "job") != "" })
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if s := await(t, r, "job", runner.Status.Ended); s.Signal != "SIGKILL" || s.ExitCode != 137 || !strings.Contains(s.Reason, "from outside") {
		t.Errorf("status %+v", s)
	}
}

func TestEngineRestarts(t *testing.T) {
	e := withEngine(t)
	r := open(t, t.TempDir(), options(t))
	if err := r.Start(t.Context(), job(t, "before", "trap 5", "out begun", runnertest.LongSleep)); err != nil {
		t.Fatal(err)
	}
	await(t, r, "before", func(runner.Status) bool { return logOf(t, r, "before") != "" })
	if err := e.restart(); err != nil {
		t.Fatal(err)
	}
	// Its end was told to a server that could not listen: it is found again.
	if s := await(t, r, "before", runner.Status.Ended); s.ExitCode != 5 || s.Phase != runner.Exited {
		t.Errorf("status %+v", s)
	}
	if s, log := run(t, r, job(t, "after", "out again")); s.ExitCode != 0 || log != "again\n" {
		t.Errorf("status %+v, log %q", s, log)
	}
}

func TestRemoveLeavesNoContainer(t *testing.T) {
	before := len(containers(t))
	r := open(t, t.TempDir(), options(t))
	run(t, r, job(t, "job"))
	if n := len(containers(t)); n != before+1 {
		t.Errorf("%d containers, want %d", n, before+1)
	}
	if err := r.Remove(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	if n := len(containers(t)); n != before {
		t.Errorf("%d containers left over", n-before)
	}
}

// The whole program loads libraries, and the image of the tests has none.
func TestInitWithLibraries(t *testing.T) {
	o := options(t)
	binary := filepath.Join(t.TempDir(), "musher")
	build := exec.Command("go", "build", "-o", binary, "github.com/musher/musher/cmd/musher")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	o.Init[0] = binary
	r := open(t, t.TempDir(), o)
	if s, log := run(t, r, job(t, "job", "out hello", "exit 4")); s.ExitCode != 4 || log != "hello\n" {
		t.Errorf("status %+v, log %q", s, log)
	}
}

func TestNoEngine(t *testing.T) {
	host := "unix://" + t.TempDir() + "/none"
	static := options(t).Init
	for name, c := range map[string]struct {
		o    docker.Options
		want string
	}{
		"nobody listens":  {docker.Options{Init: static, Host: host}, "no docker engine answers at " + host},
		"another machine": {docker.Options{Init: static, Host: "tcp://127.0.0.1:1"}, "only an engine of this machine"},
		"no program":      {docker.Options{Init: []string{"/etc/passwd"}, Host: host}, "bad magic number"},
		"no binary":       {docker.Options{Host: host}, "no first process"},
	} {
		if _, err := docker.New(t.Context(), t.TempDir(), c.o); err == nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
