package toolkit_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/toolkit"
)

// A container's command finds an environment of the job's own first in PATH,
// and the runtime's modules in it.
func TestEntrypoint(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal(err)
	}
	tools, err := toolkit.Install(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	script := `command -v python3; command -v pip3; python3 -c 'import sys, pip; print(sys.prefix)'; exit 7`
	c := toolkit.Entrypoint(runtimes.Runtime{Python: python, Bin: filepath.Dir(python)}, tools, base, []string{"/bin/sh", "-c", script})
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = []string{"HOME=" + base}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		cmd.Env = append(cmd.Env, name+"="+c.Env[name])
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Fatalf("exit code %d, %v, want the command's 7", code, err)
	}
	own := filepath.Join(base, "code-packages")
	want := []string{own + "/bin/python3", own + "/bin/pip3", own}
	if got := strings.Fields(string(out)); !slices.Equal(got, want) {
		t.Errorf("the command saw %v, want %v", got, want)
	}
}
