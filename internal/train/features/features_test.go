package features

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sums is a backbone that can be worked out by hand: a photo is its bytes, and
// its features are their sum and number.
type sums struct {
	ran   atomic.Int64
	fail  error
	block chan struct{} // when set, runs wait for it to be closed
}

func (s *sums) Bind(in, out []float32) (Run, error) { return &sumsRun{s, in, out}, nil }
func (s *sums) Close()                              {}

type sumsRun struct {
	s       *sums
	in, out []float32
}

func (r *sumsRun) Run() error {
	if r.s.block != nil {
		<-r.s.block
	}
	r.s.ran.Add(1)
	r.out[0], r.out[1] = 0, r.in[0]
	for _, v := range r.in[1 : 1+int(r.in[0])] {
		r.out[0] += v
	}
	return r.s.fail
}
func (r *sumsRun) Close() {}

// byteLoader makes a tensor of a file: its length, then its bytes. "bad" cannot be decoded.
type byteLoader struct{ key string }

func (byteLoader) Len() int      { return 100 }
func (l byteLoader) Key() string { return l.key }
func (byteLoader) Load(b []byte, dst []float32) error {
	if strings.HasPrefix(string(b), "bad") {
		return errors.New("corrupt image")
	}
	dst[0] = float32(len(b))
	for i, c := range b {
		dst[i+1] = float32(c)
	}
	return nil
}

func extractor(cache string, s *sums) *Extractor {
	return New(Config{
		Cache: cache, Workers: 2, Loader: byteLoader{"k"},
		Backbone: Backbone{SHA256: "s", Dim: 2, Open: func() (Network, error) { return s, nil }},
	})
}

// photos writes files with the given contents.
func photos(t *testing.T, contents ...string) []string {
	t.Helper()
	dir := t.TempDir()
	paths := make([]string, len(contents))
	for i, c := range contents {
		paths[i] = filepath.Join(dir, fmt.Sprintf("%d.jpg", i))
		if err := os.WriteFile(paths[i], []byte(c), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func features(t *testing.T, x *Extractor, paths []string) *Set {
	t.Helper()
	set, err := x.Features(t.Context(), paths)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func segments(t *testing.T, cache string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cache, "*", "*"+extension))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFeaturesAreComputedOnce(t *testing.T) {
	cache, s := t.TempDir(), &sums{}
	want := [][]float32{{'a', 1}, {'a' + 'b', 2}, {'a', 1}}
	set := features(t, extractor(cache, s), photos(t, "a", "ab", "a"))
	if d := cmp.Diff(want, set.Rows); d != "" {
		t.Error(d)
	}
	if set.Computed != 2 || s.ran.Load() != 2 {
		t.Errorf("%d computed in %d runs", set.Computed, s.ran.Load())
	}
	// Another process, other file names, one photo more.
	set = features(t, extractor(cache, s), photos(t, "new", "ab", "a"))
	if d := cmp.Diff([][]float32{{'n' + 'e' + 'w', 3}, want[1], want[0]}, set.Rows); d != "" {
		t.Error(d)
	}
	if set.Computed != 1 || s.ran.Load() != 3 {
		t.Errorf("%d computed, %d runs in all", set.Computed, s.ran.Load())
	}
	if set := features(t, extractor(cache, s), nil); len(set.Rows) != 0 {
		t.Errorf("no photos have %d rows", len(set.Rows))
	}
}

func TestRecipesAndBackbonesDoNotMix(t *testing.T) {
	cache, s, paths := t.TempDir(), &sums{}, photos(t, "a")
	x := extractor(cache, s)
	features(t, x, paths)
	x.Loader = byteLoader{"other"}
	features(t, x, paths)
	x.Backbone.SHA256 = "other"
	features(t, x, paths)
	if s.ran.Load() != 3 {
		t.Errorf("%d runs", s.ran.Load())
	}
}

func TestBadPhotosAreNamed(t *testing.T) {
	cache, s := t.TempDir(), &sums{}
	set := features(t, extractor(cache, s), photos(t, "a", "bad 1", "b", "bad 1", "bad 2"))
	var bad []int
	for _, b := range set.Bad {
		bad = append(bad, b.Index)
		if b.Err == nil || set.Rows[b.Index] != nil {
			t.Errorf("%d: %v, %v", b.Index, b.Err, set.Rows[b.Index])
		}
	}
	if d := cmp.Diff([]int{1, 3, 4}, bad); d != "" {
		t.Error(d)
	}
	if _, err := extractor(cache, s).Features(t.Context(), []string{"/no/such/file.jpg"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestDamage changes each byte of a segment, and cuts it at each length: the
// features are always right in the end.
func TestDamage(t *testing.T) {
	paths, s := photos(t, "a", "bc"), &sums{}
	want := features(t, extractor(t.TempDir(), s), paths).Rows
	whole := func() (string, []byte) {
		cache := t.TempDir()
		features(t, extractor(cache, s), paths)
		path := segments(t, cache)[0]
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return path, b
	}
	path, intact := whole()
	cache := filepath.Dir(filepath.Dir(path))
	try := func(what string, b []byte) {
		for _, old := range segments(t, cache) {
			if err := os.Remove(old); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		set := features(t, extractor(cache, s), paths)
		if d := cmp.Diff(want, set.Rows); d != "" {
			t.Fatalf("%s: %s", what, d)
		}
		if set.Computed == 0 {
			t.Errorf("%s was not noticed", what)
		}
		if again := features(t, extractor(cache, s), paths); again.Computed != 0 {
			t.Errorf("%s: not repaired", what)
		}
	}
	for i := range intact {
		b := bytes.Clone(intact)
		b[i] ^= 0x10
		try(fmt.Sprintf("byte %d changed", i), b)
	}
	for n := range intact {
		try(fmt.Sprintf("cut to %d bytes", n), intact[:n])
	}
	try("one byte more", append(bytes.Clone(intact), 0))
}

func TestOneComputesTheOthersWait(t *testing.T) {
	cache, s := t.TempDir(), &sums{block: make(chan struct{})}
	paths := photos(t, "a", "b", "c", "d")
	waiting := make(chan struct{}, 100)
	var wg sync.WaitGroup
	for range 4 {
		x := extractor(cache, s)
		x.Progress = func(p Progress) {
			if p.Waiting {
				waiting <- struct{}{}
			}
		}
		wg.Go(func() {
			set, err := x.Features(context.Background(), paths)
			if err != nil || set.Rows[3] == nil {
				t.Errorf("%v", err)
			}
		})
	}
	for range 3 {
		<-waiting
	}
	close(s.block)
	wg.Wait()
	if n := s.ran.Load(); n != 4 {
		t.Errorf("4 photos were computed %d times", n)
	}
}

func TestStoppedWhileWaiting(t *testing.T) {
	cache, s := t.TempDir(), &sums{}
	c, err := openCache(cache, extractor(cache, s).Key(), 2)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := c.lock(t.Context(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := extractor(cache, s).Features(ctx, photos(t, "a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsDoneBeforeAnErrorIsKept(t *testing.T) {
	cache, s := t.TempDir(), &sums{}
	paths := append(photos(t, "a", "b", "c"), "")
	paths[3] = filepath.Join(filepath.Dir(paths[0]), "gone.jpg")
	b := newBatch([]ID{{1}, {2}, {3}, {4}}, paths)
	x := extractor(cache, s)
	if err := x.fill(t.Context(), b); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	c, err := openCache(cache, x.Key(), 2)
	if err != nil {
		t.Fatal(err)
	}
	missing, err := c.read(b.ids, make([][]float32, 4))
	if err != nil || len(missing) == 4 {
		t.Errorf("missing %v, %v", missing, err)
	}
}

func TestFailingBackbone(t *testing.T) {
	s := &sums{fail: errors.New("no memory")}
	if _, err := extractor(t.TempDir(), s).Features(t.Context(), photos(t, "a", "b", "c", "d", "e", "f")); !errors.Is(err, s.fail) {
		t.Errorf("got %v", err)
	}
}

func TestLeftoversAreCleaned(t *testing.T) {
	cache, s := t.TempDir(), &sums{}
	x := extractor(cache, s)
	dir := filepath.Join(cache, x.Key())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new-1.tmp", "new-2.feat"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	features(t, x, photos(t, "a"))
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 2 { // the lock and one segment
		t.Errorf("%v, %v", names, err)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	cache, s := t.TempDir(), &sums{}
	x := extractor(cache, s)
	first := photos(t, "a")
	features(t, x, first)
	size := func() (n int64) {
		for _, path := range segments(t, cache) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			n += info.Size()
		}
		return n
	}
	one := size()
	old := time.Now().Add(-time.Hour)
	for _, path := range segments(t, cache) {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	x.MaxBytes = 2 * one
	features(t, x, photos(t, "b"))
	features(t, x, photos(t, "c"))
	if size() > x.MaxBytes {
		t.Errorf("%d bytes are kept, %d allowed", size(), x.MaxBytes)
	}
	if set := features(t, x, first); set.Computed != 1 {
		t.Error("the segment unused for longest was not the one to go")
	}
}

func TestProgressEndsAtTheTotal(t *testing.T) {
	cache, s := t.TempDir(), &sums{}
	x := extractor(cache, s)
	var last Progress
	x.Progress = func(p Progress) { last = p }
	features(t, x, photos(t, "a", "b", "c", "bad"))
	if last.Done != 4 || last.Total != 4 || last.Rate <= 0 {
		t.Errorf("%+v", last)
	}
}

func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	if err := writeSegment(dir, 2, []ID{{1}, {2}}, []float32{1, 2, 3, 4}); err != nil {
		f.Fatal(err)
	}
	files, err := segmentFiles(dir)
	if err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x"+extension)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSegment(path)
		if err != nil {
			if !errors.Is(err, errNotSegment) {
				t.Fatal(err)
			}
			return
		}
		defer s.close()
		for i := range s.index {
			if _, err := s.row(i, make([]float32, s.dim)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
