package hpo

import (
	"cmp"
	"errors"
	"slices"
)

// Stopper says which running trials need not go on.
//
// Stop returns the indices of Pending trials of the history, in ascending order.
// The history is that of a Suggester, with each trial's Reports. A trial that is
// being stopped may stay Pending for a while; it is then named again.
type Stopper interface {
	Stop(history []Trial) []int
}

// Median stops a trial whose latest report is worse than the median of the
// earlier trials' running averages at the same step: SageMaker's early stopping.
type Median struct{ Goal Goal }

// What Median wants to know before it stops a trial.
const (
	medianSteps = 2 // reports of the trial: the first says little
	medianPeers = 3 // trials that are Done and got at least as far
)

// Stop compares each running trial with those that are Done.
func (m Median) Stop(history []Trial) (stop []int) {
	for i, t := range history {
		step := len(t.Reports)
		if t.State != Pending || step < medianSteps {
			continue
		}
		var averages []float64
		for _, peer := range history {
			if peer.State == Done && len(peer.Reports) >= step {
				averages = append(averages, mean(peer.Reports[:step]))
			}
		}
		if len(averages) >= medianPeers && m.Goal.better(median(averages), t.Reports[step-1]) {
			stop = append(stop, i)
		}
	}
	return stop
}

// MaxResource is the largest resource that a trial may be given.
const MaxResource = 20_000

// reduction is the share of trials that goes on from a rung: one in so many.
const reduction = 3

// Halving is asynchronous successive halving, in one bracket (ASHA) or in
// several (Hyperband). The resource is the number of a trial's Reports.
type Halving struct {
	goal     Goal
	firsts   []int // per bracket: the rung at which its trials are first compared
	shares   []int // per bracket: how many trials in a round of Hyperband
	max      int
	runsLong bool
}

// HalvingOptions say how long trials may run.
type HalvingOptions struct {
	Goal Goal
	// Min is the resource that each trial gets, Max what none exceeds:
	// 1 <= Min <= Max <= MaxResource.
	Min, Max int
	// OneBracket makes it ASHA.
	OneBracket bool
	// RunsLonger: a trial would go on beyond Max by itself, and is stopped
	// there. Others are left to finish what they do at their end.
	RunsLonger bool
}

// NewHalving checks the options.
func NewHalving(o HalvingOptions) (*Halving, error) {
	switch {
	case o.Goal != Minimize && o.Goal != Maximize:
		return nil, errors.New("hpo: the goal is neither Minimize nor Maximize")
	case o.Min < 1 || o.Min > o.Max || o.Max > MaxResource:
		return nil, errors.New("hpo: the resources must be 1 <= MinResource <= MaxResource <= 20000")
	}
	h := &Halving{goal: o.Goal, firsts: []int{o.Min}, shares: []int{1}, max: o.Max, runsLong: o.RunsLonger}
	if o.OneBracket {
		return h, nil
	}
	for first := o.Min * reduction; first <= o.Max; first *= reduction {
		h.firsts = append(h.firsts, first)
	}
	// Hyperband's rounds spend about the same resource on each bracket.
	last := len(h.firsts) - 1
	h.shares = make([]int, len(h.firsts))
	for b, many := last, 1; b >= 0; b, many = b-1, many*reduction {
		left := last - b + 1 // rungs that the bracket has, the end included
		h.shares[b] = (len(h.firsts)*many + left - 1) / left
	}
	return h, nil
}

// Stop compares each running trial at the last rung that it has reached.
func (h *Halving) Stop(history []Trial) (stop []int) {
	brackets := h.brackets(len(history))
	for i, t := range history {
		if t.State != Pending {
			continue
		}
		rung := h.reached(brackets[i], len(t.Reports))
		if rung > 0 && h.falls(history, brackets, i, rung) || h.runsLong && len(t.Reports) >= h.max {
			stop = append(stop, i)
		}
	}
	return stop
}

// brackets assigns the first n trials: each goes where its bracket's share is
// least filled.
func (h *Halving) brackets(n int) []int {
	total := 0
	for _, s := range h.shares {
		total += s
	}
	out, filled := make([]int, n), make([]int, len(h.shares))
	for i := range out {
		best, lack := 0, 0
		for b, share := range h.shares {
			if d := share*(i+1) - filled[b]*total; b == 0 || d > lack {
				best, lack = b, d
			}
		}
		out[i] = best
		filled[best]++
	}
	return out
}

// reached is the highest rung below Max that a trial has come to, or 0.
func (h *Halving) reached(bracket, resource int) (rung int) {
	for next := h.firsts[bracket]; next <= resource && next < h.max; next *= reduction {
		rung = next
	}
	return rung
}

// falls tells whether a trial is not among the best third of its bracket at a
// rung. Fewer than three decide nothing; equals go on together.
func (h *Halving) falls(history []Trial, brackets []int, trial, rung int) bool {
	var there []float64
	for i, t := range history {
		if brackets[i] == brackets[trial] && t.State != Failed && len(t.Reports) >= rung {
			there = append(there, t.Reports[rung-1])
		}
	}
	if len(there) < reduction {
		return false
	}
	slices.SortFunc(there, h.goal.order)
	return h.goal.better(there[len(there)/reduction-1], history[trial].Reports[rung-1])
}

// order sorts the better first.
func (g Goal) order(a, b float64) int {
	if g == Maximize {
		a, b = b, a
	}
	return cmp.Compare(a, b)
}

func (g Goal) better(a, b float64) bool { return g.order(a, b) < 0 }

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
