package runtimes

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maker is an interpreter that makes environments, of a shell script. Where
// DIR/broken holds a word, the program of that name (venv, pip, import) fails.
func maker(t *testing.T) *fake {
	t.Helper()
	f := newFake(t, t.TempDir(), "3.11.7", "venv", "ensurepip")
	write(t, f.path, `#!/bin/sh
broken() { grep -qs "$1" '`+f.says.Prefix+`/broken' && echo "no $1 today" >&2; }
case "$*" in
*"-m venv"*)
	broken venv && exit 1
	for dir; do :; done
	mkdir -p "$dir/bin" "$dir/lib/site-packages"
	cp "$0" "$dir/bin/python"
	;;
*"-m pip install"*)
	echo "Looking in indexes: https://user:password@example.com/simple"
	echo "Collecting torch==2.9.1 (from -r requirements.txt (line 1))"
	broken pip && exit 1
	mkdir "${0%/bin/python}/lib/site-packages/torch"
	echo "Successfully installed torch-2.9.1"
	;;
*"-c import"*) broken import && exit 1; exit 0 ;;
*)
	env="${0%/bin/python}"
	if [ "$env" = "$0" ]; then cat '`+f.path+`.says'; exit; fi
	packages='{}'
	[ -d "$env/lib/site-packages/torch" ] && packages='{"torch": "2.9.1"}'
	echo '{"path": "'"$0"'", "version": "3.11.7", "prefix": "'"$env"'", "base_prefix": "/usr", "sites": ["'"$env"'/lib/site-packages"], "packages": '"$packages"'}'
esac
`)
	return f
}

func TestInstall(t *testing.T) {
	f := maker(t)
	m := newMachine(t, f)
	s := m.open()
	left := func() (out []string) {
		t.Helper()
		entries, err := os.ReadDir(s.environments())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, filepath.Join(s.environments(), e.Name()))
		}
		return out
	}
	install := func() (Interpreter, string, error) {
		var told strings.Builder
		in, err := s.Install(t.Context(), "pytorch", InstallOptions{}, func(step, detail string) {
			told.WriteString(step + ": " + detail + "\n")
		})
		return in, told.String(), err
	}
	first, told, err := install()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"environment: of Python 3.11.7 in " + s.environments(), "packages: Collecting torch==2.9.1\n", "packages: Successfully installed", "check: "} {
		if !strings.Contains(told, want) {
			t.Errorf("progress lacks %q:\n%s", want, told)
		}
	}
	if strings.Contains(told, "password") {
		t.Errorf("progress tells the index's password:\n%s", told)
	}
	if rt := resolve(t, m.open(), "pytorch"); rt.Python != first.Path || !first.Has("torch") {
		t.Errorf("resolved to %s", rt.Python)
	}
	// Whatever goes wrong, the one that works stays, alone.
	for _, what := range []string{"venv", "pip", "import"} {
		write(t, f.says.Prefix+"/broken", what)
		if _, _, err := install(); err == nil || !strings.Contains(err.Error(), "no "+what+" today") {
			t.Errorf("broken %s: %v", what, err)
		}
		if rt := resolve(t, s, "pytorch"); rt.Python != first.Path || len(left()) != 1 {
			t.Errorf("broken %s: resolved to %s; folders %v", what, rt.Python, left())
		}
	}
	if err := os.Remove(f.says.Prefix + "/broken"); err != nil {
		t.Fatal(err)
	}
	// An installation that was killed leaves a folder, for the next one to remove.
	write(t, filepath.Join(s.environments(), "pytorch-half", "bin", "python"), "")
	second, _, err := install()
	if err != nil || second.Path == first.Path {
		t.Fatal(second.Path, err)
	}
	if rt := resolve(t, s, "pytorch"); rt.Python != second.Path || len(left()) != 1 || left()[0] != second.Prefix {
		t.Errorf("resolved to %s; folders %v", rt.Python, left())
	}
	// One whose folder somebody removed is not used.
	if err := os.RemoveAll(second.Prefix); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve("pytorch"); err == nil {
		t.Error("a runtime that is gone is used")
	}
}

func TestInstallRefuses(t *testing.T) {
	old, bare := newFake(t, t.TempDir(), "3.8.2", "venv", "ensurepip"), newFake(t, t.TempDir(), "3.11.7")
	s := newMachine(t, old, bare).open()
	quiet := func(string, string) {}
	_, err := s.Install(t.Context(), "pytorch", InstallOptions{}, quiet)
	for _, want := range []string{"3.10 to 3.13", old.path + " is 3.8.2", bare.path + " has no venv"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if _, err := s.Install(t.Context(), "tensorflow", InstallOptions{}, quiet); err == nil || !strings.Contains(err.Error(), "base, pytorch, sklearn") {
		t.Errorf("no such recipe: %v", err)
	}
	if _, err := newMachine(t).open().Install(t.Context(), "base", InstallOptions{}, quiet); err == nil || !strings.Contains(err.Error(), "none here") {
		t.Errorf("no Python: %v", err)
	}
}

// Who waits for another installation can be interrupted.
func TestInstallWaits(t *testing.T) {
	s := newMachine(t, maker(t)).open()
	unlock, err := s.lockEnvironments(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.Install(ctx, "pytorch", InstallOptions{}, func(step, _ string) {
		if step == "waiting" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	unlock()
	if _, err := s.Install(t.Context(), "pytorch", InstallOptions{}, func(string, string) {}); err != nil {
		t.Error(err)
	}
}

// What went wrong stands first, whatever a client says after it.
func TestFollow(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb\nc\nd\ne\nf":                 "c / d / e / f",
		"a\nb":                             "a / b",
		"a\nb\nERROR: x\nn1\nn2\nn3\nn4\n": "ERROR: x / n1 / n2 / n3",
		"a\nerror: no torch\n  caused by: y\nERROR: z": "error: no torch / caused by: y / ERROR: z",
		"Looking in indexes: https://u:p@x\na":         "a",
	} {
		if got := strings.Join(follow(strings.NewReader(text), func(string) {}), " / "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
