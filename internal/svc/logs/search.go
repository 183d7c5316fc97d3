package logs

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/logs/filter"
)

// maxLook is how many bytes of events a search looks at before it gives a page,
// however few were found: a snapshot must not be kept for long.
const maxLook = 8 << 20

// place is where an event is among those of a whole group.
type place struct {
	T, Seen int64
	Stream  string
	N       int64
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.T, q.T), cmp.Compare(p.Seen, q.Seen), strings.Compare(p.Stream, q.Stream), cmp.Compare(p.N, q.N))
}

// look is a token of FilterLogEvents: the event that was looked at last, and
// the direction, which the token decides alone.
type look struct {
	place
	Backward bool `json:",omitempty"`
}

// id is the event's name in the whole account.
func (p place) id(group string) string {
	h := fnv.New64a()
	h.Write([]byte(state.Key(group, p.Stream)))
	return fmt.Sprintf("%020d%020d%016d", p.T, h.Sum64(), p.N)
}

func (s *Service) filterLogEvents(ctx context.Context, in *FilterLogEventsInput) (*FilterLogEventsOutput, error) {
	groupName, err := chosen(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != nil {
		return nil, invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
	}
	wants, err := filter.Parse(or(in.FilterPattern, ""))
	if err != nil {
		return nil, invalid("Invalid filterPattern: %v.", err)
	}
	last, err := openToken[look](in.NextToken)
	if err != nil {
		return nil, err
	}
	if in.NextToken == nil {
		last.Backward = !or(in.StartFromHead, true)
	}
	out := &FilterLogEventsOutput{Events: []*FilteredLogEvent{}, SearchedLogStreams: []*SearchedLogStream{}}
	return out, s.view(ctx, func(tx *state.Tx) error {
		g, err := s.group(tx, groupName)
		if err != nil {
			return err
		}
		m := &merge{backward: last.Backward, from: later(position{T: or(in.StartTime, 0)}, g.expiry(time.Now())), to: theEnd()}
		if in.EndTime != nil && *in.EndTime < math.MaxInt64 {
			m.to = position{T: *in.EndTime + 1} // unlike GetLogEvents, the end is within
		}
		streams, err := s.searched(tx, groupName, in)
		if err != nil {
			return err
		}
		if in.NextToken != nil {
			m.resume(last.place)
		}
		for name, st := range streams {
			m.open(tx, s.chunks, name, st)
		}
		return s.search(m, groupName, wants, int(or(in.Limit, maxPage)), out)
	})
}

// searched are the streams that a request asks about.
func (s *Service) searched(tx *state.Tx, groupName string, in *FilterLogEventsInput) (map[string]*stream, error) {
	if len(in.LogStreamNames) == 0 {
		return s.all(tx, groupName, or(in.LogStreamNamePrefix, ""))
	}
	found := map[string]*stream{}
	for _, name := range in.LogStreamNames {
		_, st, err := s.stream(tx, groupName, name)
		if err != nil {
			return nil, err
		}
		found[name] = st
	}
	return found, nil
}

// search fills a page with the events that are wanted.
func (s *Service) search(m *merge, groupName string, wants *filter.Filter, limit int, out *FilterLogEventsOutput) error {
	var at place
	var found, seen int64
	for {
		e, stream, ok, err := m.next()
		if err != nil || !ok {
			return err // all was looked at: no token
		}
		p := place{e.T, e.Seen, stream, e.N}
		wanted := wants.Match(e.Text)
		full := len(out.Events) == limit || len(out.Events) > 0 && wanted && found+e.size() > maxBatch
		if full || seen > maxLook {
			out.NextToken = new(sealToken(look{at, m.backward}))
			return nil
		}
		at, seen = p, seen+e.size()
		if wanted {
			found += e.size()
			out.Events = append(out.Events, &FilteredLogEvent{
				LogStreamName: &p.Stream, Timestamp: &e.T, Message: &e.Text, IngestionTime: &e.Seen, EventId: new(p.id(groupName)),
			})
		}
	}
}

// merge reads several streams as one, in the order of time. Those whose turn
// does not come are not read at all.
type merge struct {
	backward bool
	from, to position // the range of all
	last     *place   // of an earlier page: only what follows it is read
	heads    []head
}

// head is a stream's next event; before the stream is read, a bound for it.
type head struct {
	place
	cursor *cursor
	event  *event // nil: not read yet
}

// resume makes the merge go on behind an event of an earlier page.
func (m *merge) resume(last place) {
	m.last = &last
	if m.backward {
		if bound := (position{last.T + 1, 0}); bound.compare(m.to) < 0 {
			m.to = bound
		}
		return
	}
	m.from = later(m.from, position{T: last.T})
}

// open adds a stream, if any of its events can be in the range.
func (m *merge) open(tx *state.Tx, c chunks, name string, st *stream) {
	if st.Last < m.from.T || st.First >= m.to.T || st.Next == 0 {
		return
	}
	h := head{cursor: &cursor{chunks: c, tx: tx, stream: st.ID, at: m.from}, place: place{T: max(st.First, m.from.T), Stream: name}}
	if m.backward {
		h.cursor.backward, h.cursor.at = true, m.to
		h.place = place{T: min(st.Last, m.to.T), Seen: math.MaxInt64, Stream: name, N: math.MaxInt64}
	}
	heap.Push(m, h)
}

// next returns the next event of all streams, and the stream's name.
func (m *merge) next() (e event, stream string, ok bool, err error) {
	for len(m.heads) > 0 {
		h := &m.heads[0]
		current := h.event
		e, ok, err := h.cursor.next()
		if err != nil {
			return e, "", false, err
		}
		stream := h.Stream
		if !ok || e.compare(m.from) < 0 || e.compare(m.to) >= 0 {
			heap.Pop(m)
		} else {
			h.event, h.place = &e, place{e.T, e.Seen, stream, e.N}
			heap.Fix(m, 0)
		}
		if current != nil && m.follows(place{current.T, current.Seen, stream, current.N}) {
			return *current, stream, true, nil
		}
	}
	return e, "", false, nil
}

// follows tells whether an event was not part of an earlier page.
func (m *merge) follows(p place) bool { return m.last == nil || m.order(*m.last, p) < 0 }

// order compares places in the direction of the merge.
func (m *merge) order(p, q place) int {
	if m.backward {
		return q.compare(p)
	}
	return p.compare(q)
}

// The methods of heap.Interface.
func (m *merge) Len() int           { return len(m.heads) }
func (m *merge) Less(i, j int) bool { return m.order(m.heads[i].place, m.heads[j].place) < 0 }
func (m *merge) Swap(i, j int)      { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merge) Push(h any)         { m.heads = append(m.heads, h.(head)) }
func (m *merge) Pop() any {
	last := len(m.heads) - 1
	h := m.heads[last]
	m.heads = m.heads[:last]
	return h
}

var _ heap.Interface = (*merge)(nil)
