package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// How often lines tell of a step that runs.
const (
	firstLine = 2 * time.Second
	nextLine  = 5 * time.Second
)

// lines is the rendering for logs: few lines, none of them overwritten.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func newLines(w io.Writer) *lines { return &lines{w: w} }

func (l *lines) begin(*Step) {}
func (l *lines) close()      {}

func (l *lines) changed(s *Step) {
	if !s.due(firstLine, nextLine) {
		return
	}
	if st := s.state(); st.words() != "" {
		l.print("%s: %s\n", st.Name, st.words())
	}
}

func (l *lines) end(s *Step) {
	st := s.state()
	switch {
	case st.phase == failed:
		l.print("%s: failed after %s: %s\n", st.Name, Seconds(st.elapsed), st.Detail)
	case st.Detail == "":
		l.print("%s: done (%s)\n", st.Name, Seconds(st.elapsed))
	default:
		l.print("%s: %s (%s)\n", st.Name, st.Detail, Seconds(st.elapsed))
	}
}

func (l *lines) note(text string) { l.print("%s\n", text) }

// print writes at once, so that lines of several steps do not mix. Progress
// that cannot be written is no reason to stop the work.
func (l *lines) print(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format, args...)
}

// objectRate is how often objects tell of a step that runs.
const objectRate = 250 * time.Millisecond

// object is a line of the JSON rendering.
type object struct {
	Time    time.Time `json:"time"`
	Step    string    `json:"step,omitempty"`
	Phase   phase     `json:"phase,omitempty"`
	Done    int64     `json:"done,omitempty"`
	Total   int64     `json:"total,omitempty"`
	Unit    string    `json:"unit,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Seconds float64   `json:"seconds,omitempty"`
	Note    string    `json:"note,omitempty"`
}

// objects is the rendering for programs.
type objects struct {
	mu  sync.Mutex
	out *json.Encoder
}

func newObjects(w io.Writer) *objects { return &objects{out: json.NewEncoder(w)} }

func (o *objects) begin(s *Step) { o.step(s) }
func (o *objects) end(s *Step)   { o.step(s) }
func (o *objects) close()        {}

func (o *objects) changed(s *Step) {
	if s.due(objectRate, objectRate) {
		o.step(s)
	}
}

func (o *objects) step(s *Step) {
	st := s.state()
	o.write(object{
		Step: st.Name, Phase: st.phase, Done: st.Done, Total: st.Total, Unit: st.Unit,
		Detail: st.Detail, Seconds: st.elapsed.Round(time.Millisecond).Seconds(),
	})
}

func (o *objects) note(text string) { o.write(object{Note: text}) }

func (o *objects) write(line object) {
	line.Time = time.Now().UTC()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.Encode(line) //nolint:errcheck // progress that cannot be written stops nothing
}
