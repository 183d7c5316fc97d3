package fake

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/runner/runnertest"
)

// Program is the command whose arguments are steps as package runnertest
// describes them, less spawn.
const Program = "fake-program"

// steps gives the behaviour of a program of steps.
func steps(all []string) Behaviour {
	// The program sees SIGTERM itself, so that "trap" can be a step.
	return Behaviour{IgnoreTerm: true, Run: func(_ context.Context, w *Work) int {
		return (&program{w: w, onTerm: 143}).run(all)
	}}
}

// program is a running list of steps.
type program struct {
	w      *Work
	onTerm int // exit code on SIGTERM; negative: ignored
}

func (p *program) run(all []string) int {
	for _, step := range all {
		verb, arg, _ := strings.Cut(step, " ")
		code, ends := p.step(verb, arg)
		if ends {
			return code
		}
	}
	return 0
}

// step carries out one step and tells whether it was the last.
func (p *program) step(verb, arg string) (code int, ends bool) {
	switch verb {
	case "out", "err":
		fmt.Fprintln(p.w, arg)
	case "hex":
		b, err := hex.DecodeString(arg)
		if err != nil {
			return p.complain(err)
		}
		_, _ = p.w.Write(b) // a fake's log takes all
	case "flood":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return p.complain(err)
		}
		_ = runnertest.Flood(p.w, n)
	case "env":
		for _, name := range slices.Sorted(maps.Keys(p.w.Spec.Env)) {
			fmt.Fprintf(p.w, "%s=%s\n", name, p.w.Spec.Env[name])
		}
	case "trap":
		return p.trap(arg)
	case "sleep":
		return p.sleep(arg)
	case "signal":
		p.w.signal(arg)
		return 0, true
	case "exit":
		code, err := strconv.Atoi(arg)
		if err != nil {
			return p.complain(err)
		}
		return code, true
	default:
		return p.complain(fmt.Errorf("unknown step %q", verb))
	}
	return 0, false
}

func (p *program) complain(err error) (int, bool) {
	fmt.Fprintln(p.w, "fake:", err)
	return 99, true
}

func (p *program) trap(arg string) (int, bool) {
	if arg == "ignore" {
		p.onTerm = -1
		return 0, false
	}
	code, err := strconv.Atoi(arg)
	if err != nil {
		return p.complain(err)
	}
	p.onTerm = code
	return 0, false
}

// sleep waits, or ends the program by a signal that comes meanwhile.
func (p *program) sleep(arg string) (int, bool) {
	d, err := time.ParseDuration(arg)
	if err != nil {
		return p.complain(err)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	term := p.w.term
	if p.onTerm < 0 {
		term = nil
	}
	select {
	case <-timer.C:
		return 0, false
	case <-p.w.kill:
		return 0, true // how it ended is known
	case <-term:
		if p.onTerm == 143 {
			p.w.signal("SIGTERM")
		}
		return p.onTerm, true
	}
}
