package channel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// checkpoints is a mirror with a job that writes and a clock that the test sets.
type checkpoints struct {
	*Mirror
	t       *testing.T
	s3      *fakeS3
	dir     string
	elapsed time.Duration
}

func newCheckpoints(t *testing.T, objects texts) *checkpoints {
	t.Helper()
	c := &checkpoints{t: t, s3: newFake(objects), dir: filepath.Join(t.TempDir(), "job", "checkpoints")}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c.restart()
	return c
}

// restart is a new server.
func (c *checkpoints) restart() {
	c.t.Helper()
	m, err := NewMirror(c.s3, c.dir, "s3://data/ck/", filepath.Join(filepath.Dir(filepath.Dir(c.dir)), "known.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	m.now = func() time.Time { return time.Now().Add(c.elapsed) }
	c.Mirror = m
}

func (c *checkpoints) write(name, text string) {
	c.t.Helper()
	write(c.t, filepath.Join(c.dir, name), text)
}

// age makes all that was written so far an hour old.
func (c *checkpoints) age() {
	c.t.Helper()
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = os.Chtimes(path, old, old)
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *checkpoints) up() {
	c.t.Helper()
	if err := c.Up(c.t.Context(), nil); err != nil {
		c.t.Fatal(err)
	}
}

func (c *checkpoints) expect(what string, calls ...string) {
	c.t.Helper()
	if d := cmp.Diff(calls, c.s3.took("PUT", "DELETE")); d != "" {
		c.t.Errorf("%s: %s", what, d)
	}
}

func (c *checkpoints) has(want texts) {
	c.t.Helper()
	if d := cmp.Diff(want, c.s3.objects); d != "" {
		c.t.Error(d)
	}
}

func TestMirror(t *testing.T) {
	c := newCheckpoints(t, texts{"ck/old": "old", "ck/sub/older": "older", "ck/": "", "ckx/other": "o"})
	if err := c.Down(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(texts{"old": "old", "sub/older": "older"}, content(t, c.dir)); d != "" {
		t.Error(d)
	}
	c.elapsed = time.Hour
	c.up()
	c.expect("what came down does not go up")

	c.write("new", "1")
	c.write("sub/deep/new", "2")
	c.up()
	c.expect("new files go up", "PUT ck/new", "PUT ck/sub/deep/new")
	c.up()
	c.expect("once")

	c.write("old", "changed")
	if err := os.RemoveAll(filepath.Join(c.dir, "sub")); err != nil {
		t.Fatal(err)
	}
	c.s3.objects["ck/theirs"] = "theirs"
	c.up()
	c.expect("changed and deleted", "DELETE ck/sub/deep/new", "DELETE ck/sub/older", "PUT ck/old")
	c.has(texts{"ck/": "", "ck/old": "changed", "ck/new": "1", "ck/theirs": "theirs", "ckx/other": "o"})
	if _, err := os.Stat(filepath.Join(c.dir, "theirs")); err == nil {
		t.Error("what was added in S3 came down")
	}
}

// A new server knows what the job has deleted while there was none.
func TestMirrorRestart(t *testing.T) {
	c := newCheckpoints(t, texts{"ck/a": "a"})
	if err := c.Down(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.elapsed = time.Hour
	c.write("b", "b")
	c.up()
	c.took()
	c.restart()
	c.up()
	c.expect("nothing has changed")
	if err := errors.Join(os.Remove(filepath.Join(c.dir, "a")), os.Remove(filepath.Join(c.dir, "b"))); err != nil {
		t.Fatal(err)
	}
	c.restart()
	c.up()
	c.expect("deleted", "DELETE ck/a", "DELETE ck/b")
}

func (c *checkpoints) took() { c.s3.took() }

// A server that dies between putting a file and writing that down deletes it
// all the same when the job does.
func TestMirrorDies(t *testing.T) {
	c := newCheckpoints(t, texts{})
	c.elapsed = time.Hour
	c.write("a", "a")
	c.s3.onPut = func(string) {
		c.s3.onPut = nil
		c.restart() // reads what was written down before the file went up
	}
	dying := c.Mirror
	if err := dying.Up(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(c.dir, "a")); err != nil {
		t.Fatal(err)
	}
	c.up()
	c.has(texts{})
}

// What is being written does not go up before it holds still.
func TestMirrorTorn(t *testing.T) {
	c := newCheckpoints(t, texts{})
	c.write("early", "done")
	c.age()
	c.write("late", "half")
	c.up()
	c.expect("the late one waits", "PUT ck/early")
	// While early goes up again, the job writes to it.
	c.write("early", "more of it")
	c.elapsed = time.Hour
	c.s3.onPut = func(key string) {
		if key == "ck/early" {
			c.write("early", "more of it, and more")
		}
	}
	c.up()
	c.expect("nothing torn goes up", "PUT ck/late")
	c.has(texts{"ck/early": "done", "ck/late": "half"})
	// The same size, but other content.
	c.s3.onPut = func(string) {
		c.write("early", "more of it, and MORE")
		c.age()
	}
	c.up()
	c.expect("nothing torn goes up")
	c.s3.onPut = nil
	c.up()
	c.has(texts{"ck/early": "more of it, and MORE", "ck/late": "half"})
	// At the end nothing is being written.
	c.elapsed = 0
	c.write("last", "last")
	c.up()
	c.took()
	if err := c.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.expect("the last pass", "PUT ck/last")
}

// One file that S3 refuses does not hold back the others, and is tried again.
func TestMirrorRefused(t *testing.T) {
	c := newCheckpoints(t, texts{"ck/gone": "x"})
	if err := c.Down(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.elapsed = time.Hour
	c.write("a", "a")
	c.write("b", "b")
	if err := os.Remove(filepath.Join(c.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	c.s3.deny("ck/a", true)
	c.s3.deny("ck/gone", true)
	if err := c.Up(t.Context(), nil); err == nil {
		t.Error("a refusal is not told")
	}
	c.has(texts{"ck/b": "b", "ck/gone": "x"})
	c.s3.deny("ck/a", false)
	c.s3.deny("ck/gone", false)
	c.up()
	c.has(texts{"ck/a": "a", "ck/b": "b"})
}

// The folder is the job's: nothing from outside of it goes up or is overwritten.
func TestMirrorIsNotLedAway(t *testing.T) {
	c := newCheckpoints(t, texts{"ck/down": "from S3"})
	secrets := filepath.Join(t.TempDir(), "secrets")
	write(t, filepath.Join(secrets, "key"), "secret")
	for at, to := range map[string]string{"key": secrets + "/key", "all": secrets, "latest": "mine", "down": secrets + "/key"} {
		if err := os.Symlink(to, filepath.Join(c.dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	c.write("mine", "m")
	if err := unix.Mkfifo(filepath.Join(c.dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Down(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.expect("files, and links to them", "PUT ck/latest", "PUT ck/mine")
	if got := content(t, secrets); got["key"] != "secret" {
		t.Errorf("overwritten: %v", got)
	}
	// The folder itself becomes a link, or goes: then nothing is deleted either.
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	if err := c.Up(t.Context(), nil); err == nil {
		t.Error("a missing folder is taken for an empty one")
	}
	if err := os.Symlink(secrets, c.dir); err != nil {
		t.Fatal(err)
	}
	if err := c.Finish(t.Context(), nil); err == nil {
		t.Error("a link was followed")
	}
	c.expect("nothing")
}

func TestMirrorRefusesNames(t *testing.T) {
	c := newCheckpoints(t, texts{"ck/../x": "x"})
	if err := c.Down(t.Context(), nil); !errors.Is(err, ErrNotAFile) {
		t.Error(err)
	}
	if _, err := NewMirror(c.s3, c.dir, "http://x", ""); err == nil {
		t.Error("took a URI that is not S3's")
	}
}
