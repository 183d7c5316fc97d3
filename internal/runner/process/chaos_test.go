//go:build linux

package process_test

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"math/big"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/process"
	"github.com/musher/musher/internal/runner/runnertest"
)

// crash runs a server process and kills it when ready returns. It gives the
// ids that the server was told are accepted.
func crash(t *testing.T, c serverConfig, ready func()) []string {
	t.Helper()
	cmd := serverCommand(t, executable(t), c)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		ready()
		_ = cmd.Process.Kill()
	}()
	var accepted []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		accepted = append(accepted, lines.Text())
	}
	_ = cmd.Wait() // it was killed
	return accepted
}

// exists waits until all the files do.
func exists(files ...string) func() {
	return func() {
		end := time.Now().Add(runnertest.Patience)
		for _, f := range files {
			for _, err := os.Stat(f); err != nil && time.Now().Before(end); _, err = os.Stat(f) {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

func TestServerKilledWhileWorkRuns(t *testing.T) {
	dir := t.TempDir()
	c := serverConfig{Dir: dir, Jobs: []runner.Spec{
		job(t, "short", "out begin", "sleep 400ms", "out end", "exit 3"),
		job(t, "long", "trap 4", "out ready", runnertest.LongSleep),
	}}
	crash(t, c, exists(dir+"/work/short/running.json", dir+"/work/long/running.json"))

	changes := make(chan string, 16)
	o := options(t)
	o.OnChange = func(id string) { changes <- id }
	r := open(t, dir, o)
	await(t, r, "long", "ready", func(runner.Status) bool { return strings.Contains(logOf(t, r, "long"), "ready") })
	if s := awaitEnd(t, r, "short"); s.ExitCode != 3 || logOf(t, r, "short") != "begin\nend\n" {
		t.Errorf("short: %+v, log %q", s, logOf(t, r, "short"))
	}
	if err := r.Stop(t.Context(), "long", runnertest.Patience); err != nil {
		t.Fatal(err)
	}
	if s := awaitEnd(t, r, "long"); s.ExitCode != 4 || !s.StopAsked {
		t.Errorf("long: %+v", s)
	}
	for told := range changes {
		if told == "long" {
			break
		}
	}
}

// Kills a server again and again while it starts work, and checks that what it
// acknowledged is there and that nothing ran twice.
func TestServerKilledAtAnyPoint(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range 8 {
		c := serverConfig{Dir: dir}
		for i := range 12 {
			c.Jobs = append(c.Jobs, job(t, fmt.Sprintf("job-%d-%d", round, i), "out once"))
		}
		after, err := rand.Int(rand.Reader, big.NewInt(int64(150*time.Millisecond)))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range crash(t, c, func() { time.Sleep(time.Duration(after.Int64())) }) {
			acknowledged[id] = true
		}
	}
	r := open(t, dir, options(t))
	known, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d acknowledged, %d known", len(acknowledged), len(known))
	for _, s := range known {
		delete(acknowledged, s.ID)
		if end := awaitEnd(t, r, s.ID); end.Phase != runner.Exited || end.ExitCode != 0 {
			t.Errorf("ended badly: %+v", end)
		}
		if log := logOf(t, r, s.ID); log != "once\n" {
			t.Errorf("%s: log %q", s.ID, log)
		}
	}
	for id := range acknowledged {
		t.Errorf("%s was acknowledged and is gone", id)
	}
}

func TestSupervisorKilled(t *testing.T) {
	tests := []struct {
		name         string
		noNamespaces bool
		serverDown   bool
	}{
		{"namespaces, server up", false, false},
		{"namespaces, server down", false, true},
		{"landlock only, server up", true, false},
		{"landlock only, server down", true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, mark := t.TempDir(), rand.Text()
			o := options(t)
			o.NoNamespaces = test.noNamespaces
			r := open(t, dir, o)
			steps := []string{"spawn " + mark, runnertest.LongSleep}
			if test.noNamespaces {
				steps = steps[1:] // without a pid namespace, a daemon survives its supervisor: doc.go
			}
			start(t, r, job(t, "job", steps...))
			before := awaitRunning(t, r, "job")
			if !test.noNamespaces {
				await(t, r, "job", "spawned", func(runner.Status) bool { return logOf(t, r, "job") == "spawned\n" })
			}
			if test.serverDown {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := syscall.Kill(supervisorOf(t, dir, "job"), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if test.serverDown {
				r = open(t, dir, o)
			}
			s := awaitEnd(t, r, "job")
			if s.Phase != runner.Exited || s.ExitCode != 137 || !strings.Contains(s.Reason, "supervisor") || s.PID != before.PID {
				t.Errorf("status: %+v", s)
			}
			gone(t, fmt.Sprint(before.PID))
			if left := commandLines(runnertest.MarkStep(mark)); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// gone waits until the process is.
func gone(t *testing.T, pid string) {
	t.Helper()
	for end := time.Now().Add(runnertest.Patience); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil || len(b) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %s still runs: %q", pid, b)
		}
	}
}

func TestOrphanIsStopped(t *testing.T) {
	dir := t.TempDir()
	c := serverConfig{Dir: dir, OrphanGrace: 200 * time.Millisecond, Jobs: []runner.Spec{
		job(t, "job", "trap 0", "out ready", runnertest.LongSleep),
	}}
	crash(t, c, exists(dir+"/work/job/running.json"))
	exists(dir + "/work/job/status.json")()
	r := open(t, dir, options(t))
	if s := awaitEnd(t, r, "job"); !strings.HasPrefix(s.Reason, "orphaned") || s.StopAsked {
		t.Errorf("status: %+v", s)
	}
}

func TestWorkWithAServerIsNoOrphan(t *testing.T) {
	o := options(t)
	o.OrphanGrace = 20 * time.Millisecond
	r := open(t, t.TempDir(), o)
	start(t, r, job(t, "job", "sleep 500ms", "exit 1"))
	if s := awaitEnd(t, r, "job"); s.ExitCode != 1 || s.Reason != "" {
		t.Errorf("status: %+v", s)
	}
}

func TestFolderIsOpenOnce(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, options(t))
	if second, err := process.New(dir, options(t)); err == nil {
		second.Close()
		t.Error("opened twice")
	}
}

func TestTwoRunnersInOneProcess(t *testing.T) {
	a, b := open(t, t.TempDir(), options(t)), open(t, t.TempDir(), options(t))
	start(t, a, job(t, "job", "exit 1"))
	start(t, b, job(t, "job", "exit 2"))
	if sa, sb := awaitEnd(t, a, "job"), awaitEnd(t, b, "job"); sa.ExitCode != 1 || sb.ExitCode != 2 {
		t.Errorf("got %+v and %+v", sa, sb)
	}
}

func TestSupervisorThatCannotStart(t *testing.T) {
	for name, supervisor := range map[string][]string{
		"missing": {"/no/such/supervisor"},
		"failing": {"/bin/sh", "-c", "echo no luck >&2; exit 3"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.Supervisor = supervisor
			r := open(t, t.TempDir(), o)
			start(t, r, job(t, "job"))
			s := awaitEnd(t, r, "job")
			if s.Phase != runner.Exited || s.ExitCode != 126 || !strings.Contains(s.Reason, "supervisor") {
				t.Errorf("status: %+v", s)
			}
			if name == "failing" && !strings.Contains(s.Reason, "no luck") {
				t.Errorf("reason %q does not hold what the supervisor said", s.Reason)
			}
		})
	}
}

func TestLogLimit(t *testing.T) {
	o := options(t)
	o.LogLimit = 1000
	r := open(t, t.TempDir(), o)
	start(t, r, job(t, "job", "flood 100000", "exit 0"))
	if s := awaitEnd(t, r, "job"); s.ExitCode != 0 {
		t.Errorf("status: %+v", s)
	}
	log := logOf(t, r, "job")
	if len(log) < 1000 || len(log) > 1100 || !strings.Contains(log, "limit reached") {
		t.Errorf("log of %d bytes ends with %q", len(log), log[max(0, len(log)-80):])
	}
}

func TestLogPath(t *testing.T) {
	r := open(t, t.TempDir(), options(t))
	spec := job(t, "job", "out hello")
	spec.LogPath = spec.Dir + "/log"
	start(t, r, spec)
	awaitEnd(t, r, "job")
	b, err := os.ReadFile(spec.LogPath)
	if err != nil || string(b) != "hello\n" || logOf(t, r, "job") != "hello\n" {
		t.Errorf("log %q: %v", b, err)
	}
	if err := r.Remove(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(spec.LogPath); err != nil {
		t.Errorf("log after Remove: %v", err)
	}
}

func TestOutOfMemory(t *testing.T) {
	r := open(t, t.TempDir(), options(t))
	greedy, modest := probeJob(t, "greedy", "grow 200"), probeJob(t, "modest", "grow 20")
	greedy.Memory, modest.Memory = 100<<20, 100<<20
	start(t, r, greedy)
	start(t, r, modest)
	if s := awaitEnd(t, r, "greedy"); s.Signal != "SIGKILL" || !strings.Contains(s.Reason, "out of memory") {
		t.Errorf("greedy: %+v", s)
	}
	if s := awaitEnd(t, r, "modest"); s.ExitCode != 0 || s.PeakMemory < 20<<20 || s.PeakMemory > 100<<20 {
		t.Errorf("modest: %+v", s)
	}
}

func TestGPUsThatAreNotThere(t *testing.T) {
	r := open(t, t.TempDir(), options(t))
	spec := job(t, "job")
	spec.GPUs = 1000
	start(t, r, spec)
	if s := awaitEnd(t, r, "job"); s.Phase != runner.Exited || s.ExitCode == 0 || !strings.Contains(s.Reason, "1000 GPUs") {
		t.Errorf("status: %+v", s)
	}
}

func TestCPUs(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("one CPU: nothing to limit")
	}
	r := open(t, t.TempDir(), options(t))
	for cores, want := range map[float64]int{0: runtime.NumCPU(), 0.5: 1, 1: 1, 1000: runtime.NumCPU()} {
		spec := probeJob(t, fmt.Sprintf("job-%g", cores), "cpus ")
		spec.CPU = cores
		if got := outcomes(t, r, spec); got["cpus "] != fmt.Sprint(want) {
			t.Errorf("%g cores: %v", cores, got)
		}
	}
}
