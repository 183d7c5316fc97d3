package digits

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musher/musher/internal/assets"
)

func table(t testing.TB, rows ...string) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	fmt.Fprintln(z, strings.Join(rows, "\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// row is a picture with its upper half inked.
func row(digit string) string {
	return strings.Repeat("16,", 32) + strings.Repeat("0,", 32) + digit
}

func TestWrite(t *testing.T) {
	var rows []string
	for range 10 {
		rows = append(rows, row("7"), row("3.0"))
	}
	dir := filepath.Join(t.TempDir(), "digits")
	if err := Write(t.Context(), table(t, rows...), dir); err != nil {
		t.Fatal(err)
	}
	for split, want := range map[string]int{"train": 6, "valid": 2, "test": 2} {
		for _, digit := range []string{"3", "7"} {
			got, err := filepath.Glob(filepath.Join(dir, split, digit, "*.png"))
			if err != nil || len(got) != want {
				t.Errorf("%s/%s: %d pictures, want %d (%v)", split, digit, len(got), want, err)
			}
		}
	}
	checkPicture(t, filepath.Join(dir, "train", "7", "0000.png"))
}

func checkPicture(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if b := img.Bounds(); b.Dx() != outSide || b.Dy() != outSide {
		t.Fatalf("%v", b)
	}
	ink, _, _, _ := img.At(30, 4).RGBA()
	paper, _, _, _ := img.At(30, 60).RGBA()
	if ink != 0 || paper != 0xffff {
		t.Errorf("ink %x, paper %x", ink, paper)
	}
}

func TestBadTables(t *testing.T) {
	tests := map[string]*bytes.Buffer{
		"no gzip":         bytes.NewBufferString("1,2,3"),
		"empty":           table(t),
		"too few columns": table(t, "1,2,3"),
		"too dark":        table(t, strings.Replace(row("1"), "16", "17", 1)),
		"not a number":    table(t, strings.Replace(row("1"), "16", "NaN", 1)),
		"negative":        table(t, strings.Replace(row("1"), "16", "-1", 1)),
		"digit 10":        table(t, row("10")),
		"digit 1.5":       table(t, row("1.5")),
		"truncated":       bytes.NewBuffer(table(t, row("1")).Bytes()[:20]),
	}
	for name, tab := range tests {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			if err := Write(t.Context(), tab, filepath.Join(parent, "d")); !errors.Is(err, ErrTable) {
				t.Errorf("error %v", err)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, table(t, row("1")), filepath.Join(t.TempDir(), "d")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// The real table, where a package client can bring it.
func TestFetch(t *testing.T) {
	if testing.Short() {
		t.Skip("fetches 9 MB; skipped with -short")
	}
	cache := t.TempDir()
	r, err := assets.New(cache, assets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := Fetch(t.Context(), r, cache)
	var fe *assets.FetchError
	if errors.As(err, &fe) && !errors.Is(err, assets.ErrChecksum) {
		t.Skipf("the table cannot be had here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, split := range []string{"train", "valid", "test"} {
		files, err := filepath.Glob(filepath.Join(dir, split, "*", "*.png"))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d pictures", split, len(files))
		total += len(files)
	}
	if total != 1797 {
		t.Errorf("%d pictures, want 1797", total)
	}
	if again, err := Fetch(t.Context(), r, cache); err != nil || again != dir {
		t.Errorf("second call: %q, %v", again, err)
	}
}
