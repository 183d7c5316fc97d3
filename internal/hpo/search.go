package hpo

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/musher/musher/internal/hpo/internal/boxmin"
	"github.com/musher/musher/internal/hpo/internal/qmc"
)

// How hard the expected improvement is maximised.
const (
	smallSpace   = 1024 // a space of at most so many points is tried in full
	spread       = 384  // points that cover the space evenly
	around       = 192  // points around good trials
	nearestBest  = 5    // good trials around which points are tried
	shortlisted  = 48   // candidates that the whole committee judges
	ascents      = 4    // candidates improved by gradient
	ascentEvals  = 20
	ascentGain   = 1e-4
	smallestStep = 1e-3 // of points around a good trial, in widths of the space
	largestStep  = 0.3
	otherChance  = 0.3 // that such a step changes a category it may change
	rounds       = 3   // of changing one discrete value at a time
)

// search looks for the point of highest expected improvement.
type search struct {
	*bayes
	r   *record
	s   *surrogate
	rng *rand.Rand
}

// candidate is a point with the logarithm of its expected improvement.
type candidate struct {
	point []float64
	logEI float64
}

// newSearch draws its random numbers from the stream of the trial to come.
func newSearch(b *bayes, r *record, s *surrogate) *search {
	return &search{bayes: b, r: r, s: s, rng: stream(b.seed, uint64(r.trials))}
}

// best returns the most promising point that no trial has tried; one that was
// tried before only when it finds no other.
func (s *search) best() []float64 {
	found := s.shortlist(s.candidates())
	for _, c := range found[:min(ascents, len(found))] {
		found = append(found, s.improve(c))
	}
	sortCandidates(found)
	for _, c := range found {
		if !s.r.seen[key(s.axes, c.point)] {
			return c.point
		}
	}
	return found[0].point
}

// shortlist returns the best of the points, in order. All are judged by one
// model, and those that it likes by the whole committee: judging a point is
// most of the work. Points that were tried before are left out, unless all were.
func (s *search) shortlist(points [][]float64) []candidate {
	fresh := slices.DeleteFunc(slices.Clone(points), func(p []float64) bool { return s.r.seen[key(s.axes, p)] })
	if len(fresh) == 0 {
		fresh = points
	}
	found := make([]candidate, len(fresh))
	for i, p := range fresh {
		found[i] = candidate{p, s.s.roughLogEI(p)}
	}
	sortCandidates(found)
	found = found[:min(shortlisted, len(found))]
	for i, c := range found {
		found[i] = s.at(c.point)
	}
	sortCandidates(found)
	return found
}

func sortCandidates(c []candidate) {
	slices.SortStableFunc(c, func(a, b candidate) int { return cmp.Compare(b.logEI, a.logEI) })
}

func (s *search) at(point []float64) candidate { return candidate{point, s.s.logEI(point)} }

// candidates covers the space: completely where it is small, else evenly, and
// more closely around the best trials.
func (s *search) candidates() [][]float64 {
	if points := enumerate(s.axes, smallSpace); points != nil {
		return points
	}
	var out [][]float64
	sobol := qmc.NewSobol(len(s.axes), s.rng.Uint64())
	for i := range uint32(spread) {
		point := make([]float64, len(s.axes))
		sobol.At(i, point)
		for j, a := range s.axes {
			point[j] = a.fromUnit(point[j])
		}
		out = append(out, point)
	}
	centres := s.bestTrials()
	for i := range around {
		centre := centres[0]
		if i%2 == 1 {
			centre = centres[s.rng.IntN(len(centres))]
		}
		out = append(out, s.near(centre))
	}
	return out
}

// bestTrials returns the done points of lowest objective, the best first.
func (s *search) bestTrials() [][]float64 {
	order := make([]int, len(s.s.z))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(s.s.z[i], s.s.z[j]) })
	return pick(s.s.points, order[:min(nearestBest, len(order))])
}

// near moves about half the values of a point, by steps of a random size.
func (s *search) near(centre []float64) []float64 {
	point := slices.Clone(centre)
	size := largestStep * math.Pow(smallestStep/largestStep, s.rng.Float64())
	always := s.rng.IntN(len(point))
	for i, a := range s.axes {
		if i != always && s.rng.IntN(2) == 0 {
			continue
		}
		switch {
		case a.Kind != Categorical:
			point[i] = a.snap(point[i] + size*s.rng.NormFloat64())
		case s.rng.Float64() < otherChance:
			point[i] = float64(s.rng.IntN(len(a.Values)))
		}
	}
	return point
}

// improve climbs from a candidate: along the gradient in the numeric values,
// then one discrete value at a time, and again if that found better.
func (s *search) improve(c candidate) candidate {
	c = s.better(c, s.ascend(c.point))
	for range rounds {
		next := s.neighbours(c)
		if next.logEI <= c.logEI {
			break
		}
		c = s.better(next, s.ascend(next.point))
	}
	return c
}

func (s *search) better(a, b candidate) candidate {
	if b.logEI > a.logEI {
		return b
	}
	return a
}

// ascend maximises over the numeric values, taken as continuous, and rounds to
// what exists.
func (s *search) ascend(from []float64) candidate {
	e := s.encoder
	n := len(e.numeric)
	if n == 0 {
		return s.at(from)
	}
	full := make([]float64, e.shape.Dim())
	e.encode(from, full)
	x, lo, hi := slices.Clone(full[:n]), make([]float64, n), make([]float64, n)
	for i := range hi {
		hi[i] = 1
	}
	cost := func(x, grad []float64) float64 {
		copy(full, x)
		logEI := s.s.logEIGrad(full, grad)
		floats.Scale(-1, grad)
		return -logEI
	}
	boxmin.Minimize(cost, x, lo, hi, boxmin.Limits{Evals: ascentEvals, Gain: ascentGain})
	point := slices.Clone(from)
	for i, k := range e.numeric {
		point[k] = s.axes[k].snap(x[i])
	}
	return s.at(point)
}

// neighbours returns the best candidate that differs from c in one discrete
// value: another category, or the next integer up or down.
func (s *search) neighbours(c candidate) candidate {
	best := candidate{logEI: math.Inf(-1)}
	try := func(i int, position float64) {
		if position != c.point[i] {
			point := slices.Clone(c.point)
			point[i] = position
			best = s.better(best, s.at(point))
		}
	}
	for i, a := range s.axes {
		switch a.Kind {
		case Categorical:
			for k := range a.Values {
				try(i, float64(k))
			}
		case Integer:
			try(i, a.step(c.point[i], -1))
			try(i, a.step(c.point[i], 1))
		}
	}
	return best
}

// enumerate lists every point of a space that has at most limit; nil for others.
func enumerate(axes []axis, limit int) [][]float64 {
	total := 1.0
	for _, a := range axes {
		total *= a.count()
	}
	if total > float64(limit) {
		return nil
	}
	points := [][]float64{{}}
	for _, a := range axes {
		var longer [][]float64
		for _, p := range points {
			for k := range int(a.count()) {
				longer = append(longer, append(slices.Clone(p), a.nth(k)))
			}
		}
		points = longer
	}
	return points
}
