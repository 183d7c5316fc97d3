package runtimes

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// InstallOptions of Install; the zero value chooses.
type InstallOptions struct {
	Python string // the interpreter to make the environment of
	Index  string // URL of a package index; empty: the user's own configuration
}

// Progress is told what is being done, as often as that changes: the step that
// is under way, and a few words on how far it is.
type Progress func(step, detail string)

// record says which environment a recipe's name stands for.
type record struct {
	Name   string    `json:"name"`
	Folder string    `json:"folder"`
	Python string    `json:"python"`
	Recipe string    `json:"recipe"` // digest of its text
	At     time.Time `json:"at"`
}

// recipe is a file of pinned requirements; its first line says which Pythons
// all of them exist for: "# python 3.10-3.13".
type recipe struct {
	name, text     string
	oldest, newest string
}

// Recipes are the names of the runtimes that Install makes.
func Recipes() (out []string) {
	files, err := fs.Glob(data, "recipes/*.txt")
	if err != nil {
		panic(err) // the pattern is malformed
	}
	for _, f := range files {
		out = append(out, strings.TrimSuffix(path.Base(f), ".txt"))
	}
	return out
}

func readRecipe(name string) (r recipe, err error) {
	if !slices.Contains(Recipes(), name) {
		return r, fmt.Errorf("there is no recipe %q: those that there are make %s", name, join(Recipes()))
	}
	text, err := fs.ReadFile(data, "recipes/"+name+".txt")
	if err != nil {
		return r, err
	}
	r = recipe{name: name, text: string(text)}
	first, _, _ := strings.Cut(r.text, "\n")
	span, ok := strings.CutPrefix(first, "# python ")
	if r.oldest, r.newest, _ = strings.Cut(span, "-"); !ok || r.newest == "" {
		return r, fmt.Errorf("recipe %s: its first line does not say for which Pythons it is", name)
	}
	return r, nil
}

// fits tells whether the recipe is for an interpreter.
func (r recipe) fits(in Interpreter) bool {
	minor := in.Version[:max(0, strings.LastIndex(in.Version, "."))]
	return !older(minor, r.oldest) && !older(r.newest, minor)
}

// Install makes an environment from a recipe, with uv where there is one and
// else with the interpreter's own venv and pip. Only one that is whole, and
// whose modules were imported, takes the place of the one before.
func (s *Store) Install(ctx context.Context, name string, o InstallOptions, tell Progress) (Interpreter, error) {
	r, err := readRecipe(name)
	if err != nil {
		return Interpreter{}, err
	}
	unlock, err := s.lockEnvironments(ctx, tell)
	if err != nil {
		return Interpreter{}, err
	}
	defer unlock()
	if err := s.removeHalfMade(); err != nil {
		return Interpreter{}, err
	}
	base, err := s.baseFor(ctx, r, o.Python)
	if err != nil {
		return Interpreter{}, err
	}
	// Environments know their own path, so it is made where it stays, and
	// counts once the record names it.
	folder, err := os.MkdirTemp(s.environments(), name+"-")
	if err != nil {
		return Interpreter{}, err
	}
	in, err := s.build(ctx, r, base, folder, o, tell)
	if err != nil {
		return in, errors.Join(err, os.RemoveAll(folder))
	}
	old, had := s.installed(name)
	raw, err := json.MarshalIndent(record{Name: name, Folder: folder, Python: in.Path, Recipe: digest(r.text), At: time.Now().UTC()}, "", "  ")
	if err != nil {
		return in, err
	}
	if err := replace(s.recordPath(name), raw); err != nil {
		return in, err
	}
	if had {
		err = os.RemoveAll(old.Folder)
	}
	return in, err
}

func (s *Store) environments() string { return filepath.Join(s.cache, "environments") }

func (s *Store) recordPath(name string) string {
	return filepath.Join(s.cache, "recipes", name+".json")
}

// installed reads the record of a name; a folder that is gone is no environment.
func (s *Store) installed(name string) (r record, ok bool) {
	if !slices.Contains(Recipes(), name) {
		return r, false
	}
	raw, err := os.ReadFile(s.recordPath(name))
	if err != nil || json.Unmarshal(raw, &r) != nil || filepath.Dir(r.Folder) != s.environments() {
		return r, false
	}
	return r, executable(r.Python)
}

// uninstall removes the environment of a name, and says whether there was one.
func (s *Store) uninstall(ctx context.Context, name string) (bool, error) {
	if _, ok := s.installed(name); !ok {
		return false, nil
	}
	unlock, err := s.lockEnvironments(ctx, func(string, string) {})
	if err != nil {
		return false, err
	}
	defer unlock()
	if err := os.Remove(s.recordPath(name)); err != nil {
		return false, err
	}
	return true, s.removeHalfMade()
}

// removeHalfMade removes every environment that no record names. The lock is held.
func (s *Store) removeHalfMade() error {
	folders, err := os.ReadDir(s.environments())
	if err != nil {
		return err
	}
	for _, f := range folders {
		folder := filepath.Join(s.environments(), f.Name())
		if slices.ContainsFunc(Recipes(), func(name string) bool { r, ok := s.installed(name); return ok && r.Folder == folder }) {
			continue
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}

// lockEnvironments waits for another process that installs or removes.
func (s *Store) lockEnvironments(ctx context.Context, tell Progress) (unlock func(), err error) {
	if err := os.MkdirAll(s.environments(), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(s.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { lock.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			lock.Close()
			return nil, err
		}
		tell("waiting", "another installation is under way")
		select {
		case <-ctx.Done():
			lock.Close()
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// baseFor finds the interpreter that an environment is made of.
func (s *Store) baseFor(ctx context.Context, r recipe, asked string) (Interpreter, error) {
	paths := s.candidates("python3", "python3.13", "python3.12", "python3.11", "python3.10")
	if asked != "" {
		path, err := filepath.Abs(asked)
		if err != nil {
			return Interpreter{}, err
		}
		paths = []string{path}
	}
	_, noUV := exec.LookPath("uv")
	var seen []string
	for _, path := range paths {
		in, err := s.prober.look(ctx, path)
		if err != nil && asked != "" {
			return in, err
		}
		if err != nil {
			continue
		}
		able := noUV == nil || in.Has("venv", "ensurepip")
		if r.fits(in) && able {
			return in, nil
		}
		note := fmt.Sprintf("%s is %s", in.Path, in.Version)
		if r.fits(in) && !able {
			note = in.Path + " has no venv (on Debian: apt install python3-venv)"
		}
		if !slices.Contains(seen, note) {
			seen = append(seen, note)
		}
	}
	if len(seen) == 0 {
		seen = []string{"there is none here"}
	}
	return Interpreter{}, fmt.Errorf("the recipe %s needs a Python from %s to %s that can make environments, but %s; name one with --python", r.name, r.oldest, r.newest, join(seen))
}

// build makes the environment, fills it and tries it.
func (s *Store) build(ctx context.Context, r recipe, base Interpreter, folder string, o InstallOptions, tell Progress) (in Interpreter, err error) {
	scratch, err := os.MkdirTemp(s.environments(), "scratch-") // on the same disk, which the packages fit on
	if err != nil {
		return in, err
	}
	defer os.RemoveAll(scratch)
	requirements := filepath.Join(scratch, "requirements.txt")
	if err := os.WriteFile(requirements, []byte(r.text), 0o600); err != nil {
		return in, err
	}
	python := filepath.Join(folder, "bin", "python")
	create := []string{base.Path, "-I", "-m", "venv", folder}
	fill := []string{python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off", "-r", requirements}
	if uv, err := exec.LookPath("uv"); err == nil {
		create = []string{uv, "venv", "--seed", "--python", base.Path, folder}
		fill = []string{uv, "pip", "install", "--python", python, "-r", requirements}
	}
	if o.Index != "" {
		fill = append(fill, "--index-url", o.Index)
	}
	tell("environment", fmt.Sprintf("of Python %s in %s", base.Version, folder))
	if err := s.run(ctx, scratch, create, func(string) {}); err != nil {
		return in, fmt.Errorf("cannot make an environment of %s: %w", base.Path, err)
	}
	tell("packages", "asking the index")
	if err := s.run(ctx, scratch, fill, func(line string) { tell("packages", line) }); err != nil {
		return in, fmt.Errorf("cannot install the packages of %s: %w", r.name, err)
	}
	tell("check", "importing what was installed")
	if err := s.try(ctx, r, python); err != nil {
		return in, err
	}
	return s.prober.look(ctx, python)
}

// try imports what the runtime is about.
func (s *Store) try(ctx context.Context, r recipe, python string) error {
	k := s.table.find(r.name)
	if k == nil || len(k.needs) == 0 {
		return nil
	}
	if err := s.run(ctx, os.TempDir(), []string{python, "-I", "-c", "import " + join(k.needs)}, func(string) {}); err != nil {
		return fmt.Errorf("the environment is made, but does not work: %w", err)
	}
	return nil
}

// run runs a program to its end, with its temporary files below scratch, and
// hands on the lines that it prints. Its error holds the last of them.
func (s *Store) run(ctx context.Context, scratch string, argv []string, line func(string)) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(cleanEnvironment(), "TMPDIR="+scratch, "UV_LINK_MODE=hardlink", "PYTHONUNBUFFERED=1")
	ownGroup(cmd)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	read := make(chan []string)
	go func() { read <- follow(out, line) }()
	err := cmd.Run()
	in.Close()
	last := <-read
	if err == nil || ctx.Err() != nil {
		return errors.Join(ctx.Err())
	}
	return fmt.Errorf("%w: %s", err, strings.Join(last, " / "))
}

// follow hands on lines as they come, and keeps the last few: of what a client
// calls an error, the beginning. Where pip looks is left out: the address may
// hold a password.
func follow(from io.Reader, line func(string)) (last []string) {
	const lastLines = 4
	failing := false
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "Looking in ") {
			continue
		}
		line(short(text))
		switch isError := strings.HasPrefix(strings.ToLower(text), "error"); {
		case isError && !failing:
			last, failing = []string{text}, true
		case !failing && len(last) == lastLines:
			last = append(last[1:], text)
		case len(last) < lastLines:
			last = append(last, text)
		}
	}
	io.Copy(io.Discard, from) //nolint:errcheck // after a line that is too long, so that the program goes on
	return last
}

// short keeps a line of progress to what one wants to know.
func short(line string) string {
	if i := strings.Index(line, " (from "); i > 0 {
		line = line[:i]
	}
	if r := []rune(line); len(r) > 100 {
		line = string(r[:99]) + "…"
	}
	return line
}
