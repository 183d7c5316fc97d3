//go:build linux

package channel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fed runs Feed beside a reader.
type fed struct {
	t      *testing.T
	dir    string
	cancel context.CancelFunc
	ended  chan error
}

func feed(t *testing.T, s3 *fakeS3, r Request) *fed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fed{t: t, dir: t.TempDir(), cancel: cancel, ended: make(chan error, 1)}
	pipe, err := newStage(t, s3).Pipe(ctx, nil, r, f.dir, "train")
	if err != nil {
		t.Fatal(err)
	}
	go func() { f.ended <- pipe.Run(ctx) }()
	return f
}

// open opens the pipe of an epoch, which must be there.
func (f *fed) open(epoch int) *os.File {
	f.t.Helper()
	in, err := os.Open(filepath.Join(f.dir, fmt.Sprintf("train_%d", epoch)))
	if err != nil {
		f.t.Fatal(err)
	}
	return in
}

func (f *fed) read(epoch int) string {
	f.t.Helper()
	in := f.open(epoch)
	defer in.Close()
	raw, err := io.ReadAll(in)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(raw)
}

// awaitPipe waits for the pipe of an epoch whose one before was not read to its end.
func (f *fed) awaitPipe(epoch int) {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(f.dir, fmt.Sprintf("train_%d", epoch))); err == nil {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("no pipe of epoch %d", epoch)
		}
	}
}

// stop ends the job, and checks that Feed ends and leaves nothing.
func (f *fed) stop() {
	f.t.Helper()
	f.cancel()
	if err := <-f.ended; !errors.Is(err, context.Canceled) {
		f.t.Errorf("ended with %v", err)
	}
	if left := content(f.t, f.dir); len(left) > 0 {
		f.t.Errorf("left behind: %v", left)
	}
}

func TestFeed(t *testing.T) {
	long := strings.Repeat("0123456789", 50_000) // more than a pipe holds
	s3 := newFake(texts{
		"train/1": "one ", "train/2": long, "train/3": " three", "zip/1": zipped(t, "one "), "zip/2": zipped(t, "two"),
		"m":     `[{"prefix": "s3://data/train/"}, "3", "1", "1"]`,
		"lines": `{"x-ref": "s3://data/train/1", "n": 7}` + "\n" + `{"n": "text", "x-ref": "s3://data/train/3"}`,
	})
	for name, c := range map[string]struct {
		r    Request
		want string
	}{
		"a prefix":             {Request{URI: "s3://data/train"}, "one " + long + " three"},
		"a share":              {Request{URI: "s3://data/train", Sharded: true, Instance: 0, Instances: 2}, "one  three"},
		"an empty share":       {Request{URI: "s3://data/train", Sharded: true, Instance: 3, Instances: 4}, ""},
		"a manifest":           {Request{URI: "s3://data/m", Type: ManifestFile}, " threeone one "},
		"gzip":                 {Request{URI: "s3://data/zip", Gunzip: true}, "one two"},
		"an augmented one":     {Request{URI: "s3://data/lines", Type: AugmentedManifestFile, Attributes: []string{"x-ref", "n"}}, "one 7 threetext"},
		"a share of its lines": {Request{URI: "s3://data/lines", Type: AugmentedManifestFile, Attributes: []string{"n"}, Sharded: true, Instance: 1, Instances: 2}, "text"},
	} {
		t.Run(name, func(t *testing.T) {
			f := feed(t, s3, c.r)
			for epoch := range 3 {
				if got := f.read(epoch); got != c.want {
					t.Errorf("epoch %d: %.50q, want %.50q", epoch, got, c.want)
				}
			}
			f.stop()
		})
	}
}

// A reader that has seen enough closes, and finds the next epoch.
func TestFeedClosedEarly(t *testing.T) {
	s3 := newFake(texts{"train/1": strings.Repeat("0123456789", 50_000)})
	f := feed(t, s3, Request{URI: "s3://data/train"})
	for epoch := range 3 {
		f.awaitPipe(epoch)
		in := f.open(epoch)
		var first [10]byte
		if _, err := io.ReadFull(in, first[:]); err != nil || string(first[:]) != "0123456789" {
			t.Error(string(first[:]), err)
		}
		in.Close()
	}
	f.stop()
}

// The end of the job ends Feed, whether nobody has come yet or somebody has
// stopped reading.
func TestFeedEnds(t *testing.T) {
	s3 := newFake(texts{"train/1": strings.Repeat("0123456789", 50_000)})
	feed(t, s3, Request{URI: "s3://data/train"}).stop()

	f := feed(t, s3, Request{URI: "s3://data/train"})
	in := f.open(0)
	defer in.Close()
	var first [1]byte
	if _, err := io.ReadFull(in, first[:]); err != nil {
		t.Fatal(err)
	}
	f.stop()
}

// What can't be read ends Feed with an error, before the start where it can.
func TestFeedFails(t *testing.T) {
	s3 := newFake(texts{"train/1": "one", "train/2": "two", "bad/1": "no gzip"})
	stage := newStage(t, s3)
	for _, r := range []Request{{URI: "s3://data/none"}, {URI: "s3://data/train/1", Type: ManifestFile}, {URI: "x"}} {
		dir := t.TempDir()
		if err := stage.Feed(t.Context(), nil, r, dir, "train"); err == nil || len(content(t, dir)) > 0 {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if err := stage.Feed(t.Context(), nil, Request{URI: "s3://data/train"}, t.TempDir()+"/none", "train"); err == nil {
		t.Error("fed into a folder that is not there")
	}
	f := feed(t, s3, Request{URI: "s3://data/train"})
	s3.deny("train/2", true)
	f.read(0)
	if err := <-f.ended; err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Error(err)
	}
	f = feed(t, s3, Request{URI: "s3://data/bad", Gunzip: true})
	f.read(0)
	if err := <-f.ended; !errors.Is(err, ErrBadInput) {
		t.Error(err)
	}
}

// A job that puts something else in a pipe's place does not make the server
// write there.
func TestFeedIsNotLedAway(t *testing.T) {
	s3 := newFake(texts{"train/1": "one"})
	victim := filepath.Join(t.TempDir(), "victim")
	for name, plant := range map[string]func(path string) error{
		"a link": func(path string) error { return os.Symlink(victim, path) },
		"a file": func(path string) error { return os.Link(victim, path) },
	} {
		write(t, victim, "safe")
		f := feed(t, s3, Request{URI: "s3://data/train"})
		path := filepath.Join(f.dir, "train_0")
		if err := plant(path + ".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if err := <-f.ended; err == nil {
			t.Errorf("%s was fed", name)
		}
		if got, err := os.ReadFile(victim); err != nil || string(got) != "safe" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Shuffled epochs differ, hold the same, and are shared out without a gap.
func TestShuffle(t *testing.T) {
	var all []record
	for i := range 20 {
		all = append(all, record{{text: []byte(fmt.Sprint(i))}})
	}
	seed := uint64(7)
	r := Request{Shuffle: &seed}
	first, second, again := show(shuffled(r, all, 0)), show(shuffled(r, all, 1)), show(shuffled(r, all, 1))
	if first == second || second != again {
		t.Error("the epochs are not shuffled, or not by the seed")
	}
	var together []string
	for i := range 3 {
		r.Sharded, r.Instance, r.Instances = true, i, 3
		together = append(together, strings.Split(show(share(r, shuffled(r, all, 4))), " / ")...)
	}
	want := strings.Split(show(all), " / ")
	slices.Sort(together)
	slices.Sort(want)
	if d := cmp.Diff(want, together); d != "" {
		t.Error(d)
	}
}

// unrecord reads RecordIO as its readers do.
func unrecord(t *testing.T, raw []byte) (out []string) {
	t.Helper()
	var now []byte
	for len(raw) > 0 {
		if len(raw) < 8 || binary.LittleEndian.Uint32(raw) != recordMagic {
			t.Fatalf("no record: %x", raw)
		}
		flag, n := binary.LittleEndian.Uint32(raw[4:])>>29, int(binary.LittleEndian.Uint32(raw[4:])&(1<<29-1))
		now = append(now, raw[8:8+n]...)
		if flag == wholeRecord || flag == lastPart {
			out, now = append(out, string(now)), nil
		} else {
			now = binary.LittleEndian.AppendUint32(now, recordMagic)
		}
		raw = raw[8+(n+3)/4*4:]
	}
	return out
}

func TestRecordIO(t *testing.T) {
	magic := string(binary.LittleEndian.AppendUint32(nil, recordMagic))
	want := []string{"", "a", "four", "fours", magic, "word" + magic + magic + "x", "x" + magic, magic + "word", "word" + magic + "word" + magic}
	objects := texts{}
	for i, text := range want {
		objects[fmt.Sprintf("train/%d", i)] = text
	}
	f := feed(t, newFake(objects), Request{URI: "s3://data/train", RecordIO: true})
	if d := cmp.Diff(want, unrecord(t, []byte(f.read(0)))); d != "" {
		t.Error(d)
	}
	f.stop()
	plain := "\x0a\x23\xd7\xce\x03\x00\x00\x00abc\x00"
	rec := recordWriter{}
	if _, err := rec.Write([]byte("abc")); err != nil || string(rec.bytes()) != plain {
		t.Errorf("%x, %v", rec.bytes(), err)
	}
}
