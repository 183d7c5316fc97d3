package server

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/fake"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

type nothing struct{}

func (nothing) Training(context.Context, map[string]string) (sagemaker.Provision, error) {
	return sagemaker.Provision{}, nil
}
func (nothing) Serving(context.Context) (sagemaker.Provision, error) {
	return sagemaker.Provision{}, nil
}

// store is S3 as root sees it, with one bucket.
func store(t *testing.T) (*objects, *awsapi.Caller) {
	t.Helper()
	s, err := Open(t.Context(), Options{
		Data: t.TempDir(), Cache: t.TempDir(), Listen: "127.0.0.1:0", Self: []string{"musher"}, Provider: nothing{},
		Runner: func(changed func(string)) (runner.Runner, error) {
			return fake.New(fake.Options{OnChange: changed}), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	root := &awsapi.Caller{Kind: awsapi.Root, Account: defaultAccount, ARN: "arn:aws:iam::" + defaultAccount + ":root"}
	o := &objects{s.gateway}
	if _, err := call[s3.CreateBucketOutput](t.Context(), o, root, "CreateBucket", &s3.CreateBucketInput{Bucket: "data"}); err != nil {
		t.Fatal(err)
	}
	return o, root
}

func has(t *testing.T, o *objects, as *awsapi.Caller, key, want string) {
	t.Helper()
	body, size, err := o.Get(t.Context(), as, "data", key)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil || string(raw) != want || size != int64(len(want)) {
		t.Errorf("%s: %q, %d bytes, %v; want %q", key, raw, size, err, want)
	}
}

// failing is a body that breaks off after a text.
type failing struct{ io.Reader }

var errBroken = errors.New("broken")

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errBroken
	}
	return n, err
}

// An object whose body fails is not stored: what was there stays. Checkpoints
// rely on it.
func TestObjects(t *testing.T) {
	o, root := store(t)
	put := func(key, text string) {
		t.Helper()
		if err := o.Put(t.Context(), root, "data", key, strings.NewReader(text), int64(len(text))); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "first")
	if err := o.Put(t.Context(), root, "data", "a", failing{strings.NewReader("sec")}, 6); err == nil {
		t.Error("half a body was taken")
	}
	has(t, o, root, "a", "first")
	nobody := &awsapi.Caller{Kind: awsapi.User, Account: defaultAccount, ARN: "arn:aws:iam::" + defaultAccount + ":user/nobody"}
	var denied *awsapi.Error
	if err := o.Delete(t.Context(), nobody, "data", "a"); !errors.As(err, &denied) || denied.Code != "AccessDenied" {
		t.Errorf("deleted by nobody: %v", err)
	}
	has(t, o, root, "a", "first")
	for range 2 {
		if err := o.Delete(t.Context(), root, "data", "a"); err != nil {
			t.Error(err)
		}
	}
	if _, err := o.Head(t.Context(), root, "data", "a"); !errors.As(err, &denied) {
		t.Errorf("after it was deleted: %v", err)
	}
}

func TestCheckpointsThroughS3(t *testing.T) {
	o, root := store(t)
	job := t.TempDir()
	dir := filepath.Join(job, "checkpoints")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mirror := func() *channel.Mirror {
		t.Helper()
		m, err := channel.NewMirror(o, dir, "s3://data/ck", filepath.Join(job, "known.json"))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	write("epoch-1", "one")
	write("empty", "")
	if err := mirror().Finish(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	has(t, o, root, "ck/epoch-1", "one")
	has(t, o, root, "ck/empty", "")
	if err := os.Rename(filepath.Join(dir, "epoch-1"), filepath.Join(dir, "epoch-2")); err != nil {
		t.Fatal(err)
	}
	if err := mirror().Finish(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mirror().Down(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(dir + "/*")
	if err != nil || len(left) != 2 || filepath.Base(left[0]) != "empty" || filepath.Base(left[1]) != "epoch-2" {
		t.Errorf("came down: %v, %v", left, err)
	}
}
