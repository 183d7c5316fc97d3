package hpo

import (
	"cmp"
	"math"
	"slices"

	"github.com/musher/musher/internal/hpo/internal/gp"
)

// How much a surrogate may cost. Up to fitPoints trials all count in full;
// beyond dataPoints a suggestion no longer gets dearer.
const (
	firstEvals = 30  // evaluations of the density for the first warp
	nextEvals  = 12  // for each further one, which starts where the last ended
	fitPoints  = 120 // trials that hyperparameters are fitted to
	dataPoints = 300 // trials that a model is conditioned on
	committee  = 5   // models
)

// caution is the power that the probability of success is raised to. With 1, a
// converged search would rather probe deep into where trials fail, because
// there the objective could still be better by far, than improve a little.
const caution = 4

// surrogate is what the trials so far say about the objective: a committee of
// Gaussian processes over the warped objective, and where some trials failed,
// one over success.
type surrogate struct {
	encoder encoder
	points  [][]float64 // the done trials that the models know
	z       []float64   // their warped objectives
	pending [][]float64
	members []*member // the most probable one first
	failure *member   // over 0 for done and 1 for failed; nil without failures

	x                []float64 // coordinates of the point in hand
	dMean, dVariance []float64
}

// member is a process whose hyperparameters are the most probable ones, or a
// draw from what else is likely.
type member struct {
	model   *gp.Model
	scratch *gp.Scratch
	best    float64 // the model's lowest mean at any done or pending trial
}

// prior is what is believed of an objective over the unit cube, its values
// standardised. The median lengthscale grows with the square root of the
// dimension, as distances do (Hvarfner, Hellsten and Nardi, "Vanilla Bayesian
// optimization performs great in high dimensions", 2024).
func prior(shape gp.Shape) gp.Prior {
	return gp.Prior{
		Length:   gp.LogNormal{Median: 0.2 * math.Sqrt(float64(shape.Dim())), SD: 0.5},
		Distance: gp.LogNormal{Median: 1, SD: 1.5},
		Signal:   gp.LogNormal{Median: 2, SD: 1},
		Noise:    gp.LogNormal{Median: 1e-5, SD: 2.5},
		MeanSD:   1,
	}
}

// failurePrior is what is believed of failure, which is 0 or 1: it has edges,
// and some of it is chance.
func failurePrior(shape gp.Shape) gp.Prior {
	p := prior(shape)
	p.Signal = gp.LogNormal{Median: 0.25, SD: 0.5}
	p.Noise = gp.LogNormal{Median: 0.01, SD: 1}
	return p
}

// newSurrogate learns from r and leaves room for more pending trials. normal
// gives independent standard normal numbers.
func newSurrogate(e encoder, r *record, more int, normal func() float64) *surrogate {
	kept := keep(r.y, dataPoints)
	s := &surrogate{
		encoder: e,
		points:  pick(r.done, kept),
		x:       make([]float64, e.shape.Dim()),
		dMean:   make([]float64, e.shape.Real), dVariance: make([]float64, e.shape.Real),
	}
	s.fit(pick(r.y, kept), len(r.pending)+more, normal)
	if len(r.failed) > 0 {
		s.fitFailure(r.failed)
	}
	for _, p := range r.pending {
		s.believe(p)
	}
	s.settle()
	return s
}

// fit finds the warp and the hyperparameters of highest evidence and forms the
// committee around them.
func (s *surrogate) fit(y []float64, room int, normal func() float64) {
	kept := keep(y, fitPoints)
	f := gp.NewFitter(s.encoder.shape, s.encoder.encodeAll(pick(s.points, kept)), prior(s.encoder.shape))
	theta, highest := []float64(nil), math.Inf(-1)
	// consider fits under a warp, from start; it tells whether that is the best yet.
	consider := func(w warp, start []float64, evals int) (fitted []float64, better bool) {
		z, logSlope := w.apply(y)
		fitted, density := f.Fit(pick(z, kept), start, evals)
		if better = theta == nil || density+logSlope > highest; better {
			highest, theta, s.z = density+logSlope, fitted, z
		}
		return fitted, better
	}
	first, _ := consider(plain, nil, firstEvals)
	for _, family := range warpFamilies() {
		start, worse := first, 0
		for _, w := range family {
			var better bool
			if start, better = consider(w, start, nextEvals); !better {
				worse++
			}
			if worse == 2 {
				break // the evidence has one peak: the rest is worse still
			}
		}
	}
	x := s.encoder.encodeAll(s.points)
	thetas := slices.Insert(f.Draw(pick(s.z, kept), theta, committee-1, normal), 0, theta)
	for _, t := range thetas {
		m := f.Model(t, x, s.z, room)
		s.members = append(s.members, &member{model: m, scratch: m.NewScratch()})
	}
}

// fitFailure learns where trials fail. What failed by chance is its noise.
func (s *surrogate) fitFailure(failed [][]float64) {
	points := slices.Concat(lastOf(s.points, fitPoints/2), lastOf(failed, fitPoints/2))
	labels := make([]float64, len(points))
	for i := len(points) - min(len(failed), fitPoints/2); i < len(points); i++ {
		labels[i] = 1
	}
	x := s.encoder.encodeAll(points)
	f := gp.NewFitter(s.encoder.shape, x, failurePrior(s.encoder.shape))
	theta, _ := f.Fit(labels, nil, firstEvals)
	m := f.Model(theta, x, labels, 0)
	s.failure = &member{model: m, scratch: m.NewScratch()}
}

func lastOf[T any](from []T, n int) []T { return from[max(0, len(from)-n):] }

// addPending makes the surrogate believe that a trial without a result yet will
// turn out as predicted (the "kriging believer" of Ginsbourger, Le Riche and
// Carraro, "Kriging is well-suited to parallelize optimization", 2010): the
// mean stays, the doubt about that place goes, and the next trial is sent
// elsewhere.
func (s *surrogate) addPending(point []float64) {
	s.believe(point)
	s.settle()
}

func (s *surrogate) believe(point []float64) {
	s.encoder.encode(point, s.x)
	for _, m := range s.members {
		m.model.Add(s.x, m.model.Mean(s.x, m.scratch))
	}
	s.pending = append(s.pending, point)
}

// settle works out the values to improve on. Under noise that is not the
// luckiest observation but the lowest mean.
func (s *surrogate) settle() {
	for _, m := range s.members {
		m.best = math.Inf(1)
		for _, points := range [][][]float64{s.points, s.pending} {
			for _, p := range points {
				s.encoder.encode(p, s.x)
				m.best = min(m.best, m.model.Mean(s.x, m.scratch))
			}
		}
	}
}

// logEI is the logarithm of the improvement expected at a point, summed over
// the committee, weighted by the probability that a trial there does not
// fail (Gelbart, Snoek and Adams, "Bayesian optimization with unknown constraints",
// 2014).
func (s *surrogate) logEI(point []float64) float64 {
	s.encoder.encode(point, s.x)
	var sum logSum
	for _, m := range s.members {
		sum.add(m.logEI(s.x))
	}
	return sum.value() + s.logSuccess()
}

// roughLogEI is logEI by the most probable member alone.
func (s *surrogate) roughLogEI(point []float64) float64 {
	s.encoder.encode(point, s.x)
	return s.members[0].logEI(s.x) + s.logSuccess()
}

func (m *member) logEI(x []float64) float64 {
	mean, variance := m.model.Predict(x, m.scratch)
	sd := math.Sqrt(variance)
	logH, _, _ := logImprovement((m.best - mean) / sd)
	return math.Log(sd) + logH
}

// logSuccess is the weight of s.x for the chance of success there.
func (s *surrogate) logSuccess() float64 {
	if s.failure == nil {
		return 0
	}
	mean, variance := s.failure.model.Predict(s.x, s.failure.scratch)
	logP, _ := logCDF((0.5 - mean) / math.Sqrt(variance))
	return caution * logP
}

// logEIGrad is logEI at given coordinates of the process, with the gradient by
// the first len(grad) of them, which are real ones.
func (s *surrogate) logEIGrad(x, grad []float64) float64 {
	var sum logSum
	clear(grad)
	for _, m := range s.members {
		mean, variance := m.model.PredictGrad(x, m.scratch, s.dMean, s.dVariance)
		sd := math.Sqrt(variance)
		logH, cdf, pdf := logImprovement((m.best - mean) / sd)
		before, share := sum.add(math.Log(sd) + logH)
		for i := range grad {
			slope := (pdf*s.dVariance[i]/(2*sd) - cdf*s.dMean[i]) / sd
			grad[i] = before*grad[i] + share*slope
		}
	}
	if s.failure == nil {
		return sum.value()
	}
	mean, variance := s.failure.model.PredictGrad(x, s.failure.scratch, s.dMean, s.dVariance)
	sd := math.Sqrt(variance)
	z := (0.5 - mean) / sd
	logP, slope := logCDF(z)
	for i := range grad {
		grad[i] -= caution * slope * (s.dMean[i] + z*s.dVariance[i]/(2*sd)) / sd
	}
	return sum.value() + caution*logP
}

// logSum adds numbers that are given, and returned, as logarithms.
type logSum struct {
	high, sum float64 // the total is sum·exp(high)
}

// add adds exp(v) and returns the shares of the new total that are due to what
// was there before and to v.
func (l *logSum) add(v float64) (before, share float64) {
	switch {
	case l.sum == 0:
		l.high, l.sum = v, 1
		return 0, 1
	case v > l.high:
		l.high, l.sum = v, l.sum*math.Exp(l.high-v)+1
		return 1 - 1/l.sum, 1 / l.sum
	}
	e := math.Exp(v - l.high)
	l.sum += e
	return 1 - e/l.sum, e / l.sum
}

func (l *logSum) value() float64 { return l.high + math.Log(l.sum) }

// keep returns, in their order, the indices of at most limit of the values: the
// best half, and of the others an even spread over time.
func keep(y []float64, limit int) []int {
	all := make([]int, len(y))
	for i := range all {
		all[i] = i
	}
	if len(y) <= limit {
		return all
	}
	slices.SortStableFunc(all, func(i, j int) int { return cmp.Compare(y[i], y[j]) })
	half := limit / 2
	kept, rest := slices.Clone(all[:half]), all[half:]
	slices.Sort(rest)
	for i := range limit - half {
		kept = append(kept, rest[i*len(rest)/(limit-half)])
	}
	slices.Sort(kept)
	return kept
}

func pick[T any](from []T, indices []int) []T {
	out := make([]T, len(indices))
	for i, k := range indices {
		out[i] = from[k]
	}
	return out
}
