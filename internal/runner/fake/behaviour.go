package fake

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/runner"
)

// Behaviour is what work does. The zero value exits at once with code 0.
type Behaviour struct {
	StartDelay time.Duration // in Starting
	FailStart  string        // the reason for which it can't be started

	RunFor     time.Duration // negative: until it is stopped
	ExitCode   int
	Signal     string // that ends it, instead of ExitCode
	Lose       bool   // it is Lost at the end: nobody knows how it ended
	Reason     string // given at the end
	PeakMemory int64

	IgnoreTerm bool          // SIGTERM does nothing, only SIGKILL ends it
	TermDelay  time.Duration // from SIGTERM to the end, with ExitCode 143
	Log        []string      // lines, spread evenly over RunFor

	// Run does the work's real effect, such as writing a model into Dir, while
	// it runs. Its exit code is the work's. ctx is cancelled by SIGTERM, or
	// only by SIGKILL if IgnoreTerm; it is waited for.
	Run func(ctx context.Context, w *Work) int
}

// Forever is the RunFor of work that runs until it is stopped.
const Forever time.Duration = -1

// FromEnv reads the behaviour from variables, those that are not there left at
// their zero value, but run_for at Forever:
//
//	start_delay=1s  fail_start=REASON
//	run_for=5s      exit_code=3   signal=SIGKILL   lose=true   reason=TEXT
//	ignore_term=true              term_delay=1s    log=LINE|LINE|LINE
func FromEnv(env map[string]string) (Behaviour, error) {
	p := parser{env: env}
	b := Behaviour{
		StartDelay: p.duration("start_delay", 0), FailStart: env["fail_start"],
		RunFor: p.duration("run_for", Forever), ExitCode: p.number("exit_code"), Signal: env["signal"],
		Lose: p.flag("lose"), Reason: env["reason"],
		IgnoreTerm: p.flag("ignore_term"), TermDelay: p.duration("term_delay", 0),
	}
	if log := env["log"]; log != "" {
		b.Log = strings.Split(log, "|")
	}
	return b, p.err
}

// parser keeps the first mistake.
type parser struct {
	env map[string]string
	err error
}

func (p *parser) duration(name string, otherwise time.Duration) time.Duration {
	text, given := p.env[name]
	if !given {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	p.note(name, err)
	return d
}

func (p *parser) number(name string) int {
	text, given := p.env[name]
	if !given {
		return 0
	}
	n, err := strconv.Atoi(text)
	p.note(name, err)
	return n
}

func (p *parser) flag(name string) bool {
	text, given := p.env[name]
	if !given {
		return false
	}
	set, err := strconv.ParseBool(text)
	p.note(name, err)
	return set
}

func (p *parser) note(name string, err error) {
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("%s: %w", name, err)
	}
}

// behaviour finds out what spec does.
func (o Options) behaviour(spec runner.Spec) (Behaviour, error) {
	if o.Behave != nil {
		return o.Behave(spec), nil
	}
	if spec.Command[0] == Program {
		return steps(spec.Command[1:]), nil
	}
	return FromEnv(spec.Env)
}
