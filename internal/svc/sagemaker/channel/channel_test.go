package channel

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/awsapi"
)

func newGzip(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }

type texts = map[string]string

func TestBring(t *testing.T) {
	s3 := newFake(texts{
		"train/a.txt": "a", "train/sub/b.txt": "bb", "train/": "", "train2/c.txt": "c", "train/c.csv": "ccc",
		"packed/x.csv.gz": zipped(t, "1,2\n"), "packed/y.csv": zipped(t, "3,4\n"),
		"bad/x.gz": "no gzip", "half/x.gz": zipped(t, "1,2\n")[:20], "bomb/x.gz": zipped(t, strings.Repeat("0", 2<<20)),
		"large/x":       strings.Repeat("0", 2<<20),
		"climb/../../x": "x", "both/a": "", "both/a/b": "",
		"m/some":    `[{"prefix": "s3://data/train/"}, "a.txt", "sub/b.txt", "a.txt"]`,
		"m/loose":   `[{"prefix": "s3://data/tr"}, "ain/a.txt", "ain2/c.txt"]`,
		"m/missing": `[{"prefix": "s3://data/train/"}, "a.txt", "none.txt"]`,
		"m/climb":   `[{"prefix": "s3://data/climb/"}, "../../x"]`,
		"m/other":   `[{"prefix": "s3://elsewhere/"}, "x"]`,
		"m/no":      `{"prefix": "s3://data/"}`,
	})
	for name, c := range map[string]struct {
		r    Request
		want texts
		err  any // a code of S3's, or an error
	}{
		"a folder":                {r: Request{URI: "s3://data/train"}, want: texts{"a.txt": "a", "sub/b.txt": "bb", "c.csv": "ccc"}},
		"a folder with a slash":   {r: Request{URI: "s3://data/train/", Type: S3Prefix}, want: texts{"a.txt": "a", "sub/b.txt": "bb", "c.csv": "ccc"}},
		"a key":                   {r: Request{URI: "s3://data/train/a.txt"}, want: texts{"a.txt": "a"}},
		"a prefix":                {r: Request{URI: "s3://data/tra"}, want: texts{"train/a.txt": "a", "train/sub/b.txt": "bb", "train/c.csv": "ccc", "train2/c.txt": "c"}},
		"nothing":                 {r: Request{URI: "s3://data/none"}, err: ErrNoObjects},
		"no bucket":               {r: Request{URI: "s3://none/x"}, err: "NoSuchBucket"},
		"the first share":         {r: Request{URI: "s3://data/train", Sharded: true, Instances: 2}, want: texts{"a.txt": "a", "sub/b.txt": "bb"}},
		"the second share":        {r: Request{URI: "s3://data/train", Sharded: true, Instance: 1, Instances: 2}, want: texts{"c.csv": "ccc"}},
		"an empty share":          {r: Request{URI: "s3://data/train", Sharded: true, Instance: 3, Instances: 4}, want: texts{}},
		"a manifest":              {r: Request{URI: "s3://data/m/some", Type: ManifestFile}, want: texts{"a.txt": "a", "sub/b.txt": "bb"}},
		"a manifest, shared":      {r: Request{URI: "s3://data/m/some", Type: ManifestFile, Sharded: true, Instance: 1, Instances: 2}, want: texts{"sub/b.txt": "bb"}},
		"a manifest of a prefix":  {r: Request{URI: "s3://data/m/loose", Type: ManifestFile}, want: texts{"ain/a.txt": "a", "ain2/c.txt": "c"}},
		"a manifest of none":      {r: Request{URI: "s3://data/m/missing", Type: ManifestFile}, err: "NotFound"},
		"a manifest elsewhere":    {r: Request{URI: "s3://data/m/other", Type: ManifestFile}, err: "NoSuchBucket"},
		"a manifest that climbs":  {r: Request{URI: "s3://data/m/climb", Type: ManifestFile}, err: ErrNotAFile},
		"no manifest":             {r: Request{URI: "s3://data/m/no", Type: ManifestFile}, err: ErrBadInput},
		"a manifest that is gone": {r: Request{URI: "s3://data/m/gone", Type: ManifestFile}, err: "NoSuchKey"},
		"lines":                   {r: Request{URI: "s3://data/m/some", Type: AugmentedManifestFile, Attributes: []string{"x"}}, err: ErrBadInput},
		"an unknown type":         {r: Request{URI: "s3://data/m/some", Type: "Converse"}, err: ErrBadInput},
		"gzip":                    {r: Request{URI: "s3://data/packed", Gunzip: true}, want: texts{"x.csv": "1,2\n", "y.csv": "3,4\n"}},
		"gzip, left alone":        {r: Request{URI: "s3://data/packed/y.csv"}, want: texts{"y.csv": zipped(t, "3,4\n")}},
		"no gzip":                 {r: Request{URI: "s3://data/bad", Gunzip: true}, err: ErrBadInput},
		"half of a gzip":          {r: Request{URI: "s3://data/half", Gunzip: true}, err: ErrBadInput},
		"a bomb":                  {r: Request{URI: "s3://data/bomb", Gunzip: true}, err: ErrNoRoom},
		"too large":               {r: Request{URI: "s3://data/large"}, err: ErrNoRoom},
		"climbing out":            {r: Request{URI: "s3://data/climb"}, err: ErrNotAFile},
		"file and folder":         {r: Request{URI: "s3://data/both/"}, err: ErrNotAFile},
	} {
		t.Run(name, func(t *testing.T) {
			stage := newStage(t, s3)
			var mu sync.Mutex
			var done, total int64
			folder, err := stage.Bring(t.Context(), nil, c.r, func(d, n int64) {
				mu.Lock()
				defer mu.Unlock()
				done, total = max(done, d), n
			})
			if c.err != nil {
				var e *awsapi.Error
				is, isError := c.err.(error)
				if !(isError && errors.Is(err, is)) && !(errors.As(err, &e) && e.Code == c.err) {
					t.Errorf("%v, want %v", err, c.err)
				}
				if left, err := os.ReadDir(stage.dir); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, content(t, folder)); d != "" {
				t.Error(d)
			}
			if done != total || (total == 0) != (len(c.want) == 0) {
				t.Errorf("progress ended at %d of %d", done, total)
			}
			again, err := stage.Bring(t.Context(), nil, c.r, quiet)
			if err != nil || again != folder {
				t.Errorf("the second time: %s, %v", again, err)
			}
		})
	}
}

// What is there already is not copied again, but every caller needs leave to
// read it.
func TestBringShares(t *testing.T) {
	s3 := newFake(texts{"train/a": "a", "train/b": "b", "train/c.gz": zipped(t, "c")})
	stage := newStage(t, s3)
	r := Request{URI: "s3://data/train"}
	first, err := stage.Bring(t.Context(), nil, r, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s3.took()
	if again, err := stage.Folder(t.Context(), nil, r.URI, quiet); err != nil || again != first {
		t.Error(again, err)
	}
	if got := s3.took("GET"); got != nil {
		t.Errorf("copied again: %v", got)
	}
	s3.deny("train/b", true)
	if _, err := stage.Bring(t.Context(), nil, r, quiet); err == nil {
		t.Error("a caller without leave got the folder")
	}
	s3.deny("train/b", false)
	other := map[string]bool{first: true}
	for name, r := range map[string]Request{
		"a share": {URI: r.URI, Sharded: true, Instances: 2}, "the other": {URI: r.URI, Sharded: true, Instance: 1, Instances: 2},
	} {
		folder, err := stage.Bring(t.Context(), nil, r, quiet)
		if err != nil || other[folder] {
			t.Errorf("%s: %s, %v", name, folder, err)
		}
		other[folder] = true
	}
	packed, err := stage.Bring(t.Context(), nil, Request{URI: "s3://data/train/c.gz"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := stage.Bring(t.Context(), nil, Request{URI: "s3://data/train/c.gz", Gunzip: true}, quiet)
	if err != nil || packed == unpacked {
		t.Error(packed, unpacked, err)
	}
	s3.objects["train/a"] = "another"
	if changed, err := stage.Bring(t.Context(), nil, r, quiet); err != nil || changed == first {
		t.Error(changed, err)
	}
}

// A connection that breaks is no bad file, and leaves no folder.
func TestBringBreaks(t *testing.T) {
	s3 := newFake(texts{"train/a": "aaaaa", "train/b.gz": zipped(t, "b")})
	s3.onGet = short
	stage := newStage(t, s3)
	for _, r := range []Request{{URI: "s3://data/train/a"}, {URI: "s3://data/train/b.gz", Gunzip: true}} {
		if _, err := stage.Bring(t.Context(), nil, r, quiet); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrBadInput) {
			t.Errorf("%v", err)
		}
	}
	left, err := os.ReadDir(stage.dir)
	if err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

// New removes what an earlier process left half done; Sweep what nobody wants.
func TestSweep(t *testing.T) {
	s3 := newFake(texts{"a/x": "a", "b/x": "b"})
	stage := newStage(t, s3)
	var folders []string
	for _, uri := range []string{"s3://data/a", "s3://data/b"} {
		folder, err := stage.Folder(t.Context(), nil, uri, quiet)
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, folder)
	}
	write(t, filepath.Join(stage.dir, "half-1", "x"), "")
	stage, err := New(stage.dir, s3)
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Sweep(time.Now().Add(time.Hour), func(f string) bool { return f == folders[0] }); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(stage.dir + "/*"); err != nil || !cmp.Equal(left, folders[:1]) {
		t.Error(left, err)
	}
}

func TestRoom(t *testing.T) {
	if free, err := room(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("%d, %v", free, err)
	}
}
