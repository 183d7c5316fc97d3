package runnertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
)

// Harness is what the suite needs to know of an implementation.
type Harness struct {
	// New gives an empty runner, which t's cleanup closes.
	New func(t *testing.T) runner.Runner
	// Reopen gives another runner over the same work, as after a crash of the
	// server. Nil: this runner can't be opened again.
	Reopen func(t *testing.T, r runner.Runner) runner.Runner
	// Command gives the command line that carries out the steps.
	Command func(steps ...string) []string
	// Alive tells whether what "spawn MARK" started runs. Nil: there are no
	// real processes.
	Alive func(t *testing.T, mark string) bool
	// ExtraEnv names variables that the runner adds if they are not given.
	ExtraEnv []string
	// Fake says that there is no file system and no program to be missed.
	Fake bool
}

// Patience is how long the suite waits for what should come at once.
const Patience = 30 * time.Second

// LongSleep is a step that lasts longer than any test.
const LongSleep = "sleep 10m"

// Run checks that the runner does what runner.Runner promises.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		run  func(*bench)
		skip bool
	}{
		{name: "exit code", run: testExitCode},
		{name: "exits immediately", run: testExitsImmediately},
		{name: "signal", run: testSignal},
		{name: "phases", run: testPhases},
		{name: "start is idempotent", run: testIdempotentStart},
		{name: "concurrent starts of one id", run: testConcurrentStarts},
		{name: "bad specs", run: testBadSpecs},
		{name: "command not found", run: testCommandNotFound, skip: h.Fake},
		{name: "missing folder", run: testMissingFolder, skip: h.Fake},
		{name: "environment", run: testEnvironment},
		{name: "stop ends a willing command", run: testStopWilling},
		{name: "stop kills at the end of the grace", run: testStopIgnored},
		{name: "stop keeps the grace", run: testStopKeepsGrace},
		{name: "second stop shortens the grace", run: testStopShortened},
		{name: "stop right after start", run: testStopAtOnce},
		{name: "stop after the end", run: testStopAfterEnd},
		{name: "remove", run: testRemove},
		{name: "remove while running", run: testRemoveRunning},
		{name: "unknown id", run: testUnknown},
		{name: "list", run: testList},
		{name: "log order", run: testLogOrder},
		{name: "log follow", run: testLogFollow},
		{name: "log follow is closed", run: testLogFollowClosed},
		{name: "log follow is cancelled", run: testLogFollowCancelled},
		{name: "binary log", run: testLogBinary},
		{name: "huge log", run: testLogHuge},
		{name: "many at once", run: testMany},
		{name: "what is left behind dies", run: testLeftBehind, skip: h.Alive == nil},
		{name: "network", run: testNetwork, skip: h.Fake},
		{name: "no network", run: testNoNetwork, skip: h.Fake},
		{name: "adopt running work", run: testAdopt, skip: h.Reopen == nil},
		{name: "adopt ended work", run: testAdoptEnded, skip: h.Reopen == nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.skip {
				t.Skip("does not apply to this runner")
			}
			test.run(&bench{T: t, Harness: h, Runner: h.New(t)})
		})
	}
}

// bench is one test's runner with short words for what tests do.
type bench struct {
	*testing.T
	Harness
	runner.Runner
}

func (b *bench) ctx() context.Context { return b.T.Context() }

func (b *bench) spec(id string, steps ...string) runner.Spec {
	return runner.Spec{
		ID: id, Labels: map[string]string{"job": id}, Command: b.Command(steps...),
		Dir: b.TempDir(),
		Env: map[string]string{"GORACE": "atexit_sleep_ms=0"}, // else each program of a race build ends a second late
	}
}

func (b *bench) start(id string, steps ...string) {
	b.Helper()
	b.must(b.Start(b.ctx(), b.spec(id, steps...)))
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) inspect(id string) runner.Status {
	b.Helper()
	s, err := b.Inspect(b.ctx(), id)
	b.must(err)
	return s
}

// until waits until the status fulfils ok, in vain if the work ends before.
func (b *bench) until(id, what string, ok func(runner.Status) bool) runner.Status {
	b.Helper()
	for end := time.Now().Add(Patience); ; time.Sleep(time.Millisecond) {
		s := b.inspect(id)
		if ok(s) {
			return s
		}
		if s.Ended() || time.Now().After(end) {
			b.Fatalf("%s is not %s: %+v", id, what, s)
		}
	}
}

func (b *bench) ended(id string) runner.Status {
	b.Helper()
	return b.until(id, "ended", runner.Status.Ended)
}

func (b *bench) running(id string) runner.Status {
	b.Helper()
	return b.until(id, "running", func(s runner.Status) bool { return s.Phase == runner.Running })
}

// begun waits until the work runs or did: on a slow machine short work may end
// before anybody looks.
func (b *bench) begun(id string) runner.Status {
	b.Helper()
	return b.until(id, "begun", func(s runner.Status) bool { return s.Phase != runner.Starting })
}

func (b *bench) log(id string) string {
	b.Helper()
	return string(b.readLog(id, false))
}

func (b *bench) readLog(id string, follow bool) []byte {
	b.Helper()
	r, err := b.Logs(b.ctx(), id, follow)
	b.must(err)
	text, err := io.ReadAll(r)
	b.must(errors.Join(err, r.Close()))
	return text
}

// logHas waits until the log holds text: a phase is told before the output.
func (b *bench) logHas(id, text string) {
	b.Helper()
	b.until(id, "printing "+text, func(s runner.Status) bool { return strings.Contains(b.log(id), text) })
}

func (b *bench) equal(got, want any, what string) {
	b.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func testExitCode(b *bench) {
	for _, code := range []int{0, 1, 3, 255} {
		id := fmt.Sprintf("code-%d", code)
		b.start(id, fmt.Sprintf("exit %d", code))
		s := b.ended(id)
		b.equal(s.Phase, runner.Exited, "phase")
		b.equal(s.ExitCode, code, "exit code")
		b.equal(s.Signal, "", "signal")
		b.equal(s.Reason, "", "reason")
		b.equal(s.StopAsked, false, "stop asked")
	}
}

func testExitsImmediately(b *bench) {
	for i := range 5 {
		id := fmt.Sprintf("quick-%d", i)
		b.start(id)
		s := b.ended(id)
		if s.StartedAt.IsZero() || s.ExitedAt.Before(s.StartedAt) {
			b.Errorf("started %v, exited %v", s.StartedAt, s.ExitedAt)
		}
	}
}

func testSignal(b *bench) {
	b.start("shot", "signal SIGKILL")
	s := b.ended("shot")
	b.equal(s.ExitCode, 137, "exit code")
	b.equal(s.Signal, "SIGKILL", "signal")
}

func testPhases(b *bench) {
	before := time.Now()
	b.start("job", "out hello", LongSleep)
	s := b.inspect("job")
	if s.Phase != runner.Starting && s.Phase != runner.Running {
		b.Errorf("phase after start: %s", s.Phase)
	}
	s = b.running("job")
	b.equal(s.ID, "job", "id")
	b.equal(s.Labels, map[string]string{"job": "job"}, "labels")
	if s.PID == 0 || s.StartedAt.Before(before.Add(-time.Second)) || !s.ExitedAt.IsZero() {
		b.Errorf("running: %+v", s)
	}
	b.must(b.Stop(b.ctx(), "job", Patience))
	s = b.ended("job")
	if s.ExitedAt.Before(s.StartedAt) || !s.StopAsked {
		b.Errorf("ended: %+v", s)
	}
	b.equal(s.Labels, map[string]string{"job": "job"}, "labels at the end")
}

func testIdempotentStart(b *bench) {
	b.start("job", "out once", "exit 3")
	b.start("job", "out twice", "exit 4")
	b.ended("job")
	b.start("job", "out thrice")
	s := b.ended("job")
	b.equal(s.ExitCode, 3, "exit code")
	b.equal(b.log("job"), "once\n", "log")
}

func testConcurrentStarts(b *bench) {
	spec := b.spec("job", "out once", "sleep 20ms")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := b.Start(b.ctx(), spec); err != nil {
				b.Error(err)
			}
			if _, err := b.Inspect(b.ctx(), "job"); err != nil {
				b.Error("after Start:", err)
			}
		})
	}
	all.Wait()
	b.ended("job")
	b.equal(b.log("job"), "once\n", "log")
}

func testBadSpecs(b *bench) {
	bad := map[string]func(*runner.Spec){
		"no id":         func(s *runner.Spec) { s.ID = "" },
		"id with slash": func(s *runner.Spec) { s.ID = "../escape" },
		"id of dots":    func(s *runner.Spec) { s.ID = ".." },
		"no command":    func(s *runner.Spec) { s.Command = nil },
	}
	for name, spoil := range bad {
		spec := b.spec("bad")
		spoil(&spec)
		if err := b.Start(b.ctx(), spec); err == nil {
			b.Errorf("%s: accepted", name)
		}
	}
	all, err := b.List(b.ctx())
	b.must(err)
	b.equal(len(all), 0, "work known")
}

func testCommandNotFound(b *bench) {
	spec := b.spec("job")
	spec.Command = []string{"no-such-program-anywhere"}
	b.must(b.Start(b.ctx(), spec))
	s := b.ended("job")
	b.equal(s.Phase, runner.Exited, "phase")
	b.equal(s.ExitCode, 127, "exit code")
	if !strings.Contains(s.Reason, "no-such-program-anywhere") {
		b.Errorf("reason does not name the command: %q", s.Reason)
	}
	b.equal(b.log("job"), "", "log")
}

func testMissingFolder(b *bench) {
	spec := b.spec("job", "out never")
	spec.Dir += "/missing"
	b.must(b.Start(b.ctx(), spec))
	s := b.ended("job")
	if s.ExitCode == 0 || !strings.Contains(s.Reason, spec.Dir) {
		b.Errorf("status: %+v", s)
	}
}

func testEnvironment(b *bench) {
	b.Setenv("MUSHER_TEST_SECRET", "of the server")
	spec := b.spec("job", "env")
	spec.Env = map[string]string{"ONE": "1", "SPACED": "a b = c", "EMPTY": "", "LINES": "é→"}
	b.must(b.Start(b.ctx(), spec))
	b.ended("job")
	got := strings.Split(strings.TrimSuffix(b.log("job"), "\n"), "\n")
	got = slices.DeleteFunc(got, func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return slices.Contains(b.ExtraEnv, name)
	})
	b.equal(got, []string{"EMPTY=", "LINES=é→", "ONE=1", "SPACED=a b = c"}, "environment")
}

func testStopWilling(b *bench) {
	b.start("plain", "out ready", LongSleep)
	b.start("trapping", "trap 7", "out ready", LongSleep)
	b.logHas("plain", "ready")
	b.logHas("trapping", "ready")
	b.must(b.Stop(b.ctx(), "plain", Patience))
	b.must(b.Stop(b.ctx(), "trapping", Patience))
	s := b.ended("plain")
	b.equal([]any{s.ExitCode, s.Signal, s.StopAsked}, []any{143, "SIGTERM", true}, "plain")
	s = b.ended("trapping")
	b.equal([]any{s.ExitCode, s.Signal, s.StopAsked}, []any{7, "", true}, "trapping")
}

func testStopIgnored(b *bench) {
	b.start("job", "trap ignore", "out ready", LongSleep)
	b.logHas("job", "ready")
	b.must(b.Stop(b.ctx(), "job", 50*time.Millisecond))
	s := b.ended("job")
	b.equal([]any{s.ExitCode, s.Signal, s.StopAsked}, []any{137, "SIGKILL", true}, "status")
	if s.Reason == "" {
		b.Error("no reason given for the kill")
	}
}

func testStopKeepsGrace(b *bench) {
	b.start("job", "trap ignore", "out ready", "sleep 300ms", "out done", "exit 5")
	b.logHas("job", "ready")
	b.must(b.Stop(b.ctx(), "job", Patience))
	b.equal(b.ended("job").ExitCode, 5, "exit code")
	b.equal(b.log("job"), "ready\ndone\n", "log")
}

func testStopShortened(b *bench) {
	b.start("job", "trap ignore", "out ready", LongSleep)
	b.logHas("job", "ready")
	b.must(b.Stop(b.ctx(), "job", time.Hour))
	b.must(b.Stop(b.ctx(), "job", 2*time.Hour))
	b.must(b.Stop(b.ctx(), "job", 0))
	b.equal(b.ended("job").Signal, "SIGKILL", "signal")
}

func testStopAtOnce(b *bench) {
	b.start("job", LongSleep)
	b.must(b.Stop(b.ctx(), "job", Patience))
	s := b.ended("job")
	b.equal([]any{s.ExitCode, s.StopAsked}, []any{143, true}, "status")
}

func testStopAfterEnd(b *bench) {
	b.start("job", "exit 2")
	before := b.ended("job")
	b.must(b.Stop(b.ctx(), "job", 0))
	b.equal(b.inspect("job"), before, "status")
}

func testRemove(b *bench) {
	b.start("job", "out first", "exit 2")
	b.ended("job")
	b.must(b.Remove(b.ctx(), "job"))
	_, err := b.Inspect(b.ctx(), "job")
	if !errors.Is(err, runner.ErrNotFound) {
		b.Errorf("inspect after remove: %v", err)
	}
	b.start("job", "out second")
	b.equal(b.ended("job").ExitCode, 0, "exit code of new work under the old id")
	b.equal(b.log("job"), "second\n", "log of new work under the old id")
}

func testRemoveRunning(b *bench) {
	b.start("job", LongSleep)
	for _, phase := range []string{"starting", "running"} {
		if err := b.Remove(b.ctx(), "job"); !errors.Is(err, runner.ErrRunning) {
			b.Errorf("remove while %s: %v", phase, err)
		}
		b.running("job")
	}
	b.must(b.Stop(b.ctx(), "job", 0))
	b.ended("job")
	b.must(b.Remove(b.ctx(), "job"))
}

func testUnknown(b *bench) {
	_, inspect := b.Inspect(b.ctx(), "nobody")
	_, logs := b.Logs(b.ctx(), "nobody", true)
	calls := map[string]error{
		"Inspect": inspect, "Logs": logs,
		"Stop": b.Stop(b.ctx(), "nobody", 0), "Remove": b.Remove(b.ctx(), "nobody"),
	}
	for name, err := range calls {
		if !errors.Is(err, runner.ErrNotFound) {
			b.Errorf("%s: %v", name, err)
		}
	}
}

func testList(b *bench) {
	all, err := b.List(b.ctx())
	b.must(err)
	b.equal(len(all), 0, "work at the beginning")
	b.start("b-runs", LongSleep)
	b.start("a-ended", "exit 9")
	b.ended("a-ended")
	b.running("b-runs")
	all, err = b.List(b.ctx())
	b.must(err)
	var got []string
	for _, s := range all {
		got = append(got, fmt.Sprint(s.ID, " ", s.Phase, " ", s.ExitCode, " ", s.Labels["job"]))
	}
	slices.Sort(got)
	b.equal(got, []string{"a-ended Exited 9 a-ended", "b-runs Running 0 b-runs"}, "list")
}

func testLogOrder(b *bench) {
	b.start("job", "out 1", "err 2", "out 3", "err 4", "out 5")
	b.ended("job")
	b.equal(b.log("job"), "1\n2\n3\n4\n5\n", "log")
	b.equal(string(b.readLog("job", true)), "1\n2\n3\n4\n5\n", "log followed after the end")
}

func testLogFollow(b *bench) {
	b.start("job", "out first", "sleep 200ms", "out second", "sleep 50ms", "out last")
	r, err := b.Logs(b.ctx(), "job", true)
	b.must(err)
	defer r.Close()
	first := make([]byte, len("first\n"))
	_, err = io.ReadFull(r, first)
	b.must(err)
	b.equal(string(first), "first\n", "beginning")
	if b.inspect("job").Ended() {
		b.Log("the machine is slow: the work ended before its first line was read")
	}
	rest, err := io.ReadAll(r)
	b.must(err)
	b.equal(string(rest), "second\nlast\n", "rest")
	b.equal(b.inspect("job").Ended(), true, "ended when the log is")
}

func testLogFollowClosed(b *bench) {
	b.start("job", LongSleep)
	r, err := b.Logs(b.ctx(), "job", true)
	b.must(err)
	read := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 1))
		read <- err
	}()
	b.must(r.Close())
	if err := <-read; err == nil {
		b.Error("read after close succeeded")
	}
}

func testLogFollowCancelled(b *bench) {
	b.start("job", LongSleep)
	ctx, cancel := context.WithTimeout(b.ctx(), 50*time.Millisecond)
	defer cancel()
	r, err := b.Logs(ctx, "job", true)
	b.must(err)
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, context.DeadlineExceeded) {
		b.Errorf("read after the deadline: %v", err)
	}
}

func testLogBinary(b *bench) {
	b.start("job", "hex 00ff0d0a80fe00", "exit 0")
	b.ended("job")
	b.equal(fmt.Sprintf("%x", b.log("job")), "00ff0d0a80fe00", "log")
}

func testLogHuge(b *bench) {
	const size = 20<<20 + 13
	b.start("job", fmt.Sprintf("flood %d", size))
	got := b.readLog("job", true)
	var want bytes.Buffer
	b.must(Flood(&want, size))
	if !bytes.Equal(got, want.Bytes()) {
		b.Errorf("log of %d bytes differs from the %d printed", len(got), want.Len())
	}
}

func testMany(b *bench) {
	const n = 20
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			id := fmt.Sprintf("job-%d", i)
			if err := b.Start(b.ctx(), b.spec(id, "out "+id, "sleep 30ms", fmt.Sprintf("exit %d", i))); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	for i := range n {
		id := fmt.Sprintf("job-%d", i)
		b.equal(b.ended(id).ExitCode, i, id)
		b.equal(b.log(id), id+"\n", "log of "+id)
	}
}

func testLeftBehind(b *bench) {
	for _, how := range []string{"exit 0", "signal SIGKILL", LongSleep} {
		id := "job-" + strings.ToLower(strings.ReplaceAll(how, " ", "-"))
		mark := rand.Text()
		b.start(id, "spawn "+mark, "sleep 100ms", how)
		if how == LongSleep {
			b.logHas(id, "spawned")
			if !b.Alive(b.T, mark) {
				b.Errorf("%s: the process left behind died before its parent", how)
			}
			b.must(b.Stop(b.ctx(), id, Patience))
		}
		b.ended(id)
		b.equal(b.log(id), "spawned\n", how)
		if b.Alive(b.T, mark) {
			b.Errorf("%s: the process left behind still runs", how)
		}
	}
}

// listen opens a listener on the machine's loopback and gives a step that
// connects to it.
func (b *bench) listen(network, address string) (step string) {
	b.Helper()
	l, err := net.Listen(network, address)
	b.must(err)
	b.Cleanup(func() { l.Close() })
	return fmt.Sprint("dial ", network, " ", l.Addr())
}

func testNetwork(b *bench) {
	b.start("job", b.listen("tcp", "127.0.0.1:0"), "loopback")
	b.ended("job")
	b.equal(b.log("job"), "connected\nconnected\n", "the machine's loopback, its own listener")
}

func testNoNetwork(b *bench) {
	spec := b.spec("job", b.listen("tcp", "127.0.0.1:0"), "loopback")
	spec.Command = append(spec.Command, b.listen("unix", filepath.Join(spec.Dir, "s")))
	spec.Network = runner.NoNetwork
	can := b.Abilities().Isolate
	b.must(b.Start(b.ctx(), spec))
	s := b.ended("job")
	if !can {
		if s.ExitCode == 0 || !strings.Contains(s.Reason, "network") || b.log("job") != "" {
			b.Errorf("status %+v, log %q: work that can't be isolated must not run", s, b.log("job"))
		}
		b.Skip("this runner can't isolate here, and says so")
	}
	b.equal(b.log("job"), "failed\nconnected\nconnected\n", "the machine's loopback, its own listener, a socket in its folder")
}

func testAdopt(b *bench) {
	b.start("job", "out before", "sleep 300ms", "out after", "exit 6")
	b.start("stopped", "trap 8", "out ready", LongSleep)
	before := b.begun("job")
	b.logHas("stopped", "ready")
	b.Runner = b.Reopen(b.T, b.Runner)
	after := b.inspect("job")
	if !after.Ended() {
		b.equal([]any{after.PID, after.Phase}, []any{before.PID, before.Phase}, "adopted")
	}
	b.start("job", "out again")
	b.must(b.Stop(b.ctx(), "stopped", Patience))
	b.equal(string(b.readLog("job", true)), "before\nafter\n", "log")
	b.equal(b.ended("job").ExitCode, 6, "exit code")
	b.equal(b.ended("stopped").ExitCode, 8, "exit code of stopped work")
}

func testAdoptEnded(b *bench) {
	b.start("early", "out 1", "exit 4")
	b.start("meanwhile", "sleep 100ms", "exit 5")
	before := b.ended("early")
	b.begun("meanwhile")
	b.Runner = b.Reopen(b.T, b.Runner)
	after := b.inspect("early")
	b.equal([]any{after.ExitCode, after.Phase, after.Labels, after.PID}, []any{before.ExitCode, before.Phase, before.Labels, before.PID}, "status")
	b.equal(b.log("early"), "1\n", "log")
	b.equal(b.ended("meanwhile").ExitCode, 5, "exit code")
	b.Runner = b.Reopen(b.T, b.Runner)
	b.must(b.Remove(b.ctx(), "early"))
	b.Runner = b.Reopen(b.T, b.Runner)
	all, err := b.List(b.ctx())
	b.must(err)
	b.equal(len(all), 1, "work known after remove and another restart")
}
