package toolkit

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
)

func TestInstallTogether(t *testing.T) {
	dir := t.TempDir()
	var g errgroup.Group
	for range 16 {
		g.Go(func() error {
			_, err := Install(dir)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("entries = %v, want the package's folder alone", entries)
	}
}

func TestInstallMendsADamagedFolder(t *testing.T) {
	dir := t.TempDir()
	folder, err := Install(dir)
	if err != nil {
		t.Fatal(err)
	}
	start := filepath.Join(folder, "musher_toolkit", "start.py")
	want, err := os.ReadFile(start)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(start, 0); err != nil {
		t.Fatal(err)
	}
	again, err := Install(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again != folder {
		t.Errorf("folder = %s, then %s: it is named by its content", folder, again)
	}
	if got, err := os.ReadFile(start); err != nil || string(got) != string(want) {
		t.Errorf("start.py = %q, %v after it was damaged", got, err)
	}
}
