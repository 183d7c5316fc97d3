package logs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/musher/musher/internal/state"
)

// chunkBytes is when a chunk is full: small enough to be written again for
// each line that comes, large enough that rows are few.
const chunkBytes = 32 << 10

// perEvent is what an event counts for beside the bytes of its text.
const perEvent = 26

// position is a place among the events of a stream. As a gap it lies before
// the event that has it.
type position struct {
	T int64 // milliseconds since 1970
	N int64 // number within the stream
}

// theEnd lies behind all events.
func theEnd() position { return position{math.MaxInt64, math.MaxInt64} }

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.T, q.T), cmp.Compare(p.N, q.N))
}

// later returns the later of two places.
func later(p, q position) position {
	if p.compare(q) < 0 {
		return q
	}
	return p
}

// earlier returns the earlier of two places.
func earlier(p, q position) position {
	if p.compare(q) < 0 {
		return p
	}
	return q
}

// event is one line of a log.
type event struct {
	position
	Seen int64 // when it came, milliseconds since 1970
	Text string
}

func (e event) size() int64 { return int64(len(e.Text)) + perEvent }

// after is the gap behind an event.
func (e event) after() position { return position{e.T, e.N + 1} }

// chunk is a row of events, column by column. Times and numbers are
// differences to those of the event before; so most of them have one digit.
type chunk struct {
	T, Seen, N []int64
	Text       []string
}

func pack(events []event) *chunk {
	c := &chunk{}
	var last event
	for _, e := range events {
		c.T = append(c.T, e.T-last.T)
		c.N = append(c.N, e.N-last.N)
		c.Seen = append(c.Seen, e.Seen-e.T)
		c.Text = append(c.Text, e.Text)
		last = e
	}
	return c
}

func (c *chunk) unpack() []event {
	events := make([]event, len(c.Text))
	var last event
	for i := range events {
		t := last.T + c.T[i]
		last = event{position{t, last.N + c.N[i]}, t + c.Seen[i], c.Text[i]}
		events[i] = last
	}
	return events
}

// chunks are those of all streams.
type chunks struct{ rows state.Table[chunk] }

func chunkKey(stream string, p position) string {
	return state.Key(stream, fmt.Sprintf("%016x%016x", p.T, p.N))
}

// add merges events, in their order, into a stream.
func (c chunks) add(tx *state.Tx, stream string, events []event) error {
	if len(events) == 0 {
		return nil
	}
	keys, old, err := c.around(tx, stream, events[0].position, events[len(events)-1].position)
	if err != nil {
		return err
	}
	events = append(old, events...)
	slices.SortFunc(events, func(a, b event) int { return a.compare(b.position) })
	for len(events) > 0 {
		n := full(events)
		key := chunkKey(stream, events[0].position)
		if err := c.rows.Put(tx, key, pack(events[:n])); err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(k string) bool { return k == key })
		events = events[n:]
	}
	for _, key := range keys {
		if err := c.rows.Delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// around gathers the chunks among which events belong: those that overlap
// them, and the one before if it is not full.
func (c chunks) around(tx *state.Tx, stream string, from, to position) (keys []string, old []event, err error) {
	first, err := c.holder(tx, stream, from)
	if err != nil {
		return nil, nil, err
	}
	within := state.Range{Prefix: state.Key(stream, ""), From: first, Before: chunkKey(stream, to)}
	err = c.rows.Scan(tx, within, func(key string, row *chunk) (bool, error) {
		events := row.unpack()
		if events[len(events)-1].compare(from) < 0 && bytesOf(events) >= chunkBytes {
			return true, nil
		}
		keys, old = append(keys, key), append(old, events...)
		return true, nil
	})
	return keys, old, err
}

// holder finds the key of the chunk that would hold the place: the last one
// that begins there or before. Empty: there is none.
func (c chunks) holder(tx *state.Tx, stream string, p position) (key string, err error) {
	before := state.Range{Prefix: state.Key(stream, ""), Before: chunkKey(stream, p) + "\x00", Reverse: true}
	err = c.rows.Scan(tx, before, func(k string, _ *chunk) (bool, error) {
		key = k
		return false, nil
	})
	return key, err
}

// full counts the events that fill a chunk, all of them where there are too few.
func full(events []event) int {
	var size int64
	for i, e := range events {
		if size += e.size(); size >= chunkBytes {
			return i + 1
		}
	}
	return len(events)
}

func bytesOf(events []event) (size int64) {
	for _, e := range events {
		size += e.size()
	}
	return size
}

// remove deletes a stream's chunks from the first on, as long as they are
// wanted gone, but a few at most: transactions are short. It returns the bytes
// of the events that went, and whether to go on.
func (c chunks) remove(tx *state.Tx, stream string, gone func([]event) bool) (size int64, more bool, err error) {
	const few = 64
	var keys []string
	err = c.rows.Scan(tx, state.Range{Prefix: state.Key(stream, "")}, func(key string, row *chunk) (bool, error) {
		events := row.unpack()
		if !gone(events) {
			return false, nil
		}
		keys, size = append(keys, key), size+bytesOf(events)
		return len(keys) < few, nil
	})
	for _, key := range keys {
		if err == nil {
			err = c.rows.Delete(tx, key)
		}
	}
	return size, len(keys) == few, err
}

// cursor reads the events of a stream, chunk by chunk: forwards from the gap
// at, or backwards from it.
type cursor struct {
	chunks
	tx       *state.Tx
	stream   string
	at       position
	backward bool

	key  string  // of the chunk at hand, empty before the first
	rest []event // of it, as they are to be read
}

// next returns the next event; ok is false behind the last one.
func (c *cursor) next() (e event, ok bool, err error) {
	for len(c.rest) == 0 {
		if ok, err := c.load(); err != nil || !ok {
			return e, false, err
		}
	}
	e, c.rest = c.rest[0], c.rest[1:]
	return e, true, nil
}

// load gets the next chunk.
func (c *cursor) load() (ok bool, err error) {
	within, err := c.ahead()
	if err != nil {
		return false, err
	}
	err = c.rows.Scan(c.tx, within, func(key string, row *chunk) (bool, error) {
		ok, c.key = true, strings.Clone(key)
		c.rest = slices.DeleteFunc(row.unpack(), func(e event) bool { return (e.compare(c.at) < 0) != c.backward })
		return false, nil
	})
	if c.backward {
		slices.Reverse(c.rest)
	}
	return ok, err
}

// ahead is the range of the chunks that were not read yet.
func (c *cursor) ahead() (within state.Range, err error) {
	within = state.Range{Prefix: state.Key(c.stream, ""), Reverse: c.backward}
	switch {
	case c.backward && c.key == "":
		within.Before = chunkKey(c.stream, c.at)
	case c.backward:
		within.Before = c.key
	case c.key == "":
		within.From, err = c.holder(c.tx, c.stream, c.at)
	default:
		within.After = c.key
	}
	return within, err
}
