package train

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// helper marks a copy of the test binary that runs a job on a full disk.
const helper = "TRAIN_TEST_FULL"

// TestDiskFull runs a job whose model folder is a file system that is too
// small, in a mount namespace of its own.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv(helper); dir != "" {
		runOnFullDisk(t, dir)
		return
	}
	load(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), helper+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "--- SKIP") {
		t.Skipf("no small file system can be mounted here: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func runOnFullDisk(t *testing.T, dir string) {
	f := newFixture(t, 4, "train", "validation")
	f.Dir = moved(t, f.Dir, dir)
	model := filepath.Join(f.Dir, "model")
	if err := os.MkdirAll(model, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", model, "tmpfs", 0, "size=4k"); err != nil {
		t.Skip(fmt.Sprint("mount: ", err))
	}
	f.config("hyperparameters", map[string]string{"head": "mlp", "hidden_units": "4096", "epochs": "1"})
	err := f.run()
	if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "the disk is full: write model") {
		t.Errorf("got %v", err)
	}
	if files := f.modelFiles(); len(files) > 0 {
		t.Errorf("%v is left", files)
	}
	if err := unix.Unmount(model, 0); err != nil {
		t.Fatal(err)
	}
	f.mustRun() // with room again
}

// moved puts a job's folder at another place, which outlives this process.
func moved(t *testing.T, from, to string) string {
	to = filepath.Join(to, "job")
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	return to
}
