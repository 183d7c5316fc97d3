package blob

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s *Store, data []byte) Part {
	t.Helper()
	info, err := s.Put(t.Context(), bytes.NewReader(data), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Part{ID: info.ID, Size: info.Size}
}

func get(t testing.TB, s *Store, parts []Part, off, n int64) []byte {
	t.Helper()
	r, err := s.Reader(parts, off, n)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// files lists all that is in the store but its lock and generation.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	for _, pattern := range []string{"tmp/*", "??/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func TestPutAndRead(t *testing.T) {
	s := open(t, t.TempDir())
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, writeback + chunk + 7} {
		data := randomBytes(size)
		p := put(t, s, data)
		if p.Size != int64(size) {
			t.Errorf("size %d recorded as %d", size, p.Size)
		}
		if got := get(t, s, []Part{p}, 0, p.Size); !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back otherwise", size)
		}
	}
}

func TestSums(t *testing.T) {
	s := open(t, t.TempDir())
	want := map[Algorithm]string{ // the usual check values of "123456789"
		MD5:       "25f9e794323b453885f5181f1b624d0b",
		SHA1:      "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
		SHA256:    "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
		SHA512:    "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
		CRC32:     "cbf43926",
		CRC32C:    "e3069283",
		CRC64NVME: "ae8b14860a799888",
	}
	var all []Algorithm
	for a := range want {
		all = append(all, a)
	}
	info, err := s.Put(t.Context(), iotest.OneByteReader(strings.NewReader("123456789")), Options{Sums: all})
	if err != nil {
		t.Fatal(err)
	}
	for a, sum := range want {
		if got := hex.EncodeToString(info.Sums[a]); got != sum {
			t.Errorf("%s = %s, want %s", a, got, sum)
		}
	}
	if _, err := s.Put(t.Context(), strings.NewReader("x"), Options{Sums: []Algorithm{"XXH3"}}); err == nil {
		t.Error("an unknown algorithm was accepted")
	}
}

func TestConcat(t *testing.T) {
	data := randomBytes(3000)
	for _, a := range []Algorithm{CRC32, CRC32C, CRC64NVME} {
		for _, at := range []int{0, 1, 7, 1024, 2999, 3000} {
			sum := func(b []byte) []byte { h := a.New(); h.Write(b); return h.Sum(nil) }
			got := a.Concat(sum(data[:at]), sum(data[at:]), int64(len(data)-at))
			if !bytes.Equal(got, sum(data)) {
				t.Errorf("%s cut at %d: %x, want %x", a, at, got, sum(data))
			}
		}
	}
}

func TestFailedPutLeavesNothing(t *testing.T) {
	errCheck, errRead := errors.New("checked"), errors.New("read")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		r    io.Reader
		opts Options
		want error
	}{
		{"reader fails", t.Context(), io.MultiReader(bytes.NewReader(randomBytes(chunk+5)), iotest.ErrReader(errRead)), Options{}, errRead},
		{"client gone", t.Context(), io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)), Options{}, io.ErrUnexpectedEOF},
		{"check fails", t.Context(), strings.NewReader("x"), Options{Check: func(Info) error { return errCheck }}, errCheck},
		{"cancelled", cancelled, bytes.NewReader(randomBytes(3 * chunk)), Options{}, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			if _, err := s.Put(tt.ctx, tt.r, tt.opts); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	s := open(t, t.TempDir())
	data := randomBytes(23)
	var parts []Part
	for _, cut := range [][2]int{{0, 5}, {5, 5}, {5, 6}, {6, 20}, {20, 23}} {
		parts = append(parts, put(t, s, data[cut[0]:cut[1]]))
	}
	for off := range len(data) + 1 {
		for n := range len(data) - off + 1 {
			if got := get(t, s, parts, int64(off), int64(n)); !bytes.Equal(got, data[off:off+n]) {
				t.Fatalf("range %d+%d: got %x, want %x", off, n, got, data[off:off+n])
			}
			r, err := s.Reader(parts, int64(off), int64(n))
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if m, err := r.WriteTo(&b); err != nil || m != int64(n) || !bytes.Equal(b.Bytes(), data[off:off+n]) {
				t.Fatalf("WriteTo %d+%d: %d, %v", off, n, m, err)
			}
			r.Close()
		}
	}
	for _, bad := range [][2]int64{{-1, 1}, {0, 24}, {24, 0}, {5, -1}} {
		if _, err := s.Reader(parts, bad[0], bad[1]); err == nil {
			t.Errorf("range %v was accepted", bad)
		}
	}
	if len(s.pins) > 0 {
		t.Errorf("%d pins left", len(s.pins))
	}
}

func TestDeleteWaitsForReaders(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	parts := []Part{put(t, s, []byte("one")), put(t, s, []byte("two"))}
	first, err := s.Reader(parts, 0, 6)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Reader(parts, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(parts[0].ID, parts[1].ID, "", "no such"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(first); string(got) != "onetwo" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	first.Close()
	if n := len(files(t, dir)); n != 1 {
		t.Errorf("%d files while one is being read", n)
	}
	second.Close()
	second.Close() // harmless
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := s.Reader(parts, 0, 6); !errors.Is(err, ErrNotFound) {
		t.Errorf("reading a deleted blob: %v", err)
	}
}

func TestLink(t *testing.T) {
	s := open(t, t.TempDir())
	p := put(t, s, []byte("bytes"))
	for name, link := range map[string]func(ID) (ID, error){"link": s.Link, "copy": s.duplicate} {
		twin, err := link(p.ID)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := get(t, s, []Part{{twin, 5}}, 0, 5); string(got) != "bytes" || twin == p.ID {
			t.Errorf("%s: %q under %s", name, got, twin)
		}
	}
	twin, err := s.Link(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(p.ID); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, []Part{{twin, 5}}, 0, 5); string(got) != "bytes" {
		t.Errorf("the twin died with its original: %q", got)
	}
	for _, link := range []func(ID) (ID, error){s.Link, s.duplicate} {
		if _, err := link(p.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("linking a deleted blob: %v", err)
		}
	}
}

func TestSweepSparesTheLivingAndTheYoung(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	kept, orphan := put(t, s, []byte("kept")), put(t, s, []byte("orphan"))
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, "tmp", "half"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir)
	young := put(t, s, []byte("young"))
	removed, err := s.Sweep(func(id ID) bool { return id == kept.ID })
	if err != nil || removed != 1 {
		t.Errorf("removed %d, %v", removed, err)
	}
	get(t, s, []Part{kept, young}, 0, 9)
	if _, err := s.Reader([]Part{orphan}, 0, 6); !errors.Is(err, ErrNotFound) {
		t.Errorf("the orphan is still there: %v", err)
	}
	if n := len(files(t, dir)); n != 2 {
		t.Errorf("%d files, want 2", n)
	}
}

func TestOneProcessPerFolder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := Open(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second opening: %v", err)
	}
	s.Close()
	open(t, dir)
}

func TestShortBlobIsAnError(t *testing.T) {
	s := open(t, t.TempDir())
	p := put(t, s, []byte("four"))
	p.Size = 6
	for name, read := range map[string]func(*Reader) error{
		"Read":    func(r *Reader) error { _, err := io.ReadAll(r); return err },
		"WriteTo": func(r *Reader) error { _, err := r.WriteTo(io.Discard); return err },
	} {
		r, err := s.Reader([]Part{p}, 0, 6)
		if err != nil {
			t.Fatal(err)
		}
		if err := read(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
}

func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				data := fmt.Appendf(nil, "%d-%d", i, j)
				info, err := s.Put(context.Background(), bytes.NewReader(data), Options{Sums: []Algorithm{MD5}})
				if err != nil {
					t.Error(err)
					return
				}
				r, err := s.Reader([]Part{{info.ID, info.Size}}, 0, info.Size)
				if err != nil {
					t.Error(err)
					return
				}
				s.Delete(info.ID)
				if got, err := io.ReadAll(r); !bytes.Equal(got, data) || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				r.Close()
			}
		})
	}
	wg.Wait()
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
