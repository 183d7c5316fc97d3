package features

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// helper marks a copy of the test binary that extracts and never ends.
const helper = "FEATURES_TEST_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helper); dir != "" {
		extractAndHang(dir)
	}
	os.Exit(m.Run())
}

// hanging computes the sums, and waits for ever at its last photo.
type hanging struct {
	sums
	left int
}

func (h *hanging) Bind(in, out []float32) (Run, error) {
	r, err := h.sums.Bind(in, out)
	return &hangingRun{h, r}, err
}

type hangingRun struct {
	h    *hanging
	real Run
}

func (r *hangingRun) Close() {}

func (r *hangingRun) Run() error {
	if r.h.left--; r.h.left == 0 {
		fmt.Println("hanging")
		select {}
	}
	return r.real.Run()
}

// killedAt is how many photos the process that is killed has computed: two
// whole segments and a half.
const killedAt = 2*segmentRows + segmentRows/2

func extractAndHang(dir string) {
	paths, err := filepath.Glob(filepath.Join(dir, "photos", "*"))
	if err != nil {
		panic(err)
	}
	x := extractor(filepath.Join(dir, "cache"), nil)
	x.Workers = 1
	x.Backbone.Open = func() (Network, error) { return &hanging{left: killedAt + 1}, nil }
	_, err = x.Features(context.Background(), paths)
	panic(err)
}

// TestKilled kills a process in the middle of an extraction: the next one gets
// the lock, keeps the finished segments, and computes the rest.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	photos := filepath.Join(dir, "photos")
	if err := os.Mkdir(photos, 0o700); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for i := range 3 * segmentRows {
		paths = append(paths, filepath.Join(photos, fmt.Sprintf("%05d", i)))
		if err := os.WriteFile(paths[i], []byte(strconv.Itoa(i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helper+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "hanging\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // reports the kill

	s := &sums{}
	set := features(t, extractor(filepath.Join(dir, "cache"), s), paths)
	if set.Computed > segmentRows || set.Computed == 0 {
		t.Errorf("%d of %d photos were computed again", set.Computed, len(paths))
	}
	for i, row := range set.Rows {
		want := float32(0)
		for _, c := range []byte(strconv.Itoa(i)) {
			want += float32(c)
		}
		if row[0] != want {
			t.Fatalf("photo %d: %v, want %v", i, row[0], want)
		}
	}
}
