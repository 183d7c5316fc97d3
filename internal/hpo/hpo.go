package hpo

import (
	"errors"
	"fmt"
)

// ErrExhausted is returned by a Suggester that has suggested every combination
// there is. Only Grid ever returns it.
var ErrExhausted = errors.New("hpo: every combination of the grid has been suggested")

// State is how far a trial has come.
type State int

// The states of a trial. A trial whose objective is NaN or infinite counts as
// Failed whatever its State.
const (
	Pending State = iota // suggested; no result yet
	Done                 // Objective is known
	Failed               // ended without an objective
)

// Trial is one set of hyperparameters and what came of it.
type Trial struct {
	Values    map[string]string // as the training job gets them; names outside the space are ignored
	Objective float64           // meaningful when Done
	State     State
	Reports   []float64 // the objective as it was reported, one after another; only a Stopper reads them
}

// Goal is the direction of the objective.
type Goal string

// The names are SageMaker's HyperParameterTuningJobObjectiveType.
const (
	Minimize Goal = "Minimize"
	Maximize Goal = "Maximize"
)

// The names are SageMaker's HyperParameterTuningJobStrategyType.
// ASHA is ours:
// Hyperband with a single bracket.
const (
	Bayesian  = "Bayesian"
	Random    = "Random"
	Grid      = "Grid"
	Hyperband = "Hyperband"
	ASHA      = "ASHA"
)

// Suggester proposes the trials to run next.
//
// Suggest returns n sets of values, given all trials so far in the order in
// which they were suggested. Its answer depends on nothing but that history and
// what New was given: a new Suggester in a restarted server continues as the
// old one would have. Asking for n at once is the same as asking n times for
// one, each time with the previous answer added to the history as Pending. A
// Suggester is safe for concurrent use.
//
// Grid returns fewer than n when fewer are left, and ErrExhausted when none
// are. Any other error names the trial of the history and the hyperparameter
// that do not fit the space.
type Suggester interface {
	Suggest(history []Trial, n int) ([]map[string]string, error)
}

// New returns the Suggester for a strategy. It fails when the space breaks a
// rule of Space.Validate, when Grid is asked for a space that is not all
// categorical, and for a strategy or a goal that it does not know.
func New(strategy string, space Space, goal Goal, seed int64) (Suggester, error) {
	if err := space.Validate(); err != nil {
		return nil, fmt.Errorf("hpo: %w", err)
	}
	if goal != Minimize && goal != Maximize {
		return nil, fmt.Errorf("hpo: goal %q is not one of Minimize, Maximize", goal)
	}
	axes := newAxes(space)
	switch strategy {
	case Bayesian:
		return newBayes(axes, goal, uint64(seed)), nil
	case Random, Hyperband, ASHA: // a Stopper is what makes them differ
		return randomSearch{axes: axes, seed: uint64(seed)}, nil
	case Grid:
		return newGrid(axes)
	}
	return nil, fmt.Errorf("hpo: strategy %q is not one of Bayesian, Random, Grid, Hyperband, ASHA", strategy)
}
