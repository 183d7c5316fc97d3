package logs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// The service's limits.
const (
	maxBatch = 1 << 20       // bytes of a PutLogEvents, and of a page; events count perEvent more
	maxPage  = 10000         // events
	tooNew   = 2 * time.Hour // how far ahead an event may be
	tooOld   = 14 * 24 * time.Hour
	maxSpan  = 24 * time.Hour // from the first to the last event of a batch
)

func (s *Service) handleEvents() {
	awsapi.Handle(s.api, "PutLogEvents", s.putLogEvents, awsapi.Access(func(r *awsapi.Request, in *PutLogEventsInput) []awsapi.Permission {
		return needs(r, in.LogGroupName, in.LogStreamName)
	}))
	awsapi.Handle(s.api, "GetLogEvents", s.getLogEvents, awsapi.Access(func(r *awsapi.Request, in *GetLogEventsInput) []awsapi.Permission {
		return needsChosen(r, in.LogGroupName, in.LogGroupIdentifier, in.LogStreamName)
	}))
	awsapi.Handle(s.api, "FilterLogEvents", s.filterLogEvents, awsapi.Access(func(r *awsapi.Request, in *FilterLogEventsInput) []awsapi.Permission {
		return needsChosen(r, in.LogGroupName, in.LogGroupIdentifier, "")
	}))
}

// putLogEvents takes any sequence token, as the service does by now.
func (s *Service) putLogEvents(ctx context.Context, in *PutLogEventsInput) (*PutLogEventsOutput, error) {
	if err := checkBatch(in.LogEvents); err != nil {
		return nil, err
	}
	out := &PutLogEventsOutput{}
	return out, s.update(ctx, func(tx *state.Tx) error {
		g, st, err := s.stream(tx, in.LogGroupName, in.LogStreamName)
		if err != nil {
			return err
		}
		now := time.Now()
		taken, rejected := sift(in.LogEvents, now, g.oldest(now))
		if n := len(taken); n > 0 && taken[n-1].Timestamp-taken[0].Timestamp > maxSpan.Milliseconds() {
			return invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
		}
		events := make([]event, len(taken))
		for i, e := range taken {
			events[i] = event{position: position{T: e.Timestamp}, Text: e.Message}
		}
		out.RejectedLogEventsInfo = rejected
		if err := s.add(tx, now, g, in.LogStreamName, st, events); err != nil {
			return err
		}
		out.NextSequenceToken = new(sequence(st.Next))
		return nil
	})
}

func sequence(n int64) string { return fmt.Sprintf("%056d", n) }

func checkBatch(batch []*InputLogEvent) error {
	size := 0
	for i, e := range batch {
		one := len(e.Message) + perEvent
		switch {
		case one > maxBatch:
			return invalid("Log event too large: %d bytes exceeds limit of %d", one, maxBatch)
		case i > 0 && e.Timestamp < batch[i-1].Timestamp:
			return invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		size += one
	}
	if size > maxBatch {
		return invalid("Upload too large: %d bytes exceeds limit of %d", size, maxBatch)
	}
	return nil
}

// sift leaves out the events that are too old, expired or too new. As they are
// in order, what is taken is one piece.
func sift(batch []*InputLogEvent, now time.Time, oldest int64) (taken []*InputLogEvent, rejected *RejectedLogEventsInfo) {
	until := func(t int64) int {
		return slices.IndexFunc(append(slices.Clone(batch), &InputLogEvent{Timestamp: math.MaxInt64}),
			func(e *InputLogEvent) bool { return e.Timestamp >= t })
	}
	old, expired := until(now.Add(-tooOld).UnixMilli()), until(oldest)
	first, last := max(old, expired), until(now.Add(tooNew).UnixMilli()+1)
	if first == 0 && last == len(batch) {
		return batch, nil
	}
	rejected = &RejectedLogEventsInfo{}
	if old > 0 {
		rejected.TooOldLogEventEndIndex = new(int64(old))
	}
	if expired > old {
		rejected.ExpiredLogEventEndIndex = new(int64(expired))
	}
	if last < len(batch) {
		rejected.TooNewLogEventStartIndex = new(int64(last))
	}
	return batch[min(first, last):last], rejected
}

// gap is a token of GetLogEvents: a place, and the direction to read in.
type gap struct {
	position
	backward bool
}

func (g gap) String() string {
	direction := "f"
	if g.backward {
		direction = "b"
	}
	return fmt.Sprintf("%s/%020d%036d/s", direction, g.T, g.N)
}

func parseGap(token string) (g gap, err error) {
	g.backward = strings.HasPrefix(token, "b/")
	if _, err := fmt.Sscanf(strings.TrimLeft(token, "fb"), "/%020d%036d/s", &g.T, &g.N); err != nil || g.String() != token {
		return g, invalid("The specified nextToken is invalid.")
	}
	return g, nil
}

func (s *Service) getLogEvents(ctx context.Context, in *GetLogEventsInput) (*GetLogEventsOutput, error) {
	groupName, err := chosen(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	out := &GetLogEventsOutput{Events: []*OutputLogEvent{}}
	return out, s.view(ctx, func(tx *state.Tx) error {
		g, st, err := s.stream(tx, groupName, in.LogStreamName)
		if err != nil {
			return err
		}
		from, to := later(position{T: or(in.StartTime, 0)}, g.expiry(time.Now())), theEnd()
		if in.EndTime != nil {
			to = position{T: *in.EndTime}
		}
		at, err := whence(in, st, from, to)
		if err != nil {
			return err
		}
		events, err := s.page(tx, st.ID, at, from, to, int(or(in.Limit, maxPage)))
		if err != nil {
			return err
		}
		ahead, back := at.position, at.position
		if len(events) > 0 {
			back, ahead = events[0].position, events[len(events)-1].after()
		}
		out.NextForwardToken, out.NextBackwardToken = new(gap{ahead, false}.String()), new(gap{back, true}.String())
		for _, e := range events {
			out.Events = append(out.Events, &OutputLogEvent{Timestamp: &e.T, Message: &e.Text, IngestionTime: &e.Seen})
		}
		return nil
	})
}

// whence is the gap that a request reads from: the token's, else the start or
// the end of its range. A range without an end has it behind the last event,
// so that the forward token goes on with what comes next.
func whence(in *GetLogEventsInput, st *stream, from, to position) (gap, error) {
	switch {
	case in.NextToken != nil:
		return parseGap(*in.NextToken)
	case or(in.StartFromHead, false):
		return gap{from, false}, nil
	case in.EndTime != nil:
		return gap{to, true}, nil
	}
	return gap{later(from, position{st.Last, st.Next}), true}, nil
}

// page reads the events from a gap on that lie in a range: as many as a page
// holds, in the order of time whatever the direction.
func (s *Service) page(tx *state.Tx, stream string, at gap, from, to position, limit int) (events []event, err error) {
	c := &cursor{chunks: s.chunks, tx: tx, stream: stream, backward: at.backward, at: later(at.position, from)}
	if at.backward {
		c.at = earlier(at.position, to)
	}
	var size int64
	for len(events) < limit {
		e, ok, err := c.next()
		if err != nil {
			return nil, err
		}
		if !ok || e.compare(from) < 0 || e.compare(to) >= 0 {
			break
		}
		if size += e.size(); size > maxBatch && len(events) > 0 {
			break
		}
		events = append(events, e)
	}
	if at.backward {
		slices.Reverse(events)
	}
	return events, nil
}
