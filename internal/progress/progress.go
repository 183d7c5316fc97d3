package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Options choose the rendering; the zero value finds it out.
type Options struct {
	JSON   bool                     // one JSON object a line
	Getenv func(name string) string // nil: os.Getenv
}

// Reporter is where steps are told.
type Reporter struct {
	to     renderer
	closed sync.Once
}

// renderer shows steps. It is called by several goroutines.
type renderer interface {
	begin(*Step)
	changed(*Step)
	end(*Step)
	note(text string)
	close()
}

// New returns a reporter that writes to w, in bars if w is a terminal.
func New(w io.Writer, o Options) *Reporter {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	switch {
	case o.JSON:
		return &Reporter{to: newObjects(w)}
	case isTerminal(w) && o.Getenv("TERM") != "dumb":
		return &Reporter{to: newBars(w, Coloured(w, o.Getenv))}
	}
	return &Reporter{to: newLines(w)}
}

// Discard tells nobody.
func Discard() *Reporter { return &Reporter{to: newObjects(io.Discard)} }

// Coloured says whether text for w may carry colours.
func Coloured(w io.Writer, getenv func(string) string) bool {
	return isTerminal(w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Step begins a step.
func (r *Reporter) Step(name string) *Step {
	s := &Step{to: r.to, now: state{Name: name, phase: running}, began: time.Now()}
	r.to.begin(s)
	return s
}

// Note writes a sentence between the steps.
func (r *Reporter) Note(format string, args ...any) { r.to.note(fmt.Sprintf(format, args...)) }

// Close writes what is still to be written; bars of steps that run vanish. What
// is told later may be lost. Closing twice does nothing.
func (r *Reporter) Close() { r.closed.Do(r.to.close) }

// phase is where a step is in its life.
type phase string

const (
	running phase = "running"
	done    phase = "done"
	failed  phase = "failed"
)

// state is a step at one moment.
type state struct {
	Name        string
	Unit        string // what is counted, in the plural: "photos", "bytes"
	Done, Total int64  // Total 0: not known
	Detail      string // beside the count; at the end the summary
	phase       phase
	elapsed     time.Duration
}

// Step is a piece of work under way.
type Step struct {
	to    renderer
	began time.Time

	mu   sync.Mutex
	now  state
	told time.Time // when a renderer with a rate last told of it
}

// Total says how much there is to do, and in what unit. Bytes are shown as MB.
func (s *Step) Total(n int64, unit string) {
	s.change(func(st *state) { st.Total, st.Unit = n, unit })
}

// Set says how much is done.
func (s *Step) Set(n int64) { s.change(func(st *state) { st.Done = n }) }

// Add says that n more are done.
func (s *Step) Add(n int64) { s.change(func(st *state) { st.Done += n }) }

// Detail sets a few words beside the count.
func (s *Step) Detail(format string, args ...any) {
	s.change(func(st *state) { st.Detail = fmt.Sprintf(format, args...) })
}

// Done ends the step well; the summary says what came of it.
func (s *Step) Done(format string, args ...any) { s.finish(done, fmt.Sprintf(format, args...)) }

// Fail ends the step badly.
func (s *Step) Fail(err error) { s.finish(failed, err.Error()) }

// Elapsed is the time from the step's begin to its end, or to now.
func (s *Step) Elapsed() time.Duration { return s.state().elapsed }

func (s *Step) change(f func(*state)) {
	s.mu.Lock()
	if s.now.phase != running {
		s.mu.Unlock()
		return
	}
	f(&s.now)
	s.mu.Unlock()
	s.to.changed(s)
}

func (s *Step) finish(p phase, summary string) {
	s.mu.Lock()
	if s.now.phase != running {
		s.mu.Unlock()
		return
	}
	s.now.phase, s.now.Detail, s.now.elapsed = p, summary, time.Since(s.began)
	s.mu.Unlock()
	s.to.end(s)
}

func (s *Step) state() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.now
	if st.phase == running {
		st.elapsed = time.Since(s.began)
	}
	return st
}

// due says whether a step may be told of again, first after one wait and then
// after each of another, and takes note that it is.
func (s *Step) due(first, then time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, wait := s.told, then
	if since.IsZero() {
		since, wait = s.began, first
	}
	if time.Since(since) < wait {
		return false
	}
	s.told = time.Now()
	return true
}
