// Package boxmin minimises a smooth function within a box.
//
// It is a projected L-BFGS: the quasi-Newton step of Nocedal ("Updating
// quasi-Newton matrices with limited storage", 1980) taken in the coordinates
// that are not held by a bound (Bertsekas, "Projected Newton methods for
// optimization problems with simple constraints", 1982), with a backtracking
// search along the projected path. gonum's optimizers know no bounds and start
// goroutines for each run; here a run lasts microseconds and there are many.
package boxmin

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// Func returns the value at x and writes the gradient. It may return NaN or
// +Inf where the function is not defined; the start must be finite.
type Func func(x, grad []float64) float64

// Limits end a run.
type Limits struct {
	Evals int     // calls of the function
	Gain  float64 // a step that lowers the function by less ends the run
}

const (
	memory     = 8    // pairs that the L-BFGS matrix is made of
	armijo     = 1e-4 // share of the predicted decrease that a step must reach
	halvings   = 12   // of one line search
	curvature  = 1e-10
	firstReach = 0.25 // length of the first step, before anything is known
)

type pair struct {
	s, y []float64
	rho  float64
}

// Minimize lowers f from x, which it overwrites with the best point found, and
// returns the value there. lo and hi bound each coordinate.
func Minimize(f Func, x, lo, hi []float64, lim Limits) float64 {
	d := len(x)
	buf := make([]float64, 4*d)
	grad, next, nextGrad, dir := buf[:d], buf[d:2*d], buf[2*d:3*d], buf[3*d:]
	project(x, lo, hi)
	fx := f(x, grad)
	evals := 1
	var pairs []pair
	for evals < lim.Evals {
		if !direction(dir, x, grad, lo, hi, pairs) {
			return fx
		}
		step, ok := 1.0, false
		var fn float64
		for range halvings {
			floats.AddScaledTo(next, x, step, dir)
			project(next, lo, hi)
			slope := 0.0
			for i := range x {
				slope += grad[i] * (next[i] - x[i])
			}
			if slope >= 0 {
				break
			}
			fn = f(next, nextGrad)
			evals++
			if fn <= fx+armijo*slope {
				ok = true
				break
			}
			if evals >= lim.Evals {
				break
			}
			step *= shrink(fx, fn, slope)
		}
		if !ok {
			if len(pairs) == 0 {
				return fx
			}
			pairs = pairs[:0] // the matrix misled: start again downhill
			continue
		}
		pairs = remember(pairs, x, next, grad, nextGrad)
		gain := fx - fn
		copy(x, next)
		copy(grad, nextGrad)
		fx = fn
		if gain < lim.Gain {
			return fx
		}
	}
	return fx
}

// shrink is the factor for the next, shorter step: the minimum of the parabola
// through what is known, within reason.
func shrink(f0, f1, slope float64) float64 {
	if math.IsNaN(f1) || math.IsInf(f1, 0) {
		return 0.1
	}
	return max(0.1, min(0.5, -slope/(2*(f1-f0-slope))))
}

func project(x, lo, hi []float64) {
	for i := range x {
		x[i] = max(lo[i], min(hi[i], x[i]))
	}
}

// held says whether coordinate i lies at a bound that the descent pushes against.
func held(x, grad, lo, hi []float64, i int) bool {
	return x[i] <= lo[i] && grad[i] >= 0 || x[i] >= hi[i] && grad[i] <= 0
}

// direction writes a descent direction; false when there is none.
func direction(dir, x, grad, lo, hi []float64, pairs []pair) bool {
	norm := 0.0
	for i := range x {
		dir[i] = -grad[i]
		if held(x, grad, lo, hi, i) {
			dir[i] = 0
		}
		norm += dir[i] * dir[i]
	}
	norm = math.Sqrt(norm)
	if !(norm > 1e-12) || math.IsInf(norm, 0) {
		return false
	}
	if len(pairs) == 0 {
		floats.Scale(min(1, firstReach/norm), dir)
		return true
	}
	twoLoop(dir, pairs)
	slope := 0.0
	for i := range x {
		if held(x, grad, lo, hi, i) {
			dir[i] = 0
		}
		slope += dir[i] * grad[i]
	}
	if slope < 0 {
		return true
	}
	return direction(dir, x, grad, lo, hi, nil)
}

// twoLoop multiplies dir by the L-BFGS approximation of the inverse Hessian.
func twoLoop(dir []float64, pairs []pair) {
	var a [memory]float64
	for i := len(pairs) - 1; i >= 0; i-- {
		p := pairs[i]
		a[i] = p.rho * floats.Dot(p.s, dir)
		floats.AddScaled(dir, -a[i], p.y)
	}
	last := pairs[len(pairs)-1]
	floats.Scale(1/(last.rho*floats.Dot(last.y, last.y)), dir)
	for i, p := range pairs {
		b := p.rho * floats.Dot(p.y, dir)
		floats.AddScaled(dir, a[i]-b, p.s)
	}
}

func remember(pairs []pair, x, next, grad, nextGrad []float64) []pair {
	d := len(x)
	buf := make([]float64, 2*d)
	p := pair{s: buf[:d], y: buf[d:]}
	floats.SubTo(p.s, next, x)
	floats.SubTo(p.y, nextGrad, grad)
	sy := floats.Dot(p.s, p.y)
	if !(sy > curvature*floats.Dot(p.y, p.y)) {
		return pairs
	}
	p.rho = 1 / sy
	if len(pairs) == memory {
		copy(pairs, pairs[1:])
		pairs = pairs[:memory-1]
	}
	return append(pairs, p)
}
