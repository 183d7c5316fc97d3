package runtimes

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake is an interpreter made of a shell script. It says what it is told to,
// and counts how often it was asked.
type fake struct {
	t    testing.TB
	path string
	says Interpreter
}

// newFake makes DIR/bin/python3 with packages in DIR/lib/site-packages.
func newFake(t testing.TB, dir, version string, packages ...string) *fake {
	t.Helper()
	f := &fake{t: t, path: filepath.Join(dir, "bin", "python3")}
	site := filepath.Join(dir, "lib", "site-packages")
	for _, d := range []string{filepath.Dir(f.path), site} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.says = Interpreter{
		Path: f.path, Version: version, Prefix: dir, BasePrefix: dir, Libraries: []string{site}, Sites: []string{site},
		Packages: map[string]string{},
	}
	f.have(packages...)
	return f
}

// have installs packages, as a package manager does: the folder changes, the
// interpreter does not.
func (f *fake) have(packages ...string) {
	f.t.Helper()
	for _, p := range packages {
		f.says.Packages[p] = "1.0"
		if err := os.MkdirAll(filepath.Join(f.says.Sites[0], p), 0o755); err != nil {
			f.t.Fatal(err)
		}
	}
	raw, err := json.Marshal(f.says)
	if err != nil {
		f.t.Fatal(err)
	}
	write(f.t, f.path+".says", string(raw))
	if _, err := os.Stat(f.path); err == nil {
		return
	}
	write(f.t, f.path, `#!/bin/sh
echo "$@" >> '`+f.path+`.runs'
cat '`+f.path+`.says'
`)
	if err := os.Chmod(f.path, 0o755); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) asked() int {
	raw, err := os.ReadFile(f.path + ".runs")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Fatal(err)
	}
	return strings.Count(string(raw), "-I -c")
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// machine is a store with folders of its own, on a machine with some fakes.
type machine struct {
	t           testing.TB
	data, cache string
	search      []string
}

func newMachine(t testing.TB, fakes ...*fake) *machine {
	t.Setenv("PATH", "/usr/bin:/bin") // no uv
	m := &machine{t: t, data: filepath.Join(t.TempDir(), "data"), cache: t.TempDir(), search: []string{}}
	for _, f := range fakes {
		m.search = append(m.search, filepath.Dir(f.path))
	}
	return m
}

func (m *machine) open() *Store {
	m.t.Helper()
	s, err := Open(m.data, Options{Cache: m.cache, Search: m.search})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func resolve(t testing.TB, s *Store, image string) Runtime {
	t.Helper()
	rt, err := s.Resolve(image)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

func TestImages(t *testing.T) {
	f := newFake(t, t.TempDir(), "3.11.7", "torch", "sklearn", "xgboost", "tensorflow", "torch_neuronx", "text_generation_server")
	s := newMachine(t, f).open()
	text, err := os.ReadFile("testdata/images.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) != 2 || words[0] == "#" {
			continue
		}
		rt, err := s.Resolve(words[0])
		if err != nil {
			rt.Name = "-"
		}
		if rt.Name != words[1] {
			t.Errorf("%s: %s, want %s (%v)", words[0], rt.Name, words[1], err)
		}
		if err == nil && rt.Image != words[0] {
			t.Errorf("%s became the image %s", words[0], rt.Image)
		}
		if wantKind := map[bool]Kind{true: Builtin, false: Python}[words[1] == "builtin"]; err == nil && rt.Kind != wantKind {
			t.Errorf("%s: kind %s", words[0], rt.Kind)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, image string
		fits           bool
	}{
		{"mine", "mine", true},
		{"mine", "mine:3", true},
		{"mine", "mine@sha256:ab", true},
		{"mine", "not/mine", false},
		{"mine:3", "mine:3", true},
		{"mine:3", "mine:4", false},
		{"mine:3*", "mine:3.1-slim", true},
		{"host:5000/mine", "host:5000/mine:1", true},
		{"host:5000/mine", "host:5000/mine2:1", false},
		{"host/*/train", "host/a/train:1", true},
		{"host/*/train", "host/a/b/train:1", false},
		{"host/*", "host/a:b", true},
		{"a.c", "abc", false},
	} {
		fits, err := compile(c.pattern)
		if err != nil || fits.MatchString(c.image) != c.fits {
			t.Errorf("%s fits %s: %v, %v", c.pattern, c.image, !c.fits, err)
		}
	}
	if _, err := compile(""); err == nil {
		t.Error("an empty pattern was taken")
	}
}

// Where a runtime is to be had in several ways, the user's wins, then what was
// installed, then the first that is there.
func TestOrder(t *testing.T) {
	plain, first, second := newFake(t, t.TempDir(), "3.12.1"), newFake(t, t.TempDir(), "3.11.7", "torch"), newFake(t, t.TempDir(), "3.10.2", "torch")
	own := newFake(t, t.TempDir(), "3.9.1", "torch")
	m := newMachine(t, plain, first, second)
	s := m.open()
	for image, want := range map[string]string{"pytorch": first.path, "base": plain.path} {
		if rt := resolve(t, s, image); rt.Python != want {
			t.Errorf("%s is %s, want %s", image, rt.Python, want)
		}
	}
	made := newFake(t, filepath.Join(m.cache, "runtimes/environments/pytorch-1"), "3.13.0", "torch")
	raw, err := json.Marshal(record{Name: "pytorch", Folder: made.says.Prefix, Python: made.path})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.cache, "runtimes/recipes/pytorch.json"), string(raw))
	if rt := resolve(t, s, "pytorch"); rt.Python != made.path {
		t.Errorf("what was installed is not used: %s", rt.Python)
	}
	if _, err := m.open().Add(t.Context(), "pytorch", own.path); err != nil {
		t.Fatal(err)
	}
	if rt := resolve(t, s, "pytorch"); rt.Python != own.path {
		t.Errorf("what was added is not used by a store that was open before: %s", rt.Python)
	}
	if err := m.open().Remove(t.Context(), "pytorch"); err != nil {
		t.Fatal(err)
	}
	if rt := resolve(t, s, "pytorch"); rt.Python != first.path {
		t.Errorf("after all of it was removed: %s", rt.Python)
	}
	if _, err := os.Stat(made.says.Prefix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the environment is still there: %v", err)
	}
	if err := s.Remove(t.Context(), "pytorch"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// An interpreter is run once, by whichever process comes first, and again when
// it or its packages have changed.
func TestAskedOnce(t *testing.T) {
	f := newFake(t, t.TempDir(), "3.11.7", "torch")
	m := newMachine(t, f)
	expect := func(what string, n int) {
		t.Helper()
		if got := f.asked(); got != n {
			t.Errorf("%s: asked %d times, want %d", what, got, n)
		}
	}
	s := m.open()
	expect("nobody needs it", 0)
	resolve(t, s, "pytorch")
	resolve(t, s, "base")
	expect("twice in one process", 1)
	s = m.open()
	resolve(t, s, "pytorch")
	expect("another process", 1)
	if _, err := s.Resolve("sklearn"); err == nil {
		t.Error("sklearn is there without its module")
	}
	later := time.Now().Add(time.Hour)
	f.have("sklearn")
	if err := os.Chtimes(f.says.Sites[0], later, later); err != nil {
		t.Fatal(err)
	}
	resolve(t, s, "sklearn")
	expect("a package came", 2)
	if err := os.Chtimes(f.path, later, later); err != nil {
		t.Fatal(err)
	}
	resolve(t, m.open(), "sklearn")
	expect("the interpreter was replaced", 3)
	if err := os.RemoveAll(m.cache); err != nil {
		t.Fatal(err)
	}
	if rt := resolve(t, s, "sklearn"); !executable(rt.Bin + "/python3") {
		t.Error("no programs after the cache was removed")
	}
}

// A version manager's stub starts now this interpreter and now that one.
func TestStub(t *testing.T) {
	f := newFake(t, t.TempDir(), "3.11.7")
	other := newFake(t, t.TempDir(), "3.12.1")
	stub := filepath.Join(t.TempDir(), "python3")
	point := func(at *fake) {
		t.Helper()
		write(t, stub+".at", at.path)
		write(t, stub, "#!/bin/sh\nexec \"$(cat '"+stub+".at')\" \"$@\"\n")
		if err := errors.Join(os.Chmod(stub, 0o755), os.Chtimes(stub, time.Unix(1e9, 0), time.Unix(1e9, 0))); err != nil {
			t.Fatal(err)
		}
	}
	m := newMachine(t)
	m.search = []string{filepath.Dir(stub)}
	for _, at := range []*fake{f, other} {
		point(at)
		if rt := resolve(t, m.open(), "base"); rt.Python != at.path {
			t.Errorf("the runtime is %s, not %s", rt.Python, at.path)
		}
	}
}

func TestErrors(t *testing.T) {
	plain, also := newFake(t, t.TempDir(), "3.11.7"), newFake(t, t.TempDir(), "3.12.1")
	m := newMachine(t, plain, also)
	s := m.open()
	const tensorflow = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2.14-cpu-py310"
	for image, want := range map[string][]string{
		"acme/train:1": {`"acme/train:1"`, "base, pytorch, sklearn", "`musher runtime add NAME /PATH/TO/python3 --image acme/train:1 --data " + m.data + "`"},
		"x; rm -rf /":  {"--image 'x; rm -rf /'"},
		tensorflow:     {tensorflow, "tensorflow", "no recipe", plain.path + " (3.11.7)", also.path, "`musher runtime add tensorflow /PATH/TO/python3 --data " + m.data + "`"},
		"pytorch":      {"the module torch", "`musher runtime install pytorch --data " + m.data + "` makes one"},
	} {
		_, err := s.Resolve(image)
		for _, text := range want {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v\nlacks %q", image, err, text)
			}
		}
	}
	if _, err := newMachine(t).open().Resolve("python:3.12"); err == nil || !strings.Contains(err.Error(), "there is no Python here") {
		t.Errorf("without any Python: %v", err)
	}
	own := newFake(t, t.TempDir(), "3.11.7")
	if _, err := s.Add(t.Context(), "mine", own.path, "acme/*"); err != nil {
		t.Fatal(err)
	}
	if rt := resolve(t, s, "acme/train:1"); rt.Name != "mine" || rt.Python != own.path {
		t.Errorf("the user's image is %+v", rt)
	}
	if err := os.Remove(own.path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve("mine"); err == nil || !strings.Contains(err.Error(), "`musher runtime rm mine --data "+m.data+"` forgets it") {
		t.Errorf("with its interpreter gone: %v", err)
	}
}

func TestAddRefuses(t *testing.T) {
	good := newFake(t, t.TempDir(), "3.11.7")
	dumb := filepath.Join(t.TempDir(), "python3")
	write(t, dumb, "#!/bin/sh\necho Python 3.11\n")
	two := filepath.Join(t.TempDir(), "python2")
	write(t, two, "#!/bin/sh\necho 'Unknown option: -I' >&2\nexit 2\n")
	if err := errors.Join(os.Chmod(dumb, 0o755), os.Chmod(two, 0o755)); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	s := m.open()
	for _, c := range []struct{ name, python, image, want string }{
		{"pytorch", good.path, "", "no module torch"},
		{"builtin", good.path, "", "cannot be the name"},
		{"Mine!", good.path, "", "cannot be the name"},
		{"../x", good.path, "", "cannot be the name"},
		{"mine", good.path, "a b", "no pattern"},
		{"mine", newFake(t, t.TempDir(), "3.7.9").path, "", "3.8 or later is needed"},
		{"mine", dumb, "", "no Python: it answered"},
		{"mine", two, "", "Unknown option: -I"},
		{"mine", "/no/such/python", "", "no such file"},
	} {
		var images []string
		if c.image != "" {
			images = []string{c.image}
		}
		if _, err := s.Add(t.Context(), c.name, c.python, images...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := os.Stat(s.addedPath()); err == nil {
		t.Error("something was written")
	}
}

func TestList(t *testing.T) {
	f := newFake(t, t.TempDir(), "3.11.7", "torch", "numpy")
	m := newMachine(t, f)
	s := m.open()
	if _, err := s.Add(t.Context(), "mine", f.path, "acme/*"); err != nil {
		t.Fatal(err)
	}
	entries, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]Entry{}
	for _, e := range entries {
		by[e.Name] = e
	}
	want := Entry{Name: "mine", Source: Added, Python: f.path, Version: "3.11.7", Packages: map[string]string{"torch": "1.0", "numpy": "1.0"}, Images: []string{"acme/*"}}
	if d := cmp.Diff(want, by["mine"]); d != "" {
		t.Error(d)
	}
	for name, source := range map[string]Source{"builtin": BuiltIn, "pytorch": Found, "base": Found, "sklearn": ""} {
		if e := by[name]; e.Source != source || len(e.Images) == 0 || (source == "") != (e.Problem != "") {
			t.Errorf("%+v", e)
		}
	}
}

// What work is shown of an interpreter is what it needs, and nothing of the
// folder's owner.
func TestMounts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	in := func(path string) string { return filepath.Join(home, path) }
	for _, file := range []string{
		".aws/credentials", "project/.env", "project/pyvenv.cfg", "project/lib/python3.11/site-packages/x.py",
		".pyenv/versions/3.11.7/lib/python3.11/os.py", ".pyenv/versions/3.11.7/bin/python3.11", ".local/share/keyrings/login", ".local/bin/tool",
		"conda/conda-meta/history", "conda/bin/python3", "conda/ssl/cacert.pem", "elsewhere/python3.11", "bin/x",
	} {
		write(t, in(file), "")
	}
	for at, to := range map[string]string{"project/bin/python": in("elsewhere/python3"), "elsewhere/python3": "python3.11"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(in(at)), 0o755), os.Symlink(to, in(at))); err != nil {
			t.Fatal(err)
		}
	}
	base := in(".pyenv/versions/3.11.7")
	for name, c := range map[string]struct {
		in   Interpreter
		want []string
	}{
		"the system's": {Interpreter{Path: "/usr/bin/python3", Prefix: "/usr", BasePrefix: "/usr", Libraries: []string{"/usr/lib/python3"}}, nil},
		"an installation": {
			Interpreter{Path: base + "/bin/python3.11", Prefix: base, BasePrefix: base, Libraries: []string{base + "/lib/python3.11"}},
			[]string{base + "/bin", base + "/lib"},
		},
		"an environment beside secrets": {
			Interpreter{Path: in("project/bin/python"), Prefix: in("project"), BasePrefix: base, Libraries: []string{base + "/lib/python3.11", in("project/lib/python3.11")}},
			[]string{base + "/bin", base + "/lib", in("elsewhere/python3"), in("elsewhere/python3.11"), in("project/bin"), in("project/lib"), in("project/pyvenv.cfg")},
		},
		"conda": {Interpreter{Path: in("conda/bin/python3"), Prefix: in("conda"), BasePrefix: in("conda")}, []string{in("conda")}},
		"a home": {
			Interpreter{Path: in("bin/x"), Prefix: home, BasePrefix: home},
			[]string{in("bin")},
		},
	} {
		var got []string
		for _, m := range mounts(c.in, "/usr/bin") {
			got = append(got, m.Source)
			if !m.ReadOnly || m.Target != "" {
				t.Errorf("%s: %+v", name, m)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	if env := environment(Interpreter{Prefix: "/usr", BasePrefix: "/usr"}); env != nil {
		t.Errorf("the system's: %v", env)
	}
	if env := environment(Interpreter{Prefix: dir, BasePrefix: "/usr"}); !maps.Equal(env, map[string]string{"VIRTUAL_ENV": dir}) {
		t.Errorf("an environment's: %v", env)
	}
	write(t, dir+"/conda-meta/history", "")
	if env := environment(Interpreter{Prefix: dir, BasePrefix: dir}); !maps.Equal(env, map[string]string{"CONDA_PREFIX": dir}) {
		t.Errorf("conda's: %v", env)
	}
}

// Every recipe is for a runtime, names its Pythons, and pins what it installs.
func TestRecipes(t *testing.T) {
	table, err := readTable(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Recipes() {
		r, err := readRecipe(name)
		if err != nil || table.find(name) == nil {
			t.Errorf("%s: %v", name, err)
		}
		for line := range strings.Lines(r.text) {
			if !strings.HasPrefix(line, "#") && !strings.Contains(line, "==") {
				t.Errorf("%s does not pin %s", name, line)
			}
		}
	}
	r := recipe{oldest: "3.10", newest: "3.13"}
	for version, fits := range map[string]bool{"3.9.18": false, "3.10.0": true, "3.13.7": true, "3.14.0": false, "": false} {
		if r.fits(Interpreter{Version: version}) != fits {
			t.Errorf("%q fits: %v", version, !fits)
		}
	}
}

func TestManyAdd(t *testing.T) {
	f := newFake(t, t.TempDir(), "3.11.7")
	m := newMachine(t, f)
	const n = 8
	failed := make(chan error, n)
	var want []string
	for i := range n {
		s, name := m.open(), fmt.Sprintf("mine-%d", i)
		want = append(want, name)
		go func() { _, err := s.Add(t.Context(), name, f.path); failed <- err }()
	}
	for range n {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	all, err := m.open().added()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range all.Runtimes {
		got = append(got, a.Name)
	}
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
