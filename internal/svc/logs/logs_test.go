package logs

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
)

// open makes a service on a database that lies at path.
func open(tb testing.TB, path string) *Service {
	tb.Helper()
	db, err := state.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	s, err := New(context.Background(), Deps{DB: db, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func database(tb testing.TB) string { return filepath.Join(tb.TempDir(), "db") }

// create makes a group g with a stream s.
func create(tb testing.TB, s *Service) {
	tb.Helper()
	_, err := s.createLogGroup(tb.Context(), &CreateLogGroupInput{LogGroupName: "g"})
	if err == nil {
		_, err = s.createLogStream(tb.Context(), &CreateLogStreamInput{LogGroupName: "g", LogStreamName: "s"})
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func put(tb testing.TB, s *Service, stream string, events ...*InputLogEvent) *PutLogEventsOutput {
	tb.Helper()
	out, err := s.putLogEvents(tb.Context(), &PutLogEventsInput{LogGroupName: "g", LogStreamName: stream, LogEvents: events})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func at(t int64, text string) *InputLogEvent { return &InputLogEvent{Timestamp: t, Message: text} }

// get reads a page: its texts, and the two tokens.
func get(tb testing.TB, s *Service, in GetLogEventsInput) (texts []string, forward, backward string) {
	tb.Helper()
	in.LogGroupName = new("g")
	if in.LogStreamName == "" {
		in.LogStreamName = "s"
	}
	out, err := s.getLogEvents(tb.Context(), &in)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range out.Events {
		texts = append(texts, *e.Message)
	}
	return texts, *out.NextForwardToken, *out.NextBackwardToken
}

func wantTexts(tb testing.TB, got []string, want string) {
	tb.Helper()
	if d := cmp.Diff(want, strings.Join(got, " ")); d != "" {
		tb.Error(d)
	}
}

func wantCode(tb testing.TB, err error, code string) {
	tb.Helper()
	if e, ok := err.(*awsapi.Error); !ok || e.Code != code {
		tb.Errorf("the error is %v, want %s", err, code)
	}
}

// Tokens lead through a stream both ways, and stay the same at its ends.
func TestTokens(t *testing.T) {
	s := open(t, database(t))
	create(t, s)
	now := millis()
	none, f0, _ := get(t, s, GetLogEventsInput{StartFromHead: new(true)})
	wantTexts(t, none, "")
	_, tail, _ := get(t, s, GetLogEventsInput{}) // of an empty stream, from its end
	for i := range 5 {
		put(t, s, "s", at(now+int64(i/2), fmt.Sprint("e", i))) // some share their time
	}
	for _, token := range []string{f0, tail} {
		all, _, _ := get(t, s, GetLogEventsInput{NextToken: &token})
		wantTexts(t, all, "e0 e1 e2 e3 e4")
	}

	page, f, b := get(t, s, GetLogEventsInput{StartFromHead: new(true), Limit: new(int64(2))})
	wantTexts(t, page, "e0 e1")
	page, f, _ = get(t, s, GetLogEventsInput{NextToken: &f, Limit: new(int64(2))})
	wantTexts(t, page, "e2 e3")
	page, f, _ = get(t, s, GetLogEventsInput{NextToken: &f, Limit: new(int64(2))})
	wantTexts(t, page, "e4")
	page, end, back := get(t, s, GetLogEventsInput{NextToken: &f})
	wantTexts(t, page, "")
	if end != f {
		t.Errorf("at the end the token %s became %s", f, end)
	}
	put(t, s, "s", at(now+9, "e5"))
	page, _, _ = get(t, s, GetLogEventsInput{NextToken: &end})
	wantTexts(t, page, "e5")

	page, _, back = get(t, s, GetLogEventsInput{NextToken: &back, Limit: new(int64(3))})
	wantTexts(t, page, "e2 e3 e4")
	page, _, back = get(t, s, GetLogEventsInput{NextToken: &back, Limit: new(int64(3))})
	wantTexts(t, page, "e0 e1")
	page, _, start := get(t, s, GetLogEventsInput{NextToken: &back})
	wantTexts(t, page, "")
	if start != back {
		t.Errorf("at the start the token %s became %s", back, start)
	}
	page, _, _ = get(t, s, GetLogEventsInput{NextToken: &b})
	wantTexts(t, page, "")

	page, _, b = get(t, s, GetLogEventsInput{Limit: new(int64(2))}) // the end comes first
	wantTexts(t, page, "e4 e5")
	page, _, _ = get(t, s, GetLogEventsInput{NextToken: &b, Limit: new(int64(2))})
	wantTexts(t, page, "e2 e3")

	for _, bad := range []string{"x", "f/1/s", "f/" + strings.Repeat("9", 56) + "/s", f + "x"} {
		_, err := s.getLogEvents(t.Context(), &GetLogEventsInput{LogGroupName: new("g"), LogStreamName: "s", NextToken: &bad})
		wantCode(t, err, "InvalidParameterException")
	}
}

// A range has its start within, and its end within only for FilterLogEvents.
func TestRanges(t *testing.T) {
	s := open(t, database(t))
	create(t, s)
	now := millis()
	put(t, s, "s", at(now, "a"), at(now+1, "b"), at(now+2, "c"), at(now+3, "d"))
	for _, head := range []bool{true, false} {
		page, f, b := get(t, s, GetLogEventsInput{StartFromHead: &head, StartTime: new(now + 1), EndTime: new(now + 3)})
		wantTexts(t, page, "b c")
		page, _, _ = get(t, s, GetLogEventsInput{NextToken: &f, StartTime: new(now + 1), EndTime: new(now + 3)})
		wantTexts(t, page, "")
		page, _, _ = get(t, s, GetLogEventsInput{NextToken: &b, StartTime: new(now + 1)})
		wantTexts(t, page, "")
	}
	wantTexts(t, search(t, s, FilterLogEventsInput{StartTime: new(now + 1), EndTime: new(now + 3)}), "b c d")
}

// search reads all pages of a search.
func search(tb testing.TB, s *Service, in FilterLogEventsInput) (texts []string) {
	tb.Helper()
	in.LogGroupName = new("g")
	ids := map[string]bool{}
	for {
		out, err := s.filterLogEvents(tb.Context(), &in)
		if err != nil {
			tb.Fatal(err)
		}
		if in.Limit != nil && len(out.Events) > int(*in.Limit) {
			tb.Errorf("a page has %d events, want %d at most", len(out.Events), *in.Limit)
		}
		for _, e := range out.Events {
			texts = append(texts, *e.Message)
			if ids[*e.EventId] || len(*e.EventId) != 56 {
				tb.Errorf("the event id %s is not one of its own", *e.EventId)
			}
			ids[*e.EventId] = true
		}
		if out.NextToken == nil {
			return texts
		}
		in.NextToken = out.NextToken
	}
}

// Whatever the order in which events come, and however many a page holds, a
// stream gives them by time, forwards, backwards and among others.
func TestOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // it shall be repeatable
	s := open(t, database(t))
	create(t, s)
	if _, err := s.createLogStream(t.Context(), &CreateLogStreamInput{LogGroupName: "g", LogStreamName: "s2"}); err != nil {
		t.Fatal(err)
	}
	start := millis() - 3_600_000
	var want, all []string // sorted as text below
	for batch := range 24 {
		stream := []string{"s", "s2"}[rng.IntN(2)]
		var events []*InputLogEvent
		t0 := start + rng.Int64N(2000)
		for i := range 1 + rng.IntN(80) {
			t0 += rng.Int64N(3)
			// The text tells the place: time, when it came, stream, number.
			text := fmt.Sprintf("%d-%03d-%s-%03d-%s", t0, batch, stream, i, strings.Repeat("x", rng.IntN(900)))
			events = append(events, at(t0, text))
			all = append(all, text)
			if stream == "s" {
				want = append(want, text)
			}
		}
		put(t, s, stream, events...)
		time.Sleep(time.Millisecond) // when an event came is part of the order of several streams
	}
	slices.Sort(want)
	slices.Sort(all)
	for _, limit := range []int64{7, 100, maxPage} {
		var got []string
		in := GetLogEventsInput{StartFromHead: new(true), Limit: &limit}
		for {
			page, f, _ := get(t, s, in)
			if len(page) == 0 {
				break
			}
			got, in.NextToken = append(got, page...), &f
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("forwards by %d: %s", limit, d)
		}
		got, in = nil, GetLogEventsInput{Limit: &limit}
		for {
			page, _, b := get(t, s, in)
			if len(page) == 0 {
				break
			}
			got, in.NextToken = append(page, got...), &b
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("backwards by %d: %s", limit, d)
		}
		if d := cmp.Diff(all, search(t, s, FilterLogEventsInput{Limit: &limit})); d != "" {
			t.Fatalf("both streams by %d: %s", limit, d)
		}
		down := search(t, s, FilterLogEventsInput{Limit: &limit, StartFromHead: new(false)})
		slices.Reverse(down)
		if d := cmp.Diff(all, down); d != "" {
			t.Fatalf("both streams backwards by %d: %s", limit, d)
		}
	}
	checkChunks(t, s)
}

// checkChunks looks at the rows: in order, none overlaps, none far too large.
func checkChunks(t *testing.T, s *Service) {
	t.Helper()
	rows := 0
	err := s.view(t.Context(), func(tx *state.Tx) error {
		last := map[string]position{}
		return s.chunks.rows.Scan(tx, state.Range{}, func(key string, row *chunk) (bool, error) {
			rows++
			stream, _, _ := strings.Cut(key, "\x00")
			for i, e := range row.unpack() {
				if i == 0 && key != chunkKey(stream, e.position) {
					t.Errorf("chunk %q begins with %v", key, e.position)
				}
				if p, ok := last[stream]; ok && p.compare(e.position) >= 0 {
					t.Errorf("%v comes after %v", e.position, p)
				}
				last[stream] = e.position
			}
			if events := row.unpack(); full(events) != len(events) {
				t.Errorf("a chunk has %d bytes", bytesOf(events))
			}
			return true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d chunks", rows)
}

// A page holds a megabyte, and one event at least.
func TestPageBytes(t *testing.T) {
	s := open(t, database(t))
	create(t, s)
	now := millis()
	text := strings.Repeat("x", 400<<10)
	for i := range 3 {
		put(t, s, "s", at(now+int64(i), text))
	}
	put(t, s, "s", at(now+3, strings.Repeat("y", maxBatch-perEvent)))
	var sizes []int
	in := GetLogEventsInput{StartFromHead: new(true)}
	for {
		page, f, _ := get(t, s, in)
		if len(page) == 0 {
			break
		}
		sizes, in.NextToken = append(sizes, len(page)), &f
	}
	if d := cmp.Diff([]int{2, 1, 1}, sizes); d != "" {
		t.Error(d)
	}
	if got := search(t, s, FilterLogEventsInput{}); len(got) != 4 {
		t.Errorf("the search found %d events", len(got))
	}
}

// A search that finds little gives pages with little in them, and ends.
func TestLongSearch(t *testing.T) {
	s := open(t, database(t))
	create(t, s)
	now := millis()
	for range 12 {
		put(t, s, "s", at(now, strings.Repeat("hay", 300<<10)))
	}
	put(t, s, "s", at(now, "needle"))
	out, err := s.filterLogEvents(t.Context(), &FilterLogEventsInput{LogGroupName: new("g"), FilterPattern: new("needle")})
	if err != nil || len(out.Events) != 0 || out.NextToken == nil {
		t.Errorf("the first page has %d events: %v", len(out.Events), err)
	}
	wantTexts(t, search(t, s, FilterLogEventsInput{FilterPattern: new("needle")}), "needle")
}

func TestPutLimits(t *testing.T) {
	s := open(t, database(t))
	create(t, s)
	now := time.Now()
	ms := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	for _, batch := range [][]*InputLogEvent{
		{at(ms(0), "b"), at(ms(-time.Second), "a")},
		{at(ms(-25*time.Hour), "a"), at(ms(0), "b")},
		{at(ms(0), strings.Repeat("x", maxBatch))},
		{at(ms(0), strings.Repeat("x", maxBatch/2)), at(ms(0), strings.Repeat("x", maxBatch/2))},
	} {
		_, err := s.putLogEvents(t.Context(), &PutLogEventsInput{LogGroupName: "g", LogStreamName: "s", LogEvents: batch})
		wantCode(t, err, "InvalidParameterException")
	}
	if _, err := s.putRetentionPolicy(t.Context(), &PutRetentionPolicyInput{LogGroupName: "g", RetentionInDays: 7}); err != nil {
		t.Fatal(err)
	}
	day := 24 * time.Hour
	out := put(t, s, "s", at(ms(-20*day), "old"), at(ms(-15*day), "old"), at(ms(-8*day), "expired"), at(ms(-time.Hour), "a"), at(ms(time.Hour), "b"), at(ms(3*time.Hour), "new"))
	if d := cmp.Diff(&RejectedLogEventsInfo{TooOldLogEventEndIndex: new(int64(2)), ExpiredLogEventEndIndex: new(int64(3)), TooNewLogEventStartIndex: new(int64(5))}, out.RejectedLogEventsInfo); d != "" {
		t.Error(d)
	}
	page, _, _ := get(t, s, GetLogEventsInput{})
	wantTexts(t, page, "a b")
	out = put(t, s, "s", at(ms(-20*day), "old"))
	if out.RejectedLogEventsInfo == nil || *out.RejectedLogEventsInfo.TooOldLogEventEndIndex != 1 {
		t.Errorf("rejected: %+v", out.RejectedLogEventsInfo)
	}
	for _, in := range []*PutLogEventsInput{{LogGroupName: "none", LogStreamName: "s"}, {LogGroupName: "g", LogStreamName: "none"}} {
		in.LogEvents = []*InputLogEvent{at(ms(0), "x")}
		_, err := s.putLogEvents(t.Context(), in)
		wantCode(t, err, "ResourceNotFoundException")
	}
}

// What has expired is not shown at once, and its space is given back by a sweep;
// so is that of deleted streams, whose names may be used again meanwhile.
func TestSweep(t *testing.T) {
	s := open(t, database(t))
	create(t, s)
	old := time.Now().Add(-5 * 24 * time.Hour).UnixMilli()
	var expired []*InputLogEvent
	for i := range 100 {
		expired = append(expired, at(old+int64(i), strings.Repeat("x", 10_000)))
	}
	put(t, s, "s", expired...)
	put(t, s, "s", expired...)
	put(t, s, "s", at(millis(), "new"))
	rows := func() (n int) {
		if err := s.view(t.Context(), func(tx *state.Tx) (err error) { n, err = s.chunks.rows.Count(tx); return err }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := rows()
	if _, err := s.putRetentionPolicy(t.Context(), &PutRetentionPolicyInput{LogGroupName: "g", RetentionInDays: 3}); err != nil {
		t.Fatal(err)
	}
	page, _, _ := get(t, s, GetLogEventsInput{StartFromHead: new(true)})
	wantTexts(t, page, "new")
	wantTexts(t, search(t, s, FilterLogEventsInput{}), "new")
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := rows(); after >= before/10 {
		t.Errorf("%d of %d chunks are left", after, before)
	}
	out, err := s.describeLogGroups(t.Context(), &DescribeLogGroupsInput{})
	if err != nil || *out.LogGroups[0].StoredBytes > 100_000 {
		t.Errorf("%d bytes are stored, %v", *out.LogGroups[0].StoredBytes, err)
	}

	if _, err := s.deleteLogGroup(t.Context(), &DeleteLogGroupInput{LogGroupName: "g"}); err != nil {
		t.Fatal(err)
	}
	create(t, s)
	page, _, _ = get(t, s, GetLogEventsInput{})
	wantTexts(t, page, "")
	put(t, s, "s", at(millis(), "again"))
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 1 {
		t.Errorf("%d chunks are left", n)
	}
	page, _, _ = get(t, s, GetLogEventsInput{})
	wantTexts(t, page, "again")
}
