package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/assets"
)

func list(names string) (files []File) {
	for _, n := range strings.Fields(names) {
		files = append(files, File{Name: n, Size: 1})
	}
	return files
}

// show writes photos as PART/CLASS/BASE.
func show(p *Photos) string {
	var out []string
	for _, f := range p.All {
		out = append(out, f.Part+"/"+f.Class+"/"+f.Base)
	}
	return strings.Join(out, " ")
}

func TestArrange(t *testing.T) {
	cases := map[string]struct {
		files, want string
		remarks     int
	}{
		"three parts": {
			"train/b/2.jpg train/a/1.JPG valid/a/3.png test/b/4.webp",
			"test/b/4.webp train/a/1.JPG train/b/2.jpg validation/a/3.png", 0,
		},
		"other names, wrapped twice": {
			"x/dogs/Training/a/1.jpg x/dogs/Training/b/2.jpg x/dogs/val/a/3.jpg x/dogs/test/b/4.jpg",
			"train/a/1.jpg train/b/2.jpg test/b/4.jpg validation/a/3.jpg", 0,
		},
		"what is no photo": {
			"train/a/1.jpg train/b/2.jpg valid/a/3.jpg test/b/4.jpg README.md train/.DS_Store __MACOSX/train/a/._1.jpg notes.txt train/loose.jpg cover.jpg",
			"test/b/4.jpg train/a/1.jpg train/b/2.jpg validation/a/3.jpg", 2,
		},
		"deep": {
			"train/a/x/1.jpg train/a/y/1.jpg train/b/2.jpg valid/a/3.jpg test/b/4.jpg",
			"test/b/4.jpg train/a/x/1.jpg train/a/y/1.jpg train/b/2.jpg validation/a/3.jpg", 0,
		},
		"no test part": {
			"train/a/1.jpg train/a/2.jpg train/b/1.jpg valid/a/3.jpg",
			"test/a/1.jpg train/a/2.jpg train/b/1.jpg validation/a/3.jpg", 1,
		},
		"flat": {
			"a/1.jpg a/2.jpg a/3.jpg b/1.jpg b/2.jpg b/3.jpg c/1.jpg",
			"test/a/1.jpg validation/a/2.jpg train/a/3.jpg train/b/1.jpg validation/b/2.jpg test/b/3.jpg train/c/1.jpg", 2,
		},
		"flat and wrapped": {
			"set/a/1.jpg set/a/2.jpg set/b/1.jpg",
			"test/a/1.jpg train/a/2.jpg train/b/1.jpg", 2,
		},
		"classes called like parts": {
			"test/1.jpg test/2.jpg val/1.jpg val/2.jpg",
			"train/test/1.jpg test/test/2.jpg train/val/1.jpg test/val/2.jpg", 2,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := Arrange("dogs", list(c.files))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.Fields(c.want), strings.Fields(show(p))); d != "" {
				t.Error(d)
			}
			if len(p.Remarks) != c.remarks {
				t.Errorf("%d remarks: %q", len(p.Remarks), p.Remarks)
			}
		})
	}
}

func TestHeldOutShares(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("a/%03d.jpg b/%03d.jpg", i, i))
	}
	p, err := Arrange("x", list(strings.Join(names, " ")))
	if err != nil {
		t.Fatal(err)
	}
	if a, b, c := len(p.Part(train)), len(p.Part(validation)), len(p.Part(test)); a != 128 || b != 32 || c != 40 {
		t.Errorf("%d, %d, %d photos", a, b, c)
	}
	again, err := Arrange("x", list(strings.Join(names, " ")))
	if err != nil || show(p) != show(again) {
		t.Errorf("another split of the same files (%v)", err)
	}
	fewer, err := Arrange("x", list(strings.Join(names[1:], " ")))
	if err != nil {
		t.Fatal(err)
	}
	if moved := differ(p, fewer); moved > 4 {
		t.Errorf("%d photos have another part because one of each class is gone", moved)
	}
}

// differ counts the photos of b that have another part in a.
func differ(a, b *Photos) (n int) {
	parts := map[string]string{}
	for _, f := range a.All {
		parts[f.Name] = f.Part
	}
	for _, f := range b.All {
		if parts[f.Name] != f.Part {
			n++
		}
	}
	return n
}

func TestWrongData(t *testing.T) {
	cases := map[string]struct{ files, want string }{
		"empty":         {"", "no photos in dogs"},
		"only text":     {"train/a/notes.txt", "no photos in dogs"},
		"loose":         {"1.jpg 2.jpg", "2 photos in dogs, but no class folders"},
		"one class":     {"train/a/1.jpg valid/a/2.jpg", `only one class in dogs, "a"`},
		"one flat":      {"a/1.jpg a/2.jpg", `only one class in dogs, "a"`},
		"untrained":     {"train/a/1.jpg train/b/1.jpg test/c/1.jpg", `class "c" has photos for test, but none to train on`},
		"loose in part": {"train/1.jpg train/2.jpg", `only one class in dogs, "train"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Arrange("dogs", list(c.files))
			var wrong *DataError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) || wrong.Hint() == "" {
				t.Errorf("got %v, want …%s… with a hint", err, c.want)
			}
		})
	}
}

func TestOpenFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my dogs")
	for _, name := range []string{"a/1.jpg", "a/2.jpg", "b/1.jpg"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("photo"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	p, err := OpenFolder(link)
	if err != nil {
		t.Fatal(err)
	}
	if p.Bytes() != 15 || p.Key(p.All[0]) != "my-dogs/test/a/1.jpg" {
		t.Errorf("%d bytes, first %s", p.Bytes(), p.Key(p.All[0]))
	}
	if _, err := OpenFolder(filepath.Join(dir, "nothing")); err == nil || !strings.Contains(err.Error(), "there is no folder") {
		t.Errorf("%v", err)
	}
}

func TestSlug(t *testing.T) {
	for from, want := range map[string]string{
		"/data/dogs": "dogs", "s3://bucket/a b/": "a-b", "s3://bucket": "bucket", "/": "photos", "output": "photos", "../…": "photos",
	} {
		if got := slug(from); got != want {
			t.Errorf("slug(%q) = %q, want %q", from, got, want)
		}
	}
}

func TestLocate(t *testing.T) {
	gone := errors.New("connection refused")
	cases := map[string]struct {
		asked, env    string
		dogs, digits  error
		where, remark string
		err           string
	}{
		"asked":            {asked: "./dogs", env: "other", where: "./dogs"},
		"variable":         {env: "other", where: "other"},
		"a bucket":         {asked: "s3://b/p", where: "s3://b/p"},
		"a zip":            {asked: "https://example.com/my.zip", where: "tree my.zip"},
		"zip unreachable":  {asked: "https://example.com/my.zip", dogs: gone, err: "connection refused"},
		"odd address":      {asked: "ftp://example.com/my.zip", err: "ftp addresses are not understood"},
		"default":          {where: "tree dogImages.zip"},
		"digits":           {dogs: gone, where: "digits", remark: "real handwritten digits"},
		"nothing":          {dogs: gone, digits: gone, err: "no data set can be had"},
		"a drive's letter": {asked: `C:\dogs`, where: `C:\dogs`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := Sources{
				Getenv: func(string) string { return c.env },
				Tree:   func(_ context.Context, it assets.Item) (string, error) { return "tree " + it.File, c.dogs },
				Digits: func(context.Context) (string, error) { return "digits", c.digits },
			}
			where, remark, err := s.Locate(t.Context(), c.asked)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want …%s…", err, c.err)
				}
				return
			}
			if err != nil || where != c.where || !strings.Contains(remark, c.remark) || (remark == "") != (c.remark == "") {
				t.Errorf("%q, %q, %v", where, remark, err)
			}
		})
	}
}
