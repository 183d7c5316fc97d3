//go:build linux

package process_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/runnertest"
)

// outcomes runs the attempts as work and gives each one's outcome.
func outcomes(t *testing.T, r runner.Runner, spec runner.Spec) map[string]string {
	t.Helper()
	start(t, r, spec)
	if s := awaitEnd(t, r, spec.ID); s.ExitCode != 0 {
		t.Fatalf("probe: %+v\n%s", s, logOf(t, r, spec.ID))
	}
	return parseOutcomes(logOf(t, r, spec.ID))
}

func parseOutcomes(log string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(log) {
		attempt, outcome, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		found[attempt] = outcome
	}
	return found
}

func isolated(t *testing.T, run func(t *testing.T, namespaces bool, r runner.Runner, dir string)) {
	for name, namespaces := range map[string]bool{"namespaces": true, "landlock only": false} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			o.NoNamespaces = !namespaces
			dir := t.TempDir()
			run(t, namespaces, open(t, dir, o), dir)
		})
	}
}

const denied = "error:" // the beginning of an outcome

func TestSandboxFiles(t *testing.T) {
	isolated(t, func(t *testing.T, namespaces bool, r runner.Runner, dir string) {
		outside, given, shared := t.TempDir(), t.TempDir(), t.TempDir()
		secret, input := filepath.Join(outside, "secret"), filepath.Join(given, "input")
		writeFile(t, secret, "secret")
		writeFile(t, input, "input")
		other := job(t, "other", "out hello")
		writeFile(t, filepath.Join(other.Dir, "model"), "of another job")
		start(t, r, other)
		awaitEnd(t, r, "other")

		want := map[string]string{
			"read " + secret:                         denied,
			"write " + secret:                        denied,
			"write " + outside + "/new":              denied,
			"list " + outside:                        denied,
			"read " + input:                          "input",
			"write " + input:                         denied,
			"write " + given + "/new":                denied,
			"write " + shared + "/result":            "ok",
			"read " + other.Dir + "/model":           denied,
			"list " + dir:                            denied,
			"read " + dir + "/work/job/launch.json":  denied, // the credentials of every job are in such files
			"write " + dir + "/work/job/status.json": denied,
			"read /etc/shadow":                       denied,
			"list /root":                             denied,
			"list /usr/bin":                          "ok",
			"write /usr/bin/musher-test":             denied,
			"write /etc/passwd":                      denied,
			"write /dev/null":                        "ok",
			"write result":                           "ok",
			"mkdir sub":                              "ok",
			"write /proc/sys/kernel/core_pattern":    denied,
		}
		spec := probeJob(t, "job")
		spec.Mounts = []runner.Mount{{Source: given, ReadOnly: true}, {Source: shared}}
		check(t, r, spec, want)
		for _, f := range []string{filepath.Join(spec.Dir, "result"), filepath.Join(shared, "result")} {
			if b, err := os.ReadFile(f); string(b) != "written" {
				t.Errorf("%s: %q, %v", f, b, err)
			}
		}
	})
}

func TestSandboxPowers(t *testing.T) {
	isolated(t, func(t *testing.T, namespaces bool, r runner.Runner, dir string) {
		inherited := leakedFile(t)
		spec := probeJob(t, "job")
		want := map[string]string{
			"mknod disk":                                      denied,
			"mount " + spec.Dir:                               denied,
			fmt.Sprintf("kill %d", os.Getpid()):               denied,
			fmt.Sprintf("read /proc/%d/environ", os.Getpid()): denied,
			fmt.Sprintf("link /proc/%d/fd/1", os.Getpid()):    denied,
			"status NoNewPrivs":                               "1",
			"status CapEff":                                   "000000000000001b",
			"cores ":                                          "0",
			"fds ":                                            "0,1,2",
			"write made":                                      "ok",
			"mode made":                                       "-rw-------",
			"tempfile ":                                       filepath.Join(spec.Dir, "tmp"),
			"resolve localhost":                               "ok",
		}
		if os.Getuid() != 0 {
			want["status CapEff"] = "0000000000000000"
		}
		if namespaces {
			want["stat "+dir] = denied         // outside is not even there
			want["list /proc/1/root"] = denied // the supervisor's root is the machine's
			want["procs "] = "2"               // itself and its supervisor
		}
		check(t, r, spec, want)
		inherited.Close()
	})
}

// leakedFile opens a file that children inherit, as a careless caller would.
func leakedFile(t *testing.T) *os.File {
	fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "leaked")
}

func check(t *testing.T, r runner.Runner, spec runner.Spec, want map[string]string) {
	t.Helper()
	// Writing comes first: what is read may have been written.
	for _, writes := range []bool{true, false} {
		for attempt := range want {
			if writes == strings.HasPrefix(attempt, "write") {
				spec.Command = append(spec.Command, attempt)
			}
		}
	}
	got := outcomes(t, r, spec)
	for attempt, w := range want {
		g := got[attempt]
		if g != w && (w != denied || !strings.HasPrefix(g, denied)) {
			t.Errorf("%s: got %q, want %q", attempt, g, w)
		}
	}
}

func TestMountElsewhere(t *testing.T) {
	isolated(t, func(t *testing.T, namespaces bool, r runner.Runner, dir string) {
		source := t.TempDir()
		writeFile(t, filepath.Join(source, "data"), "hello")
		spec := probeJob(t, "job", "read /opt/ml/input/data", "write /opt/ml/input/new", "write /opt/ml/model/new", "list "+source)
		model := t.TempDir()
		spec.Mounts = []runner.Mount{
			{Source: source, Target: "/opt/ml/input", ReadOnly: true},
			{Source: model, Target: "/opt/ml/model"},
		}
		start(t, r, spec)
		s := awaitEnd(t, r, "job")
		if !namespaces {
			if s.ExitCode == 0 || !strings.Contains(s.Reason, "/opt/ml/input") {
				t.Errorf("status: %+v", s)
			}
			return
		}
		got := parseOutcomes(logOf(t, r, "job"))
		if got["read /opt/ml/input/data"] != "hello" || got["write /opt/ml/model/new"] != "ok" {
			t.Errorf("got %v", got)
		}
		if !strings.HasPrefix(got["write /opt/ml/input/new"], denied) || !strings.HasPrefix(got["list "+source], denied) {
			t.Errorf("got %v", got)
		}
		if b, err := os.ReadFile(filepath.Join(model, "new")); string(b) != "written" {
			t.Errorf("model: %q, %v", b, err)
		}
	})
}

func TestBadMounts(t *testing.T) {
	isolated(t, func(t *testing.T, namespaces bool, r runner.Runner, dir string) {
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink("/etc", link); err != nil {
			t.Fatal(err)
		}
		bad := map[string]runner.Spec{}
		for name, m := range map[string]runner.Mount{
			"missing":  {Source: "/no/such/folder"},
			"relative": {Source: "input"},
			"root":     {Source: t.TempDir(), Target: "/"},
			"proc":     {Source: t.TempDir(), Target: "/proc/sys"},
		} {
			spec := job(t, name, "out never")
			spec.Mounts = []runner.Mount{m}
			bad[name] = spec
		}
		tmp := job(t, "tmp-is-a-link", "out never")
		if err := os.Symlink("/etc", filepath.Join(tmp.Dir, "tmp")); err != nil {
			t.Fatal(err)
		}
		log := job(t, "log-is-a-link", "out never")
		log.LogPath = filepath.Join(log.Dir, "log")
		if err := os.Symlink(filepath.Join(t.TempDir(), "victim"), log.LogPath); err != nil {
			t.Fatal(err)
		}
		bad["tmp"], bad["log"] = tmp, log
		for _, spec := range bad {
			start(t, r, spec)
			if s := awaitEnd(t, r, spec.ID); s.Phase != runner.Exited || s.ExitCode != 127 && s.ExitCode != 126 || s.Reason == "" {
				t.Errorf("%s: %+v", spec.ID, s)
			}
		}
	})
}

// A link that an earlier run left in the working folder must not lead a mount
// point out of it.
func TestMountBelowPlantedLink(t *testing.T) {
	isolated(t, func(t *testing.T, namespaces bool, r runner.Runner, dir string) {
		if !namespaces {
			t.Skip("nothing is mounted without namespaces")
		}
		victim := t.TempDir()
		spec := job(t, "job", "out never")
		if err := os.Symlink(victim, filepath.Join(spec.Dir, "input")); err != nil {
			t.Fatal(err)
		}
		spec.Mounts = []runner.Mount{{Source: t.TempDir(), Target: filepath.Join(spec.Dir, "input", "data")}}
		start(t, r, spec)
		awaitEnd(t, r, "job")
		if left, err := os.ReadDir(victim); err != nil || len(left) > 0 {
			t.Errorf("made outside: %v, %v", left, err)
		}
		if log := logOf(t, r, "job"); log != "" {
			t.Errorf("ran: %q", log)
		}
		// Nor must it talk the runner into isolating the next work less.
		if got := outcomes(t, r, probeJob(t, "next", "procs ")); got["procs "] != "2" {
			t.Errorf("the next work sees %s processes", got["procs "])
		}
	})
}

// As anybody but root, work gets the same isolation from a user namespace.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else; as somebody else, the other tests show the same")
	}
	const nobody = 65534
	home := t.TempDir()
	exe := filepath.Join(home, "musher-test")
	copyFile(t, executable(t), exe)
	work, secret := filepath.Join(home, "work"), filepath.Join(home, "secret")
	writeFile(t, secret, "secret")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{home, work, secret} {
		if err := os.Chown(p, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(home), 0o755); err != nil {
		t.Fatal(err)
	}
	spec := runner.Spec{ID: "job", Dir: work, Command: []string{
		exe, probeArg, "read " + secret, "write result", "status CapEff", "status Uid", "procs ", fmt.Sprintf("kill %d", os.Getpid()),
	}}
	offline := runner.Spec{ID: "offline", Dir: work, Network: runner.NoNetwork, Command: []string{exe, runnertest.ProgramArg, "loopback"}}
	cmd := serverCommand(t, exe, serverConfig{Dir: filepath.Join(home, "runner"), Jobs: []runner.Spec{spec, offline}, Wait: true})
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = home
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var res, isolated result
	_, text, _ := strings.Cut(string(out), "offline\n") // the last of the ids
	results := json.NewDecoder(strings.NewReader(text))
	if err := errors.Join(results.Decode(&res), results.Decode(&isolated)); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	got := parseOutcomes(res.Log)
	if !strings.HasPrefix(got["read "+secret], denied) || got["write result"] != "ok" || got["status CapEff"] != "0000000000000000" {
		t.Errorf("status %+v, outcomes %v", res.Status, got)
	}
	if !strings.HasPrefix(got["status Uid"], fmt.Sprint(nobody)) {
		t.Errorf("user: %v", got)
	}
	if got["procs "] != "2" {
		t.Logf("no user namespaces on this machine: outcomes %v", got)
	}
	if isolated.Log != "connected\n" && !strings.Contains(isolated.Status.Reason, "gives no namespaces") {
		t.Errorf("without network: %+v", isolated)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
