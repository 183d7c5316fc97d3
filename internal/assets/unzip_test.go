package assets

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeZip(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestUnzip(t *testing.T) {
	archive := writeZip(t, makeZip(t, map[string]string{
		"top/train/001.A/x.jpg": "xx", "top/test/001.A/y.jpg": "yyy", "top/empty/": "",
		"__MACOSX/top/._x": "junk", "top/.DS_Store": "junk",
	}))
	dir := filepath.Join(t.TempDir(), "out")
	var done, total int64
	if err := Unzip(t.Context(), archive, dir, Limits{}, func(d, tt int64) { done, total = d, tt }); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, "top/train/001.A/x.jpg"), []byte("xx"))
	wantFile(t, filepath.Join(dir, "top/test/001.A/y.jpg"), []byte("yyy"))
	for _, no := range []string{"__MACOSX", "top/.DS_Store"} {
		if fileExists(filepath.Join(dir, no)) {
			t.Errorf("%s was unpacked", no)
		}
	}
	if !isDir(filepath.Join(dir, "top/empty")) {
		t.Error("the empty folder is missing")
	}
	if done == 0 || done > total {
		t.Errorf("progress %d of %d", done, total)
	}
}

func zipWith(t *testing.T, headers ...*zip.FileHeader) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, h := range headers {
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(h.Name, "/") {
			continue
		}
		if _, err := w.Write([]byte("target")); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func mode(name string, m fs.FileMode) *zip.FileHeader {
	h := &zip.FileHeader{Name: name}
	h.SetMode(m)
	return h
}

// lie changes the uncompressed size that the zip's directory declares for its
// only entry.
func lie(b []byte, size uint32) []byte {
	at := bytes.LastIndex(b, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(b[at+24:], size)
	return b
}

func TestUnzipRefuses(t *testing.T) {
	deflated := func(n int) []byte {
		var buf bytes.Buffer
		z := zip.NewWriter(&buf)
		w, err := z.CreateHeader(&zip.FileHeader{Name: "bomb", Method: zip.Deflate})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	tests := []struct {
		name   string
		zip    []byte
		lim    Limits
		unsafe bool
	}{
		{"parent", zipWith(t, mode("../evil", 0o644)), Limits{}, true},
		{"parent inside", zipWith(t, mode("a/../../evil", 0o644)), Limits{}, true},
		{"absolute", zipWith(t, mode("/etc/evil", 0o644)), Limits{}, true},
		{"backslash", zipWith(t, mode(`..\evil`, 0o644)), Limits{}, true},
		{"unclean", zipWith(t, mode("a//b", 0o644)), Limits{}, true},
		{"empty name", zipWith(t, mode("", 0o644)), Limits{}, true},
		{"symbolic link", zipWith(t, mode("link", fs.ModeSymlink|0o777)), Limits{}, true},
		{"device", zipWith(t, mode("dev", fs.ModeDevice|0o644)), Limits{}, true},
		{"same name twice", zipWith(t, mode("a", 0o644), mode("a", 0o644)), Limits{}, false},
		{"file as folder", zipWith(t, mode("a", 0o644), mode("a/b", 0o644)), Limits{}, false},
		{"too many", zipWith(t, mode("a", 0o644), mode("b", 0o644)), Limits{Files: 1}, true},
		{"bomb", deflated(10 << 20), Limits{Bytes: 1 << 20}, true},
		{"bomb that lies", lie(deflated(10<<20), 100), Limits{Bytes: 1 << 20}, false},
		{"truncated", deflated(1000)[:100], Limits{}, false},
		{"no zip", []byte("GIF89a"), Limits{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "in", "out")
			if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
				t.Fatal(err)
			}
			err := Unzip(t.Context(), writeZip(t, tt.zip), dir, tt.lim, nil)
			if err == nil {
				t.Fatal("was unpacked")
			}
			if tt.unsafe != errors.Is(err, ErrUnsafeArchive) && !strings.Contains(tt.name, "lies") {
				t.Errorf("error %v", err)
			}
			left, err := filepath.Glob(filepath.Join(parent, "in", "*"))
			hidden, err2 := filepath.Glob(filepath.Join(parent, "in", ".*"))
			if err := errors.Join(err, err2); err != nil || len(left)+len(hidden) != 0 || fileExists(filepath.Join(parent, "evil")) {
				t.Errorf("left behind: %v %v, %v", left, hidden, err)
			}
		})
	}
}

func TestUnzipCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "out")
	err := Unzip(ctx, writeZip(t, makeZip(t, map[string]string{"a": "b"})), dir, Limits{}, nil)
	if !errors.Is(err, context.Canceled) || fileExists(dir) {
		t.Fatalf("error %v", err)
	}
}

func TestFetchTree(t *testing.T) {
	wrapped := makeZip(t, map[string]string{"top/README": "", "top/train/1/x": "x", "top/test/1/x": "x"})
	flat := makeZip(t, map[string]string{"only/x": "x", "only/y": "y"})
	f := &flaky{b: wrapped}
	srv := httptest.NewServer(f)
	defer srv.Close()
	r := newResolver(t, nil)
	it, err := FromURL(srv.URL + "/data/dogs.zip?x=1")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := r.FetchTree(t.Context(), it, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, "train/1/x"), []byte("x"))
	if fileExists(r.slot(it).file()) {
		t.Error("the zip was kept")
	}
	if again, err := r.FetchTree(t.Context(), it, Limits{}); err != nil || again != dir || f.requests.Load() != 1 {
		t.Errorf("second call: %q, %v, %d requests", again, err, f.requests.Load())
	}

	f.b = flat
	it.URLs[0] = srv.URL + "/flat.zip"
	if dir, err = r.FetchTree(t.Context(), it, Limits{}); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, "only/x"), []byte("x"))
}

func FuzzUnzip(f *testing.F) {
	f.Add([]byte("PK\x05\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create("a/b")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := w.Write([]byte("text")); err != nil {
		f.Fatal(err)
	}
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		parent := t.TempDir()
		archive := filepath.Join(parent, "a.zip")
		if err := os.WriteFile(archive, b, 0o644); err != nil {
			t.Fatal(err)
		}
		err := Unzip(t.Context(), archive, filepath.Join(parent, "out"), Limits{Bytes: 1 << 20, Files: 100}, nil)
		if n := treeSize(parent); n > 1<<20+int64(len(b)) {
			t.Errorf("%d bytes on disk", n)
		}
		if err != nil && fileExists(filepath.Join(parent, "out")) {
			t.Error("a failure left the folder")
		}
	})
}
