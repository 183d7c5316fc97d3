package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/state"
)

// file is a log that a test writes.
type file struct {
	tb   testing.TB
	path string
}

func newFile(tb testing.TB) file { return file{tb, filepath.Join(tb.TempDir(), "log")} }

func (f file) write(text string) {
	f.tb.Helper()
	w, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = w.WriteString(text)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		f.tb.Fatal(err)
	}
}

// events are those of the stream s of the group g, in pages.
func events(tb testing.TB, s *Service) (all []*OutputLogEvent) {
	tb.Helper()
	in := &GetLogEventsInput{LogGroupName: new("g"), LogStreamName: "s", StartFromHead: new(true)}
	for {
		out, err := s.getLogEvents(tb.Context(), in)
		if err != nil {
			tb.Fatal(err)
		}
		if len(out.Events) == 0 {
			return all
		}
		all, in.NextToken = append(all, out.Events...), out.NextForwardToken
	}
}

func wantEvents(tb testing.TB, s *Service, want ...string) {
	tb.Helper()
	var got []string
	for _, e := range events(tb, s) {
		got = append(got, *e.Message)
	}
	if d := cmp.Diff(want, got); d != "" {
		tb.Error(d)
	}
}

func follow(tb testing.TB, s *Service, f file) {
	tb.Helper()
	if err := s.Follow(tb.Context(), "g", "s", f.path); err != nil {
		tb.Fatal(err)
	}
}

func finish(tb testing.TB, s *Service) {
	tb.Helper()
	if err := s.Finish(tb.Context(), "g", "s"); err != nil {
		tb.Fatal(err)
	}
}

// Lines are events soon after they are written, with the time when they were
// seen; a line without an end is one after a silence.
func TestFollowLive(t *testing.T) {
	path, f := database(t), newFile(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		follow(t, s, f)
		wait := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		wait(time.Minute) // it is not there yet
		wantEvents(t, s)
		f.write("one\ntwo\nthr")
		start := time.Now()
		wait(lookEvery)
		wantEvents(t, s, "one", "two")
		wait(time.Second)
		wantEvents(t, s, "one", "two")
		f.write("ee\nfour")
		wait(lookEvery)
		wantEvents(t, s, "one", "two", "three")
		wait(silence + lookEvery)
		wantEvents(t, s, "one", "two", "three", "four")
		wait(time.Hour)
		all := events(t, s)
		for i, least := range []time.Duration{0, 0, time.Second, time.Second + silence} {
			if late := time.UnixMilli(*all[i].Timestamp).Sub(start) - least; late < 0 || late > 3*lookEvery {
				t.Errorf("event %d has a time that is %v off", i, late)
			}
			if *all[i].IngestionTime != *all[i].Timestamp {
				t.Errorf("event %d came at another time than it was seen", i)
			}
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s.DB.Close()
	})
}

// Follow and Finish may be repeated, in any order, and nothing comes twice.
func TestRepeat(t *testing.T) {
	path, f := database(t), newFile(t)
	s := open(t, path)
	finish(t, s)
	follow(t, s, f)
	follow(t, s, f)
	f.write("one\ntwo")
	finish(t, s)
	wantEvents(t, s, "one", "two")
	finish(t, s)
	follow(t, s, f)
	f.write("\nthree\n")
	finish(t, s)
	wantEvents(t, s, "one", "two", "three")

	other := newFile(t) // as for a further attempt: the first file is finished
	follow(t, s, f)
	f.write("last")
	other.write("again\n")
	follow(t, s, other)
	finish(t, s)
	wantEvents(t, s, "one", "two", "three", "last", "again")

	follow(t, s, other)
	s.DB.Close()
	other.write("while nobody looked\n")
	s = open(t, path)
	finish(t, s)
	wantEvents(t, s, "one", "two", "three", "last", "again", "while nobody looked")
}

// A file that is emptied or replaced is read from its start.
func TestRotated(t *testing.T) {
	s, f := open(t, database(t)), newFile(t)
	look := func() {
		t.Helper()
		if _, err := s.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	follow(t, s, f)
	f.write("a long first line\n")
	look()
	if err := os.Truncate(f.path, 0); err != nil {
		t.Fatal(err)
	}
	look()
	f.write("a second one that is longer\n")
	look()
	f2 := newFile(t)
	f2.write("replaced\nby a file that is longer still\n")
	if err := os.Rename(f2.path, f.path); err != nil {
		t.Fatal(err)
	}
	look()
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	look()
	if err := os.Symlink("/etc/passwd", f.path); err != nil {
		t.Fatal(err)
	}
	look()
	finish(t, s)
	wantEvents(t, s, "a long first line", "a second one that is longer", "replaced", "by a file that is longer still")
}

// A stream that somebody deletes while its file is followed is made anew, and
// holds what is written from then on.
func TestDeletedWhileFollowed(t *testing.T) {
	s, f := open(t, database(t)), newFile(t)
	follow(t, s, f)
	f.write("before\n")
	if _, err := s.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.deleteLogGroup(t.Context(), &DeleteLogGroupInput{LogGroupName: "g"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := s.describeLogStreams(t.Context(), &DescribeLogStreamsInput{LogGroupName: new("g")})
	wantCode(t, err, "ResourceNotFoundException")
	f.write("after\n")
	finish(t, s)
	wantEvents(t, s, "after")
}

// Much at once is taken whole, also by several files.
func TestMuch(t *testing.T) {
	s := open(t, database(t))
	const n = 30_000 // more than a window holds
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "line %d of a log with many lines\n", i)
	}
	f := newFile(t)
	f.write(text.String())
	follow(t, s, f)
	for i := range 2 * maxRound {
		other := newFile(t)
		other.write("x\n")
		if err := s.Follow(t.Context(), "g", fmt.Sprint("other-", i), other.path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := events(t, s)
	if len(all) != n {
		t.Fatalf("%d events of %d lines", len(all), n)
	}
	for i, e := range all {
		if !strings.HasPrefix(*e.Message, fmt.Sprintf("line %d of", i)) {
			t.Fatalf("event %d is %q", i, *e.Message)
		}
	}
	for i := range 2 * maxRound {
		if page, _, _ := get(t, s, GetLogEventsInput{LogStreamName: fmt.Sprint("other-", i)}); len(page) != 1 {
			t.Errorf("another file gave %d events", len(page))
		}
	}
	checkChunks(t, s)
}

// A disk that is full for a while costs no line.
func TestCommitFails(t *testing.T) {
	s, f := open(t, database(t)), newFile(t)
	follow(t, s, f)
	f.write("one\ntwo\nhalf")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.round(ctx); err == nil {
		t.Error("nothing failed")
	}
	if err := s.Finish(ctx, "g", "s"); err == nil {
		t.Error("Finish did not say that it failed")
	}
	finish(t, s)
	wantEvents(t, s, "one", "two", "half")
}

func TestNames(t *testing.T) {
	s := open(t, database(t))
	for _, n := range [][2]string{{"", "s"}, {"g", ""}, {"g g", "s"}, {"g", "a:b"}, {"g", "a\x00b"}, {"g", strings.Repeat("x", 513)}} {
		if err := s.Follow(t.Context(), n[0], n[1], "/none"); err == nil {
			t.Errorf("%q can be followed", n)
		}
	}
}

// The process of TestKilled that follows a file until it is killed.
func TestMain(m *testing.M) {
	data, path := os.Getenv("LOGS_TEST_DATABASE"), os.Getenv("LOGS_TEST_FILE")
	if data == "" {
		os.Exit(m.Run())
	}
	db, err := state.Open(data)
	if err == nil {
		var s *Service
		if s, err = New(context.Background(), Deps{DB: db}); err == nil {
			err = errors.Join(s.Follow(context.Background(), "g", "s", path), s.Run(context.Background()))
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKilled kills processes that follow a file while it grows. No line is
// lost, none comes twice, and the order is the file's.
func TestKilled(t *testing.T) {
	data, f := database(t), newFile(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	done, written := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-done:
				written <- n
				return
			case <-time.After(200 * time.Microsecond):
				f.write(fmt.Sprintf("line %d\npart %d,", n, n)) // the next line ends it
				f.write(" and its end\n")
				n++
			}
		}
	}()
	for i := range 8 {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "LOGS_TEST_DATABASE="+data, "LOGS_TEST_FILE="+f.path)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(60+i*37) * time.Millisecond) // at no moment in particular
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait() //nolint:errcheck // it was killed
	}
	close(done)
	n := <-written
	f.write("last words")
	s := open(t, data)
	before := len(events(t, s))
	finish(t, s)
	var want, got []string
	for i := range n {
		want = append(want, fmt.Sprintf("line %d", i), fmt.Sprintf("part %d, and its end", i))
	}
	want = append(want, "last words")
	for _, e := range events(t, s) {
		got = append(got, *e.Message)
	}
	if !slices.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
	if before == 0 {
		t.Error("no process came as far as an event: nothing was tried")
	}
	t.Logf("%d of %d events came from processes that were killed", before, len(got))
	checkChunks(t, s)
}
