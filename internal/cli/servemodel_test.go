package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// What keeps a model from being served is the last line that the process
// writes: it becomes the endpoint's FailureReason.
func TestServeModelSaysWhy(t *testing.T) {
	var out, err bytes.Buffer
	socket := filepath.Join(t.TempDir(), "socket")
	code := Main([]string{"serve-model", t.TempDir(), socket}, &out, &err)
	lines := strings.Split(strings.TrimSpace(err.String()), "\n")
	if last := lines[len(lines)-1]; code != exitFailed || !strings.Contains(last, "model.json: it is not there") {
		t.Errorf("exit code %d, last line %q", code, last)
	}
	for _, args := range [][]string{{"serve-model"}, {"serve-model", "dir"}, {"serve-model", "--max-batch=x", "dir", "socket"}} {
		if code := Main(args, &out, &err); code != exitUsage {
			t.Errorf("%q: exit code %d, want %d", args, code, exitUsage)
		}
	}
}
