package runtimes

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed probe.py
var probeScript string

// oldest is the first Python whose interpreters are taken.
const oldest = "3.8"

// patience is for an interpreter to say what it is: a slow disk and a version
// manager's stub in front of it included.
const patience = 30 * time.Second

// shown are modules that a person wants to see beside those that runtimes
// need; installing looks for the last ones.
var shown = []string{"torchvision", "numpy", "pandas", "scipy", "transformers", "boto3", "venv", "ensurepip"}

// Interpreter is what an interpreter says of itself.
type Interpreter struct {
	Path       string            `json:"path"`        // absolute; a stub's is that of what it starts
	Version    string            `json:"version"`     // "3.11.7"
	Prefix     string            `json:"prefix"`      // the environment's folder
	BasePrefix string            `json:"base_prefix"` // of the installation that the environment was made from; else the same
	Libraries  []string          `json:"libraries"`   // folders of modules
	Sites      []string          `json:"sites"`       // folders where packages are installed
	Packages   map[string]string `json:"packages"`    // modules there are, of those looked for; version or empty
}

// Has tells whether all the modules are there.
func (in Interpreter) Has(modules ...string) bool {
	return !slices.ContainsFunc(modules, func(m string) bool { _, ok := in.Packages[m]; return !ok })
}

// prober asks interpreters, and keeps the answers in a folder.
type prober struct {
	dir     string
	modules []string

	mu    sync.Mutex
	asked map[string]answer // of this process, by the path asked
}

// answer is what came of asking one path.
type answer struct {
	Asked  string // the path
	Stamp  string // of the path, then
	Module string // all that were looked for
	Sites  map[string]string

	Interpreter Interpreter
	failed      error
}

func newProber(dir string, modules []string) *prober {
	return &prober{dir: dir, modules: append(slices.Clone(modules), shown...), asked: map[string]answer{}}
}

// look tells what path starts, from what was heard before where that holds.
func (p *prober) look(ctx context.Context, path string) (Interpreter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stamp, err := stampOf(path)
	if err != nil {
		return Interpreter{}, err
	}
	a, ok := p.asked[path]
	if !ok {
		a, ok = p.recall(path)
	}
	if ok && a.Stamp == stamp && a.sitesUnchanged() {
		p.asked[path] = a
		return a.Interpreter, a.failed
	}
	a = answer{Asked: path, Stamp: stamp, Module: strings.Join(p.modules, " ")}
	a.Interpreter, a.failed = p.ask(ctx, path)
	if ctx.Err() != nil {
		return Interpreter{}, ctx.Err()
	}
	a.Sites = stamps(a.Interpreter.Sites)
	p.asked[path] = a
	if a.failed == nil {
		return a.Interpreter, p.keep(a)
	}
	return a.Interpreter, a.failed
}

// recall reads what an earlier process heard. A version manager's stub may
// start another interpreter by now, so each process asks it anew.
func (p *prober) recall(path string) (a answer, ok bool) {
	raw, err := os.ReadFile(p.file(path))
	if err != nil || json.Unmarshal(raw, &a) != nil {
		return a, false
	}
	return a, a.Asked == path && a.Module == strings.Join(p.modules, " ") && same(path, a.Interpreter.Path)
}

func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func (p *prober) keep(a answer) error {
	raw, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return replace(p.file(a.Asked), raw)
}

func (p *prober) file(path string) string { return filepath.Join(p.dir, digest(path)+".json") }

// ask runs the interpreter as work will see it: without the variables and the
// packages of the user at hand.
func (p *prober) ask(ctx context.Context, path string) (in Interpreter, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, append([]string{"-I", "-c", probeScript}, p.modules...)...)
	cmd.Env = cleanEnvironment()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	ownGroup(cmd)
	if err := cmd.Run(); err != nil {
		return in, fmt.Errorf("%s does not run as a Python 3: %w%s", path, err, lastWords(stderr.String()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &in); err != nil || !filepath.IsAbs(in.Path) {
		return in, fmt.Errorf("%s is no Python: it answered %.100q", path, stdout.String())
	}
	if older(in.Version, oldest) {
		return in, fmt.Errorf("%s is Python %s: %s or later is needed", path, in.Version, oldest)
	}
	return in, nil
}

func (a answer) sitesUnchanged() bool {
	for site, stamp := range a.Sites {
		if now, err := stampOf(site); err != nil || now != stamp {
			return false
		}
	}
	return true
}

func stamps(paths []string) map[string]string {
	out := map[string]string{}
	for _, path := range paths {
		if stamp, err := stampOf(path); err == nil {
			out[path] = stamp
		}
	}
	return out
}

// stampOf changes when a file is replaced, or an entry of a folder is.
func stampOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return info.ModTime().UTC().Format(time.RFC3339Nano), nil
	}
	return fmt.Sprintf("%s %d", info.ModTime().UTC().Format(time.RFC3339Nano), info.Size()), nil
}

// cleanEnvironment is the user's, without what changes an interpreter.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "PYTHON") || slices.Contains([]string{
			"VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "UV_LINK_MODE",
		}, name)
	})
}

// ownGroup lets the end of the command's context end what it has started, too.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
}

// lastWords is what a program said last, to be put behind an error.
func lastWords(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return fmt.Sprintf(" (%.300s)", last)
	}
	return ""
}

// older compares versions, number by number.
func older(a, b string) bool {
	var x, y [3]int
	fmt.Sscanf(a, "%d.%d.%d", &x[0], &x[1], &x[2]) //nolint:errcheck // what is missing is 0
	fmt.Sscanf(b, "%d.%d.%d", &y[0], &y[1], &y[2]) //nolint:errcheck
	return slices.Compare(x[:], y[:]) < 0
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// replace writes a file whole or not at all, and makes the folder for it.
func replace(path string, content []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	half, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(half.Name())
	_, err = half.Write(content)
	if err := errors.Join(err, half.Sync(), half.Close()); err != nil {
		return err
	}
	return os.Rename(half.Name(), path)
}
