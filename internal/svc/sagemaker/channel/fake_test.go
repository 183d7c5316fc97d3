package channel

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// fakeS3 is one bucket in memory.
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string]string // by key
	denied  map[string]bool   // keys that nobody may read, write or delete
	calls   []string          // "PUT key", "DELETE key", "GET key"
	onGet   func(key string, body io.Reader) io.Reader
	onPut   func(key string)
}

const bucket = "data"

func newFake(objects map[string]string) *fakeS3 {
	return &fakeS3{objects: maps.Clone(objects), denied: map[string]bool{}}
}

func (f *fakeS3) call(bkt, verb, key string) error {
	if bkt != bucket {
		return awsapi.Errorf("NoSuchBucket", "%s", bkt)
	}
	f.calls = append(f.calls, verb+" "+key)
	if f.denied[key] {
		return awsapi.Errorf("AccessDenied", "%s", key)
	}
	return nil
}

func (f *fakeS3) List(_ context.Context, _ *awsapi.Caller, bkt, prefix string, visit func(sagemaker.Object) error) error {
	f.mu.Lock()
	err := f.call(bkt, "LIST", prefix)
	var found []sagemaker.Object
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if strings.HasPrefix(key, prefix) {
			found = append(found, f.object(key))
		}
	}
	f.mu.Unlock()
	for _, o := range found {
		err = errors.Join(err, visit(o))
	}
	return err
}

func (f *fakeS3) object(key string) sagemaker.Object {
	return sagemaker.Object{Key: key, ETag: fmt.Sprintf("%x", md5.Sum([]byte(f.objects[key]))), Size: int64(len(f.objects[key]))}
}

func (f *fakeS3) Get(_ context.Context, _ *awsapi.Caller, bkt, key string) (io.ReadCloser, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call(bkt, "GET", key); err != nil {
		return nil, 0, err
	}
	text, ok := f.objects[key]
	if !ok {
		return nil, 0, awsapi.Errorf("NoSuchKey", "%s", key)
	}
	var body io.Reader = strings.NewReader(text)
	if f.onGet != nil {
		body = f.onGet(key, body)
	}
	return io.NopCloser(body), int64(len(text)), nil
}

func (f *fakeS3) Head(_ context.Context, _ *awsapi.Caller, bkt, key string) (sagemaker.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call(bkt, "HEAD", key); err != nil {
		return sagemaker.Object{}, err
	}
	if _, ok := f.objects[key]; !ok {
		return sagemaker.Object{}, awsapi.Errorf("NotFound", "%s", key)
	}
	return f.object(key), nil
}

func (f *fakeS3) Put(_ context.Context, _ *awsapi.Caller, bkt, key string, body io.Reader, size int64) error {
	if f.onPut != nil {
		f.onPut(key)
	}
	raw, err := io.ReadAll(body)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && int64(len(raw)) != size {
		err = fmt.Errorf("%d bytes, not %d", len(raw), size)
	}
	if err == nil {
		err = f.call(bkt, "PUT", key)
	}
	if err == nil {
		f.objects[key] = string(raw)
	}
	return err
}

func (f *fakeS3) Delete(_ context.Context, _ *awsapi.Caller, bkt, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.call(bkt, "DELETE", key)
	if err == nil {
		delete(f.objects, key)
	}
	return err
}

// deny takes away, or gives back, the leave to use an object.
func (f *fakeS3) deny(key string, is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied[key] = is
}

// took gives the calls of some verbs since the last time, sorted.
func (f *fakeS3) took(verbs ...string) (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		verb, _, _ := strings.Cut(c, " ")
		if slices.Contains(verbs, verb) {
			out = append(out, c)
		}
	}
	f.calls = nil
	slices.Sort(out)
	return out
}

func newStage(t testing.TB, s3 *fakeS3) *Stage {
	t.Helper()
	s, err := New(t.TempDir(), s3)
	if err != nil {
		t.Fatal(err)
	}
	s.room = func(string) (int64, error) { return 1 << 20, nil }
	return s
}

// content gives the files of a folder, by path.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir+"/")] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func quiet(int64, int64) {}

// short ends early, as a connection that breaks.
func short(_ string, body io.Reader) io.Reader { return io.LimitReader(body, 3) }

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := newGzip(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
