package hpo

import (
	"fmt"
	"math"

	"github.com/musher/musher/internal/hpo/internal/qmc"
)

// bayes is the Bayesian strategy: a few points that fill the space, then for
// each trial a surrogate of the objective and the point where it promises
// most. See doc.go for the method. It holds no state: each answer is worked
// out from the history.
type bayes struct {
	axes    []axis
	goal    Goal
	seed    uint64
	encoder encoder
	filling *qmc.Sobol
}

func newBayes(axes []axis, goal Goal, seed uint64) *bayes {
	return &bayes{axes: axes, goal: goal, seed: seed, encoder: newEncoder(axes), filling: qmc.NewSobol(len(axes), mix(seed))}
}

// initialTrials is how many trials fill the space before the model chooses.
func initialTrials(params int) int { return 4 + params/2 }

// record is a history as the strategy sees it.
type record struct {
	trials  int             // of any state
	seen    map[string]bool // keys of all points
	done    [][]float64
	y       []float64 // per done point: the objective, to be minimised
	failed  [][]float64
	pending [][]float64
}

func (r *record) addPending(key string, point []float64) {
	r.trials++
	r.seen[key] = true
	r.pending = append(r.pending, point)
}

func (b *bayes) Suggest(history []Trial, n int) ([]map[string]string, error) {
	r, err := b.read(history)
	if err != nil {
		return nil, err
	}
	var s *surrogate
	out := make([]map[string]string, 0, n)
	for range n {
		var point []float64
		if r.trials < initialTrials(len(b.axes)) || len(r.done) < 2 {
			point = b.fill(r)
		} else {
			if s == nil {
				s = newSurrogate(b.encoder, r, n, stream(b.seed, ^uint64(len(r.y))).NormFloat64)
			}
			point = newSearch(b, r, s).best()
		}
		values := format(b.axes, point)
		// Go on from what a restarted server would read.
		if point, err = parse(b.axes, values); err != nil {
			return nil, fmt.Errorf("hpo: read back a suggestion: %w", err)
		}
		r.addPending(key(b.axes, point), point)
		if s != nil {
			s.addPending(point)
		}
		out = append(out, values)
	}
	return out, nil
}

func (b *bayes) read(history []Trial) (*record, error) {
	r := &record{trials: len(history), seen: make(map[string]bool, len(history))}
	for i, t := range history {
		point, err := parse(b.axes, t.Values)
		if err != nil {
			return nil, fmt.Errorf("hpo: trial %d: %w", i, err)
		}
		r.seen[key(b.axes, point)] = true
		switch {
		case t.State == Pending:
			r.pending = append(r.pending, point)
		case t.State == Failed || math.IsNaN(t.Objective) || math.IsInf(t.Objective, 0):
			r.failed = append(r.failed, point)
		default:
			r.done = append(r.done, point)
			r.y = append(r.y, b.cost(t.Objective))
		}
	}
	return r, nil
}

// cost is the objective turned so that less is better.
func (b *bayes) cost(objective float64) float64 {
	if b.goal == Maximize {
		return -objective
	}
	return objective
}

// fill returns the next point of a sequence that covers the space evenly,
// passing over what was suggested before as long as that is quickly done.
func (b *bayes) fill(r *record) []float64 {
	const tries, stride = 32, 1 << 16 // a later part of the sequence for each try
	point := make([]float64, len(b.axes))
	for try := range uint32(tries) {
		b.filling.At(uint32(r.trials)+try*stride, point)
		for i, a := range b.axes {
			point[i] = a.fromUnit(point[i])
		}
		if !r.seen[key(b.axes, point)] {
			break
		}
	}
	return point
}
