//go:build linux

package process

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
)

// newRunner opens a runner whose supervisors are this test binary.
func newRunner(t *testing.T, dir string) *Runner {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(dir, Options{Supervisor: []string{exe, "supervise"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func closeRunner(t *testing.T, r *Runner) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func echo(t *testing.T, id string) runner.Spec {
	return runner.Spec{ID: id, Command: []string{"sh", "-c", "echo once; sleep 0.05"}, Dir: t.TempDir()}
}

func end(t *testing.T, r *Runner, id string) runner.Status {
	t.Helper()
	it, err := r.item(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := it.waitEnded(t.Context()); err != nil {
		t.Fatal(err)
	}
	return it.current()
}

func text(t *testing.T, r *Runner, id string) string {
	t.Helper()
	log, err := r.Logs(t.Context(), id, false)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The server dies after it has recorded work and before it starts it.
func TestRecordedWorkIsStartedByTheNextRunner(t *testing.T) {
	dir := t.TempDir()
	r := newRunner(t, dir)
	if _, err := r.record(echo(t, "job")); err != nil {
		t.Fatal(err)
	}
	closeRunner(t, r)
	r = newRunner(t, dir)
	defer closeRunner(t, r)
	if s := end(t, r, "job"); s.ExitCode != 0 || text(t, r, "job") != "once\n" {
		t.Errorf("status %+v, log %q", s, text(t, r, "job"))
	}
}

// The server dies while it records work.
func TestHalfRecordedWorkIsForgotten(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, workFolder, tempPrefix+"1234")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, launchFile+".new"), []byte(`{"spec":`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, dir)
	defer closeRunner(t, r)
	if all, err := r.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("list: %v, %v", all, err)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("left over: %v", err)
	}
}

// Many supervisors for one folder: one runs the work, the others do nothing.
func TestOneSupervisorRunsTheWork(t *testing.T) {
	dir := t.TempDir()
	r := newRunner(t, dir)
	it, err := r.record(echo(t, "job"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			cmd := exec.Command(os.Args[0], "supervise", "--dir", string(it.folder))
			cmd.Env = []string{isolationVar + "=" + string(isolationNone)}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	closeRunner(t, r)
	r = newRunner(t, dir)
	defer closeRunner(t, r)
	if s := end(t, r, "job"); s.ExitCode != 0 || text(t, r, "job") != "once\n" {
		t.Errorf("status %+v, log %q", s, text(t, r, "job"))
	}
}

// After a restart of the machine, process ids mean nothing: here one that runs
// (our own) stands where the supervisor's was.
func TestMachineRestart(t *testing.T) {
	const earlier = "00000000-0000-0000-0000-000000000000"
	me, err := self()
	if err != nil {
		t.Fatal(err)
	}
	me.BootID = earlier
	tests := []struct {
		name    string
		records map[string]any
		want    runner.Phase
	}{
		{"accepted", nil, runner.Lost},
		{"starting", map[string]any{supervisorFile: me}, runner.Lost},
		{"running", map[string]any{supervisorFile: me, runningFile: running{PID: me.PID, StartedAt: time.Now()}}, runner.Lost},
		{"ended", map[string]any{supervisorFile: me, statusFile: runner.Status{ID: "job", Phase: runner.Exited, ExitCode: 7}}, runner.Exited},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRunner(t, dir)
			r.boot = earlier
			it, err := r.record(echo(t, "job"))
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range test.records {
				if err := it.folder.Write(name, v, false); err != nil {
					t.Fatal(err)
				}
			}
			closeRunner(t, r)
			r = newRunner(t, dir)
			s := end(t, r, "job")
			if s.Phase != test.want || s.Phase == runner.Lost && s.Reason == "" {
				t.Errorf("status %+v", s)
			}
			if log := text(t, r, "job"); log != "" {
				t.Errorf("started a second time: %q", log)
			}
			closeRunner(t, r)
			r = newRunner(t, dir) // what was found out is durable
			defer closeRunner(t, r)
			if again := r.items["job"].current(); again.Phase != s.Phase || again.Reason != s.Reason {
				t.Errorf("later: %+v", again)
			}
		})
	}
}

func TestFindIsNotFooledByAReusedID(t *testing.T) {
	me, err := self()
	if err != nil {
		t.Fatal(err)
	}
	p, alive, err := find(me)
	if err != nil || !alive {
		t.Fatalf("myself: %v, %v", alive, err)
	}
	p.close()
	me.Start++
	if _, alive, err := find(me); alive || err != nil {
		t.Errorf("a process of the same id: %v, %v", alive, err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if locked(path) {
		t.Error("a lock that is not there is held")
	}
	f, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path); !errors.Is(err, errLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if !locked(path) {
		t.Error("held, but not seen to be")
	}
	f.Close()
	if locked(path) {
		t.Error("still held")
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 12 34 56 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10\n"
	for _, name := range []string{"(sh)", "(a b)", "(a) b)", "())", "(()"} {
		got, err := parseStat([]byte("99 " + name + rest))
		if want := (stat{state: 'S', parent: 12, session: 56, start: 777}); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("99 (sh) S 12 34 56 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 9 10\n"))
	f.Add([]byte(")"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseStat(b) }) // must not panic
}

func TestParseMemory(t *testing.T) {
	status := "Name:\tx\nVmRSS:\t  900 kB\nRssAnon:\t     100 kB\nRssFile:\t 700 kB\nRssShmem:\t   20 kB\n"
	if got := parseMemory([]byte(status)); got != 120<<10 {
		t.Errorf("got %d", got)
	}
	if got := parseMemory([]byte("RssAnon: many kB\n")); got != 0 {
		t.Errorf("got %d of nonsense", got)
	}
}

func TestDescendants(t *testing.T) {
	all := map[int]stat{1: {}, 2: {parent: 1}, 3: {parent: 2}, 4: {parent: 2}, 5: {parent: 4}, 6: {parent: 1}}
	got := descendants(all, 2)
	slices.Sort(got)
	if !slices.Equal(got, []int{3, 4, 5}) {
		t.Errorf("got %v", got)
	}
}

func TestPickCPUs(t *testing.T) {
	tests := []struct {
		cores float64
		all   []int
		load  map[int]int
		want  []int
	}{
		{0, []int{0, 1}, nil, nil},
		{2, []int{0, 1}, nil, nil},
		{0.5, []int{0, 1}, nil, []int{0}},
		{1, []int{4, 5, 6}, map[int]int{4: 1}, []int{5}},
		{2, []int{0, 1, 2, 3}, map[int]int{0: 1, 2: 2}, []int{1, 3}},
		{1.5, []int{0, 1, 2}, map[int]int{1: 1}, []int{0, 2}},
	}
	for _, test := range tests {
		if got := pickCPUs(test.cores, test.all, test.load); !slices.Equal(got, test.want) {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}
