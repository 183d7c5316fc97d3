package assets

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fakeClient puts a shell script called name first into PATH; python3 and the
// real clients are hidden.
func fakeClient(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"cp", "mkdir", "sleep", "dirname"} {
		real, err := exec.LookPath(tool)
		if err != nil {
			t.Skipf("the script needs %s: %v", tool, err)
		}
		if err := os.Symlink(real, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// wheelItem is an item inside a wheel that lies at the returned path.
func wheelItem(t *testing.T) (it Item, want []byte, wheelPath string) {
	t.Helper()
	want = content(5000)
	wheel := makeZip(t, map[string]string{"pkg/thing.bin": string(want)})
	it = Item{Name: "thing", File: "thing.bin", SHA256: sum(want), Wheel: &Wheel{
		Project: "thing-model", Version: "1.0", File: "thing_model-1.0-cp312-cp312-x.whl",
		SHA256: sum(wheel), Size: int64(len(wheel)), Member: "pkg/thing.bin",
		Target: &Target{Python: "3.12", ABI: "cp312", Platform: "manylinux_x", UVPlatform: "uv_x"},
	}}
	wheelPath = filepath.Join(t.TempDir(), it.Wheel.File)
	if err := os.WriteFile(wheelPath, wheel, 0o644); err != nil {
		t.Fatal(err)
	}
	return it, want, wheelPath
}

const pipScript = `
if [ "$1" = --version ]; then exit 0; fi
echo "$@" > "$ARGS"
while [ $# -gt 1 ]; do
	if [ "$1" = --dest ]; then dest=$2; fi
	shift
done
mkdir -p "$dest" && cp "$WHEEL" "$dest/"
`

func TestPip(t *testing.T) {
	for _, name := range []string{"pip", "pip3", "python3"} {
		t.Run(name, func(t *testing.T) {
			it, want, wheel := wheelItem(t)
			script := pipScript
			if name == "python3" {
				script = `if [ "$1 $2" != "-m pip" ]; then exit 2; fi; shift; shift` + "\n" + pipScript
			}
			fakeClient(t, name, script)
			args := filepath.Join(t.TempDir(), "args")
			t.Setenv("ARGS", args)
			t.Setenv("WHEEL", wheel)
			var mu sync.Mutex
			var events []Progress
			r := newResolver(t, nil)
			r.opts.Progress = func(p Progress) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, p)
			}
			p, err := r.Fetch(t.Context(), it)
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, p, want)
			checkPipArgs(t, args)
			checkEvents(t, events, it.Wheel.Size)
			left, err := filepath.Glob(filepath.Join(filepath.Dir(p), ".tmp*"))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func checkPipArgs(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, want := range []string{"download --no-deps", "--only-binary=:all:", "--python-version 3.12", "--abi cp312", "--platform manylinux_x", "thing-model==1.0"} {
		if !strings.Contains(got, want) {
			t.Errorf("pip was called with %q, want %q in it", got, want)
		}
	}
	for _, no := range []string{"index-url", "http"} {
		if strings.Contains(got, no) {
			t.Errorf("pip was told where to look: %q", got)
		}
	}
}

func checkEvents(t *testing.T, events []Progress, size int64) {
	t.Helper()
	if len(events) < 3 {
		t.Fatalf("events %v", events)
	}
	if e := events[0]; e.Phase != Downloading || e.Done != 0 || e.Total != size || e.Item != "thing" || e.Source != "pip" {
		t.Errorf("first event %+v", e)
	}
	if e := events[len(events)-2]; e.Phase != Downloading || e.Done != size {
		t.Errorf("last but one event %+v", e)
	}
	if e := events[len(events)-1]; e.Phase != Finished {
		t.Errorf("last event %+v", e)
	}
}

func TestUVWhenPipIsMissing(t *testing.T) {
	it, want, _ := wheelItem(t)
	member := filepath.Join(t.TempDir(), "thing.bin")
	if err := os.WriteFile(member, want, 0o644); err != nil {
		t.Fatal(err)
	}
	fakeClient(t, "uv", `
case "$*" in *"--python-version 3.12 --python-platform uv_x thing-model==1.0") ;; *) echo "error: $*"; exit 2;; esac
while [ $# -gt 1 ]; do
	if [ "$1" = --target ]; then target=$2; fi
	shift
done
mkdir -p "$target/pkg" && cp "$MEMBER" "$target/pkg/"
`)
	t.Setenv("MEMBER", member)
	p, err := newResolver(t, nil).Fetch(t.Context(), it)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, p, want)

	it.SHA256 = "" // nothing to check uv's result with
	if _, err := newResolver(t, nil).Fetch(t.Context(), it); err == nil || !strings.Contains(err.Error(), "only the wheel's checksum is known") {
		t.Fatalf("error %v", err)
	}
}

func TestClientFailures(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"index has it not", `[ "$1" = --version ] || { echo "Looking"; echo "ERROR: No matching distribution found for thing-model==1.0"; echo "note: bye"; exit 1; }`, "ERROR: No matching distribution found"},
		{"brings nothing", `exit 0`, "brought no wheel"},
		{"brings a wrong wheel", pipScript, "wrong checksum"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			it, _, wheel := wheelItem(t)
			it.Wheel.SHA256 = sum([]byte("another wheel"))
			fakeClient(t, "pip", tt.script)
			t.Setenv("ARGS", os.DevNull)
			t.Setenv("WHEEL", wheel)
			_, err := newResolver(t, nil).Fetch(t.Context(), it)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// A cancelled fetch must leave nothing running: the client's own children
// neither.
func TestCancelKillsTheClientsGroup(t *testing.T) {
	it, _, _ := wheelItem(t)
	pids := filepath.Join(t.TempDir(), "pids")
	fakeClient(t, "pip", `[ "$1" = --version ] && exit 0
sleep 100 &
echo "$$ $!" > "$PIDS.tmp" && cp "$PIDS.tmp" "$PIDS"
wait`)
	t.Setenv("PIDS", pids)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	r := newResolver(t, nil)
	go func() {
		_, err := r.Fetch(ctx, it)
		done <- err
	}()
	var text string
	for !strings.Contains(text, "\n") {
		b, _ := os.ReadFile(pids)
		text = string(b)
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	for _, field := range strings.Fields(text) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		waitGone(t, pid)
	}
}

// waitGone waits until a process has ended. An orphan that nobody has reaped
// yet counts as ended.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for range 2000 {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || (err == nil && strings.Contains(string(stat), ") Z ")) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("process %d still runs", pid)
}

func TestTail(t *testing.T) {
	var out tail
	for range 1000 {
		if _, err := out.Write([]byte(strings.Repeat("x", 99) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := out.Write([]byte("ERROR: it broke\nnote")); err != nil {
		t.Fatal(err)
	}
	if n := out.buf.Len(); n > 16<<10 {
		t.Errorf("keeps %d bytes", n)
	}
	if got := lastLine(out.String()); got != "ERROR: it broke" {
		t.Errorf("last line %q", got)
	}
}

// The catalogue against a real package client. Only the smallest wheel is
// fetched here; the others are fetched by the tests of the packages that use
// them.
func TestCatalogueWithARealClient(t *testing.T) {
	if testing.Short() {
		t.Skip("fetches 9 MB; skipped with -short")
	}
	r, err := New(t.TempDir(), Options{Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Fetch(t.Context(), HandwrittenDigits())
	var fe *FetchError
	if errors.As(err, &fe) && !errors.Is(err, ErrChecksum) {
		t.Skipf("no package client reaches an index here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(p); err != nil || info.Size() != HandwrittenDigits().Size {
		t.Errorf("%v, %v", info, err)
	}
}

func TestCatalogueIsWellFormed(t *testing.T) {
	items := []Item{DogImages(), HandwrittenDigits()}
	for _, platform := range [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}} {
		it, err := ONNXRuntime(platform[0], platform[1])
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	for n := range 3 {
		it, err := EfficientNetLite(n)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	for _, depth := range []int{18, 34, 50} {
		it, err := ResNet(depth)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	keys := map[string]bool{}
	for _, it := range items {
		if err := it.validate(); err != nil {
			t.Error(err)
		}
		if keys[it.Key()] {
			t.Errorf("two items have the key %s", it.Key())
		}
		keys[it.Key()] = true
		if it.Wheel != nil && (len(it.Wheel.SHA256) != 64 || len(it.SHA256) != 64) {
			t.Errorf("%s is in a wheel and not pinned", it.Name)
		}
	}
	for _, missing := range []func() (Item, error){
		func() (Item, error) { return ONNXRuntime("plan9", "386") },
		func() (Item, error) { return EfficientNetLite(3) },
		func() (Item, error) { return ResNet(101) },
	} {
		if _, err := missing(); err == nil {
			t.Error("an unknown item was found")
		}
	}
	if _, err := ONNXRuntime("plan9", "386"); !errors.Is(err, ErrUnsupportedPlatform) || !strings.Contains(err.Error(), ONNXRuntimeEnv) {
		t.Errorf("error %v", err)
	}
}
