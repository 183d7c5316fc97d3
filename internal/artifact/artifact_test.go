package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	files := map[string]string{"model.onnx": strings.Repeat("w", 1<<20), "code/inference.py": "x = 1", "empty": ""}
	for name, text := range files {
		path := filepath.Join(src, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(filepath.Join(src, "code/inference.py"), 0o755)
	var first, second bytes.Buffer
	if err := errors.Join(Pack(&first, src), Pack(&second, src)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same folder packs to different bytes")
	}
	if err := Unpack(&first, dst, DefaultLimits); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v; want %d bytes", name, len(got), err, len(want))
		}
	}
	if info, _ := os.Stat(filepath.Join(dst, "code/inference.py")); info.Mode().Perm()&0o111 == 0 {
		t.Error("the executable bit is lost")
	}
}

func TestPackRefusesLinks(t *testing.T) {
	dir := t.TempDir()
	os.Symlink("/etc/passwd", filepath.Join(dir, "link"))
	if err := Pack(&bytes.Buffer{}, dir); err == nil || !strings.Contains(err.Error(), "link") {
		t.Fatalf("packed a link: %v", err)
	}
}

func archive(heads ...tar.Header) []byte {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, h := range heads {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := tw.WriteHeader(&h); err != nil {
			panic(err)
		}
		tw.Write(make([]byte, h.Size))
	}
	tw.Close()
	zw.Close()
	return buf.Bytes()
}

// The SageMaker SDK repacks models with the folder itself as "/".
func TestUnpackNamesItself(t *testing.T) {
	dir := t.TempDir()
	data := archive(tar.Header{Name: "/", Typeflag: tar.TypeDir}, tar.Header{Name: "./", Typeflag: tar.TypeDir}, tar.Header{Name: "model.pth", Size: 3})
	if err := Unpack(bytes.NewReader(data), dir, DefaultLimits); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "model.pth")); err != nil || info.Size() != 3 {
		t.Errorf("model.pth: %v, %v", info, err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	limits := Limits{Bytes: 1000, Files: 5}
	good := archive(tar.Header{Name: "a", Size: 500})
	many := make([]tar.Header, 6)
	for i := range many {
		many[i] = tar.Header{Name: "same"}
	}
	for _, c := range []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"parent", archive(tar.Header{Name: "../evil", Size: 1}), ErrUnsafe, "leaves the folder"},
		{"hidden parent", archive(tar.Header{Name: "a/../../evil", Size: 1}), ErrUnsafe, "leaves the folder"},
		{"absolute", archive(tar.Header{Name: "/etc/evil", Size: 1}), ErrUnsafe, "leaves the folder"},
		{"symbolic link", archive(tar.Header{Name: "l", Linkname: "/etc", Typeflag: tar.TypeSymlink}), ErrUnsafe, `"l" is a link`},
		{"hard link", archive(tar.Header{Name: "l", Linkname: "a", Typeflag: tar.TypeLink}), ErrUnsafe, `"l" is a link`},
		{"device", archive(tar.Header{Name: "d", Typeflag: tar.TypeChar}), ErrUnsafe, "neither"},
		{"too large", archive(tar.Header{Name: "a", Size: 600}, tar.Header{Name: "b", Size: 600}), ErrUnsafe, "1000 bytes"},
		{"too many", archive(many...), ErrUnsafe, "5 entries"},
		{"cut off", good[:len(good)-30], ErrFormat, ""},
		{"no gzip", []byte("PK\x03\x04 some zip"), ErrFormat, ""},
		{"empty", nil, ErrFormat, ""},
	} {
		dir := filepath.Join(t.TempDir(), "in", "dir")
		os.MkdirAll(dir, 0o755)
		err := Unpack(bytes.NewReader(c.data), dir, limits)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %v saying %q", c.name, err, c.want, c.says)
		}
		if found, _ := filepath.Glob(filepath.Join(dir, "../evil")); len(found) > 0 {
			t.Errorf("%s: wrote outside of the folder", c.name)
		}
	}
}

// A link that is already in the folder must not lead a later entry outside.
func TestUnpackDoesNotFollowLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	os.Symlink(outside, filepath.Join(dir, "link"))
	if err := Unpack(bytes.NewReader(archive(tar.Header{Name: "link/evil", Size: 1})), dir, DefaultLimits); err == nil {
		t.Error("unpacked through a link")
	}
	if found, _ := os.ReadDir(outside); len(found) > 0 {
		t.Error("wrote outside of the folder")
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archive(tar.Header{Name: "a/b", Size: 3}))
	f.Add(archive(tar.Header{Name: "../x", Size: 3}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "d")
		os.Mkdir(dir, 0o755)
		Unpack(bytes.NewReader(data), dir, Limits{Bytes: 1 << 20, Files: 20}) //nolint:errcheck // any error is fine, any escape is not
		if entries, _ := os.ReadDir(parent); len(entries) != 1 {
			t.Fatal("wrote outside of the folder")
		}
	})
}
