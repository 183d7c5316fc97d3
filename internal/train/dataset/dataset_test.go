package dataset_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/train/dataset"
)

// tree makes empty files; their names are all that matters here. A name that ends in / is a folder.
func tree(t *testing.T, names string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range strings.Fields(names) {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// show writes photos as CLASS/FILE, so that tables stay readable.
func show(classes []string, photos []dataset.Photo) string {
	var out []string
	for _, p := range photos {
		out = append(out, fmt.Sprintf("%s=%s", filepath.Base(p.Path), classes[p.Label]))
	}
	return strings.Join(out, " ")
}

func TestLayouts(t *testing.T) {
	cases := map[string]struct {
		files              string
		channels           string // folders of the tree that are channels; "." is the whole as training
		train, valid, test string
		remarks            int
	}{
		"one channel with parts": {
			"train/b/2.jpg train/a/1.JPG valid/a/3.png test/b/4.webp", ".",
			"1.JPG=a 2.jpg=b", "3.png=a", "4.webp=b", 2,
		},
		"wrapped by an archive": {
			"dogImages/train/a/1.jpg dogImages/train/b/2.jpg dogImages/valid/a/3.jpg dogImages/valid/b/4.jpg __MACOSX/dogImages/train/a/1.jpg", ".",
			"1.jpg=a 2.jpg=b", "3.jpg=a 4.jpg=b", "", 0,
		},
		"channels": {
			"train/a/1.jpg train/b/2.jpg validation/a/3.jpg validation/b/4.jpg test/a/5.gif test/b/6.jpeg", "train validation test",
			"1.jpg=a 2.jpg=b", "3.jpg=a 4.jpg=b", "5.gif=a 6.jpeg=b", 0,
		},
		"deep, hidden and strange files": {
			"train/a/x/1.jpg train/a/.hidden/0.jpg train/a/.DS_Store train/b/2.jpg train/b/notes.txt train/loose.jpg valid/a/3.jpg valid/b/4.jpg", "train valid",
			"1.jpg=a 2.jpg=b", "3.jpg=a 4.jpg=b", "", 2,
		},
		"validation held out": {
			"a/1.jpg a/2.jpg a/3.jpg a/4.jpg a/5.jpg b/6.jpg b/7.jpg c/8.jpg", ".",
			"1.jpg=a 3.jpg=a 4.jpg=a 5.jpg=a 6.jpg=b 8.jpg=c", "2.jpg=a 7.jpg=b", "", 1,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir, channels := tree(t, c.files), map[string]string{}
			for _, ch := range strings.Fields(c.channels) {
				channels[strings.ReplaceAll(ch, ".", "training")] = filepath.Join(dir, ch)
			}
			s, err := dataset.Open(channels, dataset.Split{Fraction: 0.2, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			got := []string{show(s.Classes, s.Train), show(s.Classes, s.Valid), show(s.Classes, s.Test)}
			if d := cmp.Diff([]string{c.train, c.valid, c.test}, got); d != "" {
				t.Error(d)
			}
			if len(s.Remarks) != c.remarks {
				t.Errorf("%d remarks: %q", len(s.Remarks), s.Remarks)
			}
		})
	}
}

func TestWrongData(t *testing.T) {
	cases := map[string]struct{ files, channels, want string }{
		"empty":              {"train/", "train", "the train data is empty"},
		"not there":          {"x/", "train", "the train data is empty"},
		"no channel":         {"x/", "", "no training data"},
		"unknown channel":    {"train/a/1.jpg x/", "train x", `channel "x" is not known`},
		"twice":              {"train/a/1.jpg training/a/1.jpg", "train training", "two channels hold train data"},
		"empty class":        {"train/a/1.jpg train/b/ train/c/notes.txt valid/a/1.jpg", "train valid", "classes without a photo (JPEG, PNG, WebP or GIF): b, c"},
		"one class":          {"train/a/1.jpg valid/a/1.jpg", "train valid", `only one class, "a"`},
		"one class, alone":   {"train/a/1.jpg", "train", `only one class, "a"`},
		"no class folders":   {"train/1.jpg train/2.jpg", "train", "2 photos but no class folders"},
		"new class":          {"train/a/1.jpg train/b/1.jpg valid/c/1.jpg", "train valid", "validation data has classes that the training data does not have: c"},
		"empty validation":   {"train/a/1.jpg train/b/1.jpg valid/", "train valid", "the validation data is empty"},
		"photoless valid":    {"train/a/1.jpg train/b/1.jpg valid/a/", "train valid", "the validation data has no photos"},
		"nothing to split":   {"train/a/1.jpg train/b/1.jpg", "train", "no photos are left for validation"},
		"many empty classes": {"train/a/1.jpg train/b/ train/c/ train/d/ train/e/ train/f/ train/g/", "train", "b, c, d, e, f and 1 more"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir, channels := tree(t, c.files), map[string]string{}
			for _, ch := range strings.Fields(c.channels) {
				channels[ch] = filepath.Join(dir, ch)
			}
			_, err := dataset.Open(channels, dataset.Split{Fraction: 0.2})
			var wrong *dataset.Error
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want …%s…", err, c.want)
			}
			if !errors.As(err, &wrong) {
				t.Errorf("%T is not the user's", err)
			}
		})
	}
}

func TestSplitIsSeeded(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("a/%03d.jpg b/%03d.jpg", i, i))
	}
	dir := tree(t, strings.Join(names, " "))
	held := func(seed uint64) string {
		s, err := dataset.Open(map[string]string{"training": dir}, dataset.Split{Fraction: 0.25, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Valid) != 50 || len(s.Train) != 150 {
			t.Fatalf("%d and %d", len(s.Train), len(s.Valid))
		}
		return show(s.Classes, s.Valid)
	}
	if first, second := held(1), held(1); first != second {
		t.Error("the same seed splits differently")
	}
	if held(1) == held(2) {
		t.Error("another seed splits the same")
	}
}

func TestOpenFolder(t *testing.T) {
	photos, remarks, err := dataset.OpenFolder(tree(t, "a/1.jpg c/2.jpg"), []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	if got := show([]string{"a", "b", "c"}, photos); got != "1.jpg=a 2.jpg=c" || len(remarks) != 1 {
		t.Errorf("%s, %q", got, remarks)
	}
}
