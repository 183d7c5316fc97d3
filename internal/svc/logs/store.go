package logs

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// group is the row of a log group. Times here and below are milliseconds
// since 1970, as on the wire.
type group struct {
	Name      string
	Created   int64
	Days      int64 // of retention; 0: events are kept for ever
	Class     string
	Key       string // of KMS; kept and answered, nothing is encrypted with it
	Protected bool   // against deletion
	Tags      map[string]string
	Bytes     int64
}

// oldest is the time before which the group's events have expired.
func (g *group) oldest(now time.Time) int64 {
	if g.Days == 0 {
		return 0
	}
	return now.Add(-time.Duration(g.Days) * 24 * time.Hour).UnixMilli()
}

// stream is the row of a log stream.
type stream struct {
	ID                 string // of its chunks; a name may be used again, an ID is not
	Created            int64
	First, Last, Comes int64 // times of events, and when the last one came; 0: there are none
	Bytes              int64
	Next               int64 // number of the next event
	Fed                *feed // the file that filled it, until it is followed again
}

// feed is how far a file has been taken.
type feed struct {
	Path   string
	Offset int64
	File   uint64 // inode, 0 before the file was seen
}

// store is the tables. Streams and followed files have the key group, stream.
type store struct {
	groups  state.Table[group]
	streams state.Table[stream]
	chunks  chunks
	follows state.Table[feed]
	garbage state.Table[struct{}] // IDs of deleted streams whose chunks are still there
}

func newStore(db *state.DB) store {
	return store{
		groups:  state.NewTable[group](db, "log_groups"),
		streams: state.NewTable[stream](db, "log_streams"),
		chunks:  chunks{state.NewTable[chunk](db, "log_chunks")},
		follows: state.NewTable[feed](db, "log_follows"),
		garbage: state.NewTable[struct{}](db, "log_garbage"),
	}
}

func (s *store) group(tx *state.Tx, name string) (*group, error) {
	g, err := s.groups.Get(tx, name)
	if errors.Is(err, state.ErrNotFound) {
		return nil, awsapi.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
	}
	return g, err
}

// stream finds a stream and its group.
func (s *store) stream(tx *state.Tx, groupName, name string) (*group, *stream, error) {
	g, err := s.group(tx, groupName)
	if err != nil {
		return nil, nil, err
	}
	st, err := s.streams.Get(tx, state.Key(groupName, name))
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil, awsapi.Errorf("ResourceNotFoundException", "The specified log stream does not exist.")
	}
	return g, st, err
}

func newStream(now time.Time) *stream {
	return &stream{ID: rand.Text(), Created: now.UnixMilli()}
}

// ensure finds a stream and its group, and makes what is missing.
func (s *store) ensure(tx *state.Tx, now time.Time, groupName, name string) (*group, *stream, error) {
	g, err := s.groups.Get(tx, groupName)
	if errors.Is(err, state.ErrNotFound) {
		g = &group{Name: groupName, Created: now.UnixMilli(), Class: standard}
		err = s.groups.Insert(tx, groupName, g)
	}
	if err != nil {
		return nil, nil, err
	}
	st, err := s.streams.Get(tx, state.Key(groupName, name))
	if errors.Is(err, state.ErrNotFound) {
		st = newStream(now)
		err = s.streams.Insert(tx, state.Key(groupName, name), st)
	}
	return g, st, err
}

// add puts events, ordered by time, into a stream, and both rows back.
func (s *store) add(tx *state.Tx, now time.Time, g *group, name string, st *stream, events []event) error {
	// Readers of several streams order events by when they came: a clock that
	// was set back must not turn the order of one stream round.
	seen := max(now.UnixMilli(), st.Comes)
	for i := range events {
		e := &events[i]
		e.N, e.Seen = st.Next, seen
		st.Next++
		if st.First == 0 || e.T < st.First {
			st.First = e.T
		}
		st.Last = max(st.Last, e.T)
	}
	if len(events) > 0 {
		size := bytesOf(events)
		st.Comes, st.Bytes, g.Bytes = seen, st.Bytes+size, g.Bytes+size
		if err := s.groups.Put(tx, g.Name, g); err != nil {
			return err
		}
	}
	if err := s.chunks.add(tx, st.ID, events); err != nil {
		return err
	}
	return s.streams.Put(tx, state.Key(g.Name, name), st)
}

// drop deletes a stream; its chunks are nobody's from then on.
func (s *store) drop(tx *state.Tx, key string, st *stream) error {
	if err := s.streams.Delete(tx, key); err != nil {
		return err
	}
	return s.garbage.Put(tx, st.ID, &struct{}{})
}

// all gathers a group's streams whose names have a prefix, by name.
func (s *store) all(tx *state.Tx, groupName, prefix string) (map[string]*stream, error) {
	found := map[string]*stream{}
	within := state.Key(groupName, "")
	err := s.streams.Scan(tx, state.Range{Prefix: within + prefix}, func(key string, st *stream) (bool, error) {
		found[key[len(within):]] = st
		return true, nil
	})
	return found, err
}
