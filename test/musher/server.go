package musher

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// generous is how long anything may take that should be quick: test machines
// have few cores, and other work on them.
const generous = 2 * time.Minute

// Server is a musher that runs as a child process.
type Server struct {
	Access
	Data  string // folder of its state
	Cache string // folder of weights, libraries and features

	tb      testing.TB
	options options
	logPath string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has
}

type options struct {
	flags []string
	env   []string
	cache string
	lean  bool
}

// Option changes how New starts a server.
type Option func(*options)

// WithFlags adds flags of `musher up`.
func WithFlags(flags ...string) Option {
	return func(o *options) { o.flags = append(o.flags, flags...) }
}

// WithEnv adds variables, as NAME=VALUE.
func WithEnv(vars ...string) Option { return func(o *options) { o.env = append(o.env, vars...) } }

// WithOwnCache lets features be computed anew: the weights and libraries of
// the shared cache are there, the features are not.
func WithOwnCache() Option { return func(o *options) { o.cache = "own" } }

// WithoutAssets is for tests that neither train nor serve: they run where
// weights and libraries cannot be fetched.
func WithoutAssets() Option { return func(o *options) { o.lean = true } }

// New starts a server on a free port and on an empty folder.
func New(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	if runtime.GOOS != "linux" {
		Skip(tb, "the process runner needs Linux")
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	// Not tb.TempDir: its long names leave no room for the paths of sockets.
	dir, err := os.MkdirTemp("", "musher-test-")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, options: o, Data: filepath.Join(dir, "data"), Cache: CacheDir(tb), logPath: filepath.Join(dir, "server.log")}
	tb.Cleanup(func() { s.cleanUp(dir) })
	if !o.lean {
		NeedAssets(tb)
	}
	if o.cache == "own" {
		s.Cache = filepath.Join(dir, "cache")
		linkAssets(tb, CacheDir(tb), s.Cache)
	}
	s.start("127.0.0.1:0")
	return s
}

// linkAssets gives a cache the fetched things of another one.
func linkAssets(tb testing.TB, from, to string) {
	tb.Helper()
	for _, part := range []string{"assets", "backbones"} {
		if _, err := os.Stat(filepath.Join(from, part)); err != nil {
			continue
		}
		if err := os.CopyFS(filepath.Join(to, part), os.DirFS(filepath.Join(from, part))); err != nil {
			tb.Fatal(err)
		}
	}
}

// start runs `musher up` and waits until it listens.
func (s *Server) start(listen string) {
	s.tb.Helper()
	args := append([]string{"--json", "up", "--listen", listen}, s.options.flags...)
	cmd := exec.Command(Binary(s.tb), args...)
	cmd.Env = append(os.Environ(), "MUSHER_DATA_DIR="+s.Data, "MUSHER_CACHE="+s.Cache)
	cmd.Env = append(cmd.Env, s.options.env...)
	// The server must not outlive a test run that is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(s.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	out, in, err := os.Pipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	cmd.Stdout = in
	err = s.launch(cmd)
	in.Close()
	if err != nil {
		s.tb.Fatal(err)
	}
	s.greet(out)
}

// launch starts the process from a thread that stays: the death signal comes
// when the thread that forked ends, not the process.
func (s *Server) launch(cmd *exec.Cmd) error {
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() //nolint:errcheck // how it ended is the test's business
		}
		close(ended)
	}()
	s.cmd, s.ended = cmd, ended
	return <-started
}

// greet reads what the server says when it listens.
func (s *Server) greet(out *os.File) {
	s.tb.Helper()
	out.SetReadDeadline(time.Now().Add(generous)) //nolint:errcheck // a pipe has deadlines
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		s.tb.Fatalf("the server said nothing: %v\n%s", lines.Err(), s.Log())
	}
	var hello struct {
		Endpoint        string `json:"endpoint"`
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
	}
	if err := json.Unmarshal(lines.Bytes(), &hello); err != nil {
		s.tb.Fatalf("the server said %q: %v", lines.Text(), err)
	}
	s.Access = Access{Endpoint: hello.Endpoint, KeyID: hello.AccessKeyID, Secret: hello.SecretAccessKey}
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server with SIGKILL, in the middle of whatever it does.
func (s *Server) Kill() {
	s.tb.Helper()
	s.signal(syscall.SIGKILL)
}

// Stop asks the server to end, and waits for it.
func (s *Server) Stop() {
	s.tb.Helper()
	s.signal(syscall.SIGTERM)
}

func (s *Server) signal(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Errorf("%v to the server: %v", sig, err)
	}
	select {
	case <-s.ended:
	case <-time.After(generous):
		s.tb.Fatalf("the server did not end after %v", sig)
	}
}

// Restart starts the server again, on the same port and folder.
func (s *Server) Restart() {
	s.tb.Helper()
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.start(u.Host)
}

func (s *Server) up() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// Log is what the server has logged so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logPath)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// cleanUp ends the server and all that it left, and says so.
func (s *Server) cleanUp(dir string) {
	stopped := false
	if s.up() {
		s.Stop()
		stopped = true
	}
	left := Processes(s.Data)
	if stopped && len(left) > 0 {
		s.tb.Errorf("the server stopped and left %d processes behind: %s", len(left), describe(left))
	}
	for pid := range left {
		syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
	}
	if strings.Contains(s.Log(), "DATA RACE") {
		s.tb.Error("the server has a data race: see its log")
	}
	if s.tb.Failed() {
		s.showLogs()
	}
	if os.Getenv("MUSHER_TEST_KEEP") != "" {
		s.tb.Logf("kept %s", dir)
		return
	}
	// Killed supervisors may still be closing their files.
	for range 50 {
		if os.RemoveAll(dir) == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) showLogs() {
	s.tb.Logf("log of the server, its end:\n%s", tail(interesting(s.Log()), 40))
	for _, pattern := range []string{"jobs/*/log*", "endpoints/*/*/log"} {
		logs, _ := filepath.Glob(filepath.Join(s.Data, pattern)) //nolint:errcheck // the pattern is fine
		for _, path := range logs {
			if text, err := os.ReadFile(path); err == nil {
				s.tb.Logf("%s, its end:\n%s", strings.TrimPrefix(path, s.Data), tail(string(text), 15))
			}
		}
	}
}

// request is the log's line of a request that was no fault of the server.
//
//nolint:gochecknoglobals // compiled once
var request = regexp.MustCompile(`msg"?[=:]"?request\b.*status"?[=:][1234]`)

// interesting drops such requests.
func interesting(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), request.MatchString)
	return strings.Join(lines, "\n")
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Processes finds what works in a folder, by its path on the command line:
// pid → command line.
func Processes(dir string) map[int]string {
	found := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return found
	}
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if line := strings.ReplaceAll(string(raw), "\x00", " "); err == nil && strings.Contains(line, dir) {
			found[pid] = line
		}
	}
	return found
}

func describe(processes map[int]string) string {
	var lines []string
	for pid, line := range processes {
		lines = append(lines, fmt.Sprintf("%d: %s", pid, line))
	}
	return strings.Join(lines, "\n")
}
