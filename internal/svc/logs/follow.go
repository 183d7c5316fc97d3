package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/state"
)

const (
	lookEvery = 200 * time.Millisecond // at all files
	silence   = 2 * time.Second        // after which a line counts that has no end
	window    = 1 << 20                // bytes of one file that are read at once
	maxRound  = 8                      // windows that are committed at once
)

// tail is a file that is followed. Its feed is what was committed; the rest is
// of use until the server ends.
type tail struct {
	feed
	cutter
	group, stream string

	size  int64     // at the last look
	grown time.Time // when it was found longer than before
	idle  bool      // all of that size was looked at
	stamp int64     // time of the last event
}

// gain is what one look at a file found.
type gain struct {
	tail   *tail
	feed   feed // and cutter, as they will be
	cutter cutter
	lines  []string
	more   bool // there is more to read at once
	last   bool // the file is followed no longer
}

// Follow takes the lines of a file, as it grows, into a log stream; both are
// made where they are missing. It goes on after a restart of the server and is
// harmless to repeat, also after Finish: what was taken is not taken again.
// Another file than before for the same stream first finishes that one.
func (s *Service) Follow(ctx context.Context, group, stream, path string) error {
	if err := checkNames(group, stream); err != nil {
		return err
	}
	s.tailing.Lock()
	defer s.tailing.Unlock()
	key := state.Key(group, stream)
	if t := s.tails[key]; t != nil {
		if t.Path == path {
			return nil
		}
		if err := s.finish(ctx, key, t); err != nil {
			return err
		}
	}
	t := &tail{group: group, stream: stream, grown: time.Now(), feed: feed{Path: path}}
	err := s.update(ctx, func(tx *state.Tx) error {
		_, st, err := s.ensure(tx, time.Now(), group, stream)
		if err != nil {
			return err
		}
		if st.Fed != nil && st.Fed.Path == path {
			t.feed = *st.Fed
		}
		return s.follows.Put(tx, key, &t.feed)
	})
	if err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	s.tails[key] = t
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

//nolint:gochecknoglobals // compiled once
var groupNames = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)

func checkNames(group, stream string) error {
	if !groupNames.MatchString(group) || stream == "" || len(stream) > 512 || strings.ContainsAny(stream, ":*\x00") {
		return fmt.Errorf("%q, %q cannot be the names of a log group and stream", group, stream)
	}
	return nil
}

// Finish takes what is left of the stream's file and stops following it. When
// it returns, GetLogEvents has all of it.
func (s *Service) Finish(ctx context.Context, group, stream string) error {
	s.tailing.Lock()
	defer s.tailing.Unlock()
	key := state.Key(group, stream)
	t := s.tails[key]
	if t == nil {
		return nil
	}
	return s.finish(ctx, key, t)
}

func (s *Service) finish(ctx context.Context, key string, t *tail) error {
	for {
		now := time.Now()
		g, err := s.look(t, now, true)
		if err != nil {
			return fmt.Errorf("read the end of %s: %w", t.Path, err)
		}
		g.last = !g.more
		if err := s.commit(ctx, now, []*gain{g}); err != nil {
			return err
		}
		if g.last {
			delete(s.tails, key)
			return nil
		}
	}
}

// resume follows what an earlier server followed.
func (s *Service) resume(ctx context.Context) error {
	return s.view(ctx, func(tx *state.Tx) error {
		return s.follows.Scan(tx, state.Range{}, func(key string, f *feed) (bool, error) {
			group, stream, _ := strings.Cut(key, "\x00")
			s.tails[key] = &tail{feed: *f, group: group, stream: stream, grown: time.Now()}
			return true, nil
		})
	})
}

// Run looks at the followed files until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	failing := false
	for {
		files, err := s.round(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			s.Log.Error("what work prints cannot be taken into its log stream; trying again", "error", err)
		}
		failing = err != nil
		again := tick.C
		if files == 0 {
			again = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again:
		case <-s.wake:
		}
	}
}

// round looks at every file until none has more, and counts them. One that
// can't be read does not keep the others.
func (s *Service) round(ctx context.Context) (files int, err error) {
	s.tailing.Lock()
	defer s.tailing.Unlock()
	for more := true; more; {
		now := time.Now()
		var gains []*gain
		more = false
		for _, t := range s.tails {
			if len(gains) == maxRound {
				more = true
				break
			}
			g, lerr := s.look(t, now, false)
			if lerr != nil {
				err = lerr
			} else if g.feed != t.feed {
				gains, more = append(gains, g), more || g.more
			}
		}
		if cerr := s.commit(ctx, now, gains); cerr != nil {
			return len(s.tails), cerr
		}
	}
	return len(s.tails), err
}

// look reads what a file has gained. With all set, or after a silence, it takes
// also a line that has no end.
func (s *Service) look(t *tail, now time.Time, all bool) (*gain, error) {
	found, err := t.find(now)
	g := &gain{tail: t, feed: t.feed, cutter: t.cutter}
	all = all || now.Sub(t.grown) >= silence
	if err != nil || !found || t.size == t.Offset || t.idle && !all {
		return g, err
	}
	data, err := s.read(t.feed)
	if err != nil {
		return nil, err
	}
	g.more = t.Offset+int64(len(data)) < t.size
	used := 0
	g.lines, used = g.cutter.cut(data, now, all && !g.more)
	if used == 0 && g.more { // nothing but states of one line in the whole window
		g.lines, used = g.cutter.cut(data, now, true)
	}
	g.feed.Offset += int64(used)
	t.idle = used == 0
	return g, nil
}

// find looks whether the file is there, and whether it is the one from before.
func (t *tail) find(now time.Time) (found bool, err error) {
	var st unix.Stat_t
	err = unix.Lstat(t.Path, &st)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%s: %w", t.Path, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return false, nil // a link could lead anywhere, a pipe could block
	case t.File == 0:
		t.File = st.Ino
	case st.Ino != t.File, st.Size < t.Offset: // another file, or emptied
		t.Offset, t.File = 0, st.Ino
	}
	if st.Size != t.size {
		t.size, t.grown, t.idle = st.Size, now, false
	}
	return true, nil
}

// read reads a window of a file; it is good until the next read.
func (s *Service) read(f feed) ([]byte, error) {
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it has just been removed
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	n, err := file.ReadAt(s.buffer, f.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return s.buffer[:n], nil
}

// commit puts lines and offsets into the tables, all at once.
func (s *Service) commit(ctx context.Context, now time.Time, gains []*gain) error {
	if len(gains) == 0 {
		return nil
	}
	err := s.update(ctx, func(tx *state.Tx) error {
		for _, g := range gains {
			if err := s.take(tx, now, g); err != nil {
				return fmt.Errorf("%s into %s: %w", g.tail.Path, g.tail.stream, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, g := range gains {
		g.tail.feed, g.tail.cutter, g.tail.stamp = g.feed, g.cutter, max(g.tail.stamp, now.UnixMilli())
		g.tail.idle = !g.more
	}
	return nil
}

// take makes events of a file's lines. Somebody may have deleted the stream:
// lines make it anew, and its end alone does not.
func (s *Service) take(tx *state.Tx, now time.Time, g *gain) error {
	t := g.tail
	key := state.Key(t.group, t.stream)
	if g.last {
		if err := s.follows.Delete(tx, key); err != nil {
			return err
		}
		if _, err := s.streams.Get(tx, key); errors.Is(err, state.ErrNotFound) && len(g.lines) == 0 {
			return nil
		}
	} else if err := s.follows.Put(tx, key, &g.feed); err != nil {
		return err
	}
	group, st, err := s.ensure(tx, now, t.group, t.stream)
	if err != nil {
		return err
	}
	if g.last {
		st.Fed = &g.feed
	}
	// A clock that was set back must not turn lines round.
	stamp := max(now.UnixMilli(), t.stamp)
	events := make([]event, len(g.lines))
	for i, line := range g.lines {
		events[i] = event{position: position{T: stamp}, Text: line}
	}
	return s.add(tx, now, group, t.stream, st, events)
}
