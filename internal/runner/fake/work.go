package fake

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"github.com/musher/musher/internal/runner"
)

// signals that fake work can die of, with their exit codes.
var exitCodes = map[string]int{"SIGKILL": 137, "SIGTERM": 143, "SIGSEGV": 139, "SIGABRT": 134, "SIGBUS": 135}

// Work is one piece of work that runs, as its Behaviour.Run sees it. Writing to
// it prints to its log.
type Work struct {
	Spec runner.Spec

	does Behaviour
	term chan struct{} // closed by SIGTERM
	kill chan struct{} // closed by SIGKILL

	mu       sync.Mutex
	status   runner.Status
	log      bytes.Buffer
	grown    chan struct{} // closed at the next change of log or status
	killer   *time.Timer
	deadline time.Time // of a stop; zero: none
	byGrace  bool      // SIGKILL came because the grace was over
}

func newWork(spec runner.Spec, does Behaviour) *Work {
	return &Work{
		Spec: spec, does: does, term: make(chan struct{}), kill: make(chan struct{}), grown: make(chan struct{}),
		status: runner.Status{ID: spec.ID, Labels: spec.Labels, Phase: runner.Starting},
	}
}

// Write prints to the log.
func (w *Work) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake()
	return w.log.Write(b)
}

// wake tells readers of a change. The caller holds w.mu.
func (w *Work) wake() {
	close(w.grown)
	w.grown = make(chan struct{})
}

func (w *Work) current() runner.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// set changes the status.
func (w *Work) set(change func(*runner.Status)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.status)
	w.wake()
}

// signal says that the work ends by a signal.
func (w *Work) signal(name string) {
	w.set(func(s *runner.Status) { s.Signal = name })
}

// live is the whole life of the work. changed is called after each change of
// phase.
func (w *Work) live(pid int, changed func()) {
	if stopped := w.wait(w.does.StartDelay, w.term); stopped || w.does.FailStart != "" {
		w.neverStart(stopped)
		changed()
		return
	}
	w.set(func(s *runner.Status) { s.Phase, s.PID, s.StartedAt = runner.Running, pid, time.Now() })
	changed()
	code := w.run()
	w.end(code)
	changed()
}

func (w *Work) neverStart(stopped bool) {
	w.set(func(s *runner.Status) {
		s.Phase, s.ExitedAt, s.ExitCode, s.Reason = runner.Exited, time.Now(), 126, w.does.FailStart
		if stopped {
			s.ExitCode, s.Reason = 143, "stopped before it started"
		}
	})
}

// run does what the work does and gives its exit code.
func (w *Work) run() int {
	if w.does.Run != nil {
		ctx, cancel := w.context()
		defer cancel()
		return w.does.Run(ctx, w)
	}
	if w.printAndWait() {
		return w.does.ExitCode
	}
	if w.wait(w.does.TermDelay, nil) {
		return 0 // killed
	}
	w.signal("SIGTERM")
	return 0
}

// printAndWait prints the log over the time that the work runs. It reports
// false if SIGTERM or SIGKILL came first.
func (w *Work) printAndWait() bool {
	term := w.term
	if w.does.IgnoreTerm {
		term = nil
	}
	rest := w.does.RunFor
	for i, line := range w.does.Log {
		_, _ = io.WriteString(w, line+"\n")
		if pause := rest / time.Duration(len(w.does.Log)-i); rest > 0 {
			if w.wait(pause, term) {
				return false
			}
			rest -= pause
		}
	}
	return !w.wait(rest, term)
}

// wait waits for d, for ever if it is negative, and reports true if the work
// was to end before.
func (w *Work) wait(d time.Duration, term <-chan struct{}) bool {
	if d == 0 {
		return false // and not one or the other by chance
	}
	var over <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return false
	case <-term:
		return true
	case <-w.kill:
		return true
	}
}

// context is done when the work is to end.
func (w *Work) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	term := w.term
	if w.does.IgnoreTerm {
		term = nil
	}
	go func() {
		select {
		case <-term:
		case <-w.kill:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

// end records how the work ended.
func (w *Work) end(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.status
	s.Phase, s.ExitedAt, s.ExitCode = runner.Exited, time.Now(), code
	s.Reason, s.PeakMemory = w.does.Reason, w.does.PeakMemory
	if s.Signal == "" {
		s.Signal = w.does.Signal
	}
	if w.killed() {
		s.Signal = "SIGKILL"
	}
	if s.Signal != "" {
		s.ExitCode = exitCodes[s.Signal]
	}
	if w.byGrace {
		s.Reason = "did not end in time after SIGTERM: killed"
	}
	if w.does.Lose {
		s.Phase, s.ExitCode, s.Signal, s.Reason = runner.Lost, 0, "", "lost on command"
	}
	if w.killer != nil {
		w.killer.Stop()
	}
	w.wake()
}

func (w *Work) killed() bool {
	select {
	case <-w.kill:
		return true
	default:
		return false
	}
}

// stop sends SIGTERM, once, and SIGKILL after grace. A later call can only
// make that sooner.
func (w *Work) stop(grace time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status.Ended() {
		return
	}
	deadline := time.Now().Add(max(0, grace))
	switch {
	case w.deadline.IsZero():
		w.status.StopAsked = true
		close(w.term)
	case !deadline.Before(w.deadline):
		return
	default:
		w.killer.Stop()
	}
	w.deadline = deadline
	w.killer = time.AfterFunc(time.Until(deadline), func() { w.die(true) })
}

// die sends SIGKILL.
func (w *Work) die(byGrace bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status.Ended() || w.killed() {
		return
	}
	w.byGrace = byGrace
	close(w.kill)
}
