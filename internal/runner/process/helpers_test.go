//go:build linux

package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/process"
	"github.com/musher/musher/internal/runner/runnertest"
)

const (
	serverArg = "test-server"
	probeArg  = "test-probe"
)

// serverConfig tells a server process what to do.
type serverConfig struct {
	Dir         string
	Jobs        []runner.Spec
	OrphanGrace time.Duration
	Wait        bool // for the jobs' end, and print what came of them; else stay
}

// result is what a server process prints of a job that has ended.
type result struct {
	Status runner.Status
	Log    string
}

// serve is a server process: it starts the jobs, prints the id of each when
// Start has returned, and then waits to be killed.
func serve(args []string) int {
	var c serverConfig
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return complain(err)
	}
	exe, err := os.Executable()
	if err != nil {
		return complain(err)
	}
	r, err := process.New(c.Dir, process.Options{
		Supervisor: []string{exe, "supervise"}, OrphanGrace: c.OrphanGrace, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return complain(err)
	}
	for _, spec := range c.Jobs {
		if err := r.Start(context.Background(), spec); err != nil {
			return complain(err)
		}
		fmt.Println(spec.ID)
	}
	if !c.Wait {
		select {}
	}
	for _, spec := range c.Jobs {
		if err := printResult(r, spec.ID); err != nil {
			return complain(err)
		}
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func printResult(r runner.Runner, id string) error {
	log, err := r.Logs(context.Background(), id, true)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(log)
	if err != nil {
		return err
	}
	s, err := r.Inspect(context.Background(), id)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result{s, string(text)})
}

// serverCommand gives the command of a server process.
func serverCommand(t testing.TB, exe string, c serverConfig) *exec.Cmd {
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, serverArg, string(config))
	cmd.Stderr = t.Output()
	return cmd
}

// probe tries what each argument says and prints a line with the outcome, "ok"
// or the error. It is the work of the sandbox's tests.
func probe(attempts []string) int {
	for _, a := range attempts {
		verb, arg, _ := strings.Cut(a, " ")
		text, err := probes[verb](arg)
		if err != nil {
			text = "error: " + err.Error()
		}
		fmt.Printf("%s: %s\n", a, text)
	}
	return 0
}

var probes = map[string]func(arg string) (string, error){
	"read": func(path string) (string, error) { b, err := os.ReadFile(path); return string(b), err },
	"stat": func(path string) (string, error) { _, err := os.Stat(path); return "ok", err },
	"link": os.Readlink,
	"list": func(path string) (string, error) { _, err := os.ReadDir(path); return "ok", err },
	"write": func(path string) (string, error) {
		return "ok", os.WriteFile(path, []byte("written"), 0o666)
	},
	"mkdir": func(path string) (string, error) { return "ok", os.Mkdir(path, 0o777) },
	"mknod": func(path string) (string, error) {
		return "ok", unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0)))
	},
	"mount": func(path string) (string, error) { return "ok", unix.Mount("tmpfs", path, "tmpfs", 0, "") },
	"kill": func(pid string) (string, error) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			return "", err
		}
		return "ok", syscall.Kill(n, 0)
	},
	"status": func(field string) (string, error) {
		b, err := os.ReadFile("/proc/self/status")
		_, rest, _ := strings.Cut(string(b), "\n"+field+":")
		line, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(line), err
	},
	"fds": func(string) (string, error) { return openFiles() },
	"mode": func(path string) (string, error) {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		return info.Mode().String(), nil
	},
	"cores": func(string) (string, error) {
		var l syscall.Rlimit
		err := syscall.Getrlimit(syscall.RLIMIT_CORE, &l)
		return fmt.Sprint(l.Max), err
	},
	"procs": func(string) (string, error) {
		names, err := filepath.Glob("/proc/[0-9]*")
		return fmt.Sprint(len(names)), err
	},
	"resolve": func(host string) (string, error) { _, err := net.LookupHost(host); return "ok", err },
	"tempfile": func(string) (string, error) {
		f, err := os.CreateTemp("", "")
		if err != nil {
			return "", err
		}
		return filepath.Dir(f.Name()), f.Close()
	},
	"cpus": func(string) (string, error) { return fmt.Sprint(runtime.NumCPU()), nil },
	"grow": grow,
}

// openFiles gives the open descriptors that are not the Go runtime's own.
func openFiles() (string, error) {
	var open []string
	for fd := range 100 {
		path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil || strings.HasPrefix(path, "anon_inode:") || strings.HasPrefix(path, "/sys/fs/cgroup") {
			continue
		}
		open = append(open, strconv.Itoa(fd))
	}
	return strings.Join(open, ","), nil
}

// grow takes memory, a MiB at a time, and then keeps it for a while.
func grow(mib string) (string, error) {
	n, err := strconv.Atoi(mib)
	if err != nil {
		return "", err
	}
	var held [][]byte
	for range n {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		held = append(held, b)
	}
	time.Sleep(3 * time.Second)
	return fmt.Sprint(len(held)), nil
}

// job is a piece of work made of runnertest's steps.
func job(t testing.TB, id string, steps ...string) runner.Spec {
	return runner.Spec{
		ID: id, Command: append([]string{executable(t), runnertest.ProgramArg}, steps...),
		Dir: t.TempDir(), Env: map[string]string{"GORACE": "atexit_sleep_ms=0"},
	}
}

// probeJob is a piece of work that tries things.
func probeJob(t testing.TB, id string, attempts ...string) runner.Spec {
	spec := job(t, id)
	spec.Command = append([]string{executable(t), probeArg}, attempts...)
	return spec
}

func start(t testing.TB, r runner.Runner, spec runner.Spec) {
	t.Helper()
	if err := r.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
}

// await waits until the status of the work fulfils ok, in vain if it ends.
func await(t testing.TB, r runner.Runner, id, what string, ok func(runner.Status) bool) runner.Status {
	t.Helper()
	for end := time.Now().Add(runnertest.Patience); ; time.Sleep(time.Millisecond) {
		s, err := r.Inspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if ok(s) {
			return s
		}
		if s.Ended() || time.Now().After(end) {
			t.Fatalf("%s is not %s: %+v", id, what, s)
		}
	}
}

func awaitEnd(t testing.TB, r runner.Runner, id string) runner.Status {
	t.Helper()
	return await(t, r, id, "ended", runner.Status.Ended)
}

func awaitRunning(t testing.TB, r runner.Runner, id string) runner.Status {
	t.Helper()
	return await(t, r, id, "running", func(s runner.Status) bool { return s.Phase == runner.Running })
}

func logOf(t testing.TB, r runner.Runner, id string) string {
	t.Helper()
	log, err := r.Logs(t.Context(), id, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(log)
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// supervisorOf gives the process id of the work's supervisor.
func supervisorOf(t testing.TB, dir, id string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "work", id, "supervisor.json"))
	if err != nil {
		t.Fatal(err)
	}
	var who struct{ PID int }
	if err := json.Unmarshal(b, &who); err != nil {
		t.Fatal(err)
	}
	return who.PID
}
