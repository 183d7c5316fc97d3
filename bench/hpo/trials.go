package main

import (
	"math"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/hpo"
)

// result is one run: the regret after each trial, and what the suggestions cost.
type result struct {
	regret []float64
	cpu    time.Duration
}

// sampler suggests one trial for a history and learns of each that ends.
type sampler interface {
	ask(history []hpo.Trial) (map[string]string, error)
	tell(trial int, objective float64) error
}

// runTrials runs a function's trials, parallel of them at a time: whenever the
// oldest ends, the next is asked for, with the others pending.
func runTrials(f function, s sampler, seed, trials, parallel int) ([]float64, error) {
	rng := rand.New(rand.NewPCG(uint64(seed), 77))
	eval := f.prepare(rng)
	var history []hpo.Trial
	var truth, regret []float64
	seen, best := math.Inf(1), math.Inf(1)
	for ended := range trials {
		for len(history) < min(trials, ended+parallel) {
			values, err := s.ask(history)
			if err != nil {
				return nil, err
			}
			history = append(history, hpo.Trial{Values: values})
			truth = append(truth, eval(values))
		}
		t := &history[ended]
		t.State, t.Objective = hpo.Done, truth[ended]+f.noise*rng.NormFloat64()
		if err := s.tell(ended, t.Objective); err != nil {
			return nil, err
		}
		if t.Objective < seen {
			seen, best = t.Objective, truth[ended]
		}
		regret = append(regret, best-f.minimum)
	}
	return regret, nil
}

// own is a sampler of ours. It counts the CPU time of its thread, which the
// load of the machine does not change.
type own struct {
	suggester hpo.Suggester
	cpu       time.Duration
}

func runOwn(f function, strategy string, seed, trials, parallel int) (result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	suggester, err := hpo.New(strategy, f.space, hpo.Minimize, int64(seed))
	if err != nil {
		return result{}, err
	}
	s := &own{suggester: suggester}
	regret, err := runTrials(f, s, seed, trials, parallel)
	return result{regret, s.cpu}, err
}

func (s *own) ask(history []hpo.Trial) (map[string]string, error) {
	start := threadCPU()
	values, err := s.suggester.Suggest(history, 1)
	s.cpu += threadCPU() - start
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

func (s *own) tell(int, float64) error { return nil }

func threadCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // no Linux lacks this clock
	}
	return time.Duration(t.Nano())
}
