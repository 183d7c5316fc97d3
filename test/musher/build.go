package musher

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Root is the repository's folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		err = fmt.Errorf("no go.mod above the working folder")
	}
	t.Fatal(err)
	return ""
}

// Binary is the path of the program under test.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("MUSHER_BINARY"); path != "" {
		return path
	}
	root := Root(t)
	path, err := build(root)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

//nolint:gochecknoglobals // a test run builds once
var (
	buildOnce  sync.Once
	buildError error
)

// build makes the binary, with the race detector where the tests have it. Test
// packages run side by side: the lock lets one build and the others find it
// up to date.
func build(root string) (string, error) {
	name, flags, cgo := "musher", []string{"build"}, "0"
	if raceEnabled {
		name, flags, cgo = "musher-race", []string{"build", "-race"}, "1"
	}
	path := filepath.Join(root, "build", "test", name)
	buildOnce.Do(func() {
		if buildError = os.MkdirAll(filepath.Dir(path), 0o755); buildError != nil {
			return
		}
		lock, err := os.Create(path + ".lock")
		if err != nil {
			buildError = err
			return
		}
		defer lock.Close()
		if buildError = unix.Flock(int(lock.Fd()), unix.LOCK_EX); buildError != nil {
			return
		}
		cmd := exec.Command("go", append(flags, "-o", path, "./cmd/musher")...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			buildError = fmt.Errorf("build the server: %w\n%s", err, out)
		}
	})
	return path, buildError
}
