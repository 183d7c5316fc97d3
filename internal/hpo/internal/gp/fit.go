package gp

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/musher/musher/internal/hpo/internal/boxmin"
)

// LogNormal is a prior on a positive hyperparameter: its logarithm is normal.
type LogNormal struct {
	Median float64
	SD     float64 // of the logarithm
}

// Prior says which hyperparameters are likely before any data.
type Prior struct {
	Length   LogNormal // lengthscale of a real coordinate
	Distance LogNormal // squared distance between two values of a nominal coordinate
	Signal   LogNormal
	Noise    LogNormal
	MeanSD   float64 // the constant mean is normal around 0
}

// Bounds of the hyperparameters, whatever their prior.
const (
	minNoise, maxNoise   = 1e-9, 2
	minWeight, maxWeight = 1e-6, 1e6
	minSignal, maxSignal = 1e-3, 1e3
)

// enough is the gain in log probability below which a fit is not worth another step.
const enough = 1e-3

// Fitter finds the most probable hyperparameters for values at given points.
// What depends on the points alone is worked out once, so the same Fitter
// serves several readings of the values (see the warps of package hpo).
//
// Its vector of hyperparameters ("theta") is the logarithms of the weights, of
// the signal's and of the noise's variance.
type Fitter struct {
	shape  Shape
	x      []float64
	n      int
	prior  []LogNormal // per element of theta
	meanSD float64
	lo, hi []float64 // bounds of theta

	dist [][]float64 // per coordinate: squared distance of each pair i > j
	y    []float64

	// What the last evaluation left.
	weight     []float64
	mean       float64
	r2         []float64 // per pair
	slope      []float64 // per pair: ∂K/∂r²
	pull       []float64 // per pair: (ααᵀ - K⁻¹)·∂K/∂r²
	chol, inv  []float64 // n×n: L with K = L·Lᵀ, and L⁻ᵀ
	half, ones []float64 // L⁻¹(y - mean) and L⁻¹1
	alpha      []float64 // K⁻¹(y - mean)
}

// NewFitter takes n points of shape.Dim() coordinates, row after row.
func NewFitter(shape Shape, x []float64, prior Prior) *Fitter {
	d := shape.Dim()
	n := len(x) / d
	pairs := n * (n - 1) / 2
	f := &Fitter{shape: shape, x: x, n: n, meanSD: prior.MeanSD}
	f.setPrior(prior)
	buf := make([]float64, (d+3)*pairs+2*n*n+3*n+d)
	take := func(k int) []float64 { s := buf[:k:k]; buf = buf[k:]; return s }
	f.r2, f.slope, f.pull = take(pairs), take(pairs), take(pairs)
	f.chol, f.inv = take(n*n), take(n*n)
	f.half, f.ones, f.alpha = take(n), take(n), take(n)
	f.weight = take(d)
	for c := range d {
		f.dist = append(f.dist, f.distances(c, take(pairs)))
	}
	return f
}

func (f *Fitter) distances(c int, dist []float64) []float64 {
	d, p := f.shape.Dim(), 0
	for i := range f.n {
		for j := range i {
			diff := f.x[i*d+c] - f.x[j*d+c]
			dist[p] = diff * diff
			if c >= f.shape.Real && diff != 0 {
				dist[p] = 1
			}
			p++
		}
	}
	return dist
}

func (f *Fitter) setPrior(p Prior) {
	add := func(prior LogNormal, lo, hi float64) {
		f.prior = append(f.prior, prior)
		f.lo, f.hi = append(f.lo, math.Log(lo)), append(f.hi, math.Log(hi))
	}
	for range f.shape.Real { // weight = 1/length²
		add(LogNormal{1 / (p.Length.Median * p.Length.Median), 2 * p.Length.SD}, minWeight, maxWeight)
	}
	for range f.shape.Nominal {
		add(p.Distance, minWeight, maxWeight)
	}
	add(p.Signal, minSignal, maxSignal)
	add(p.Noise, minNoise, maxNoise)
}

// Fit returns the most probable theta for the values y, one per point, and the
// logarithm of its probability density times that of y, up to a constant that
// is the same for all y. It starts from the given theta (nil: the prior's
// medians) and evaluates the density at most evals times.
func (f *Fitter) Fit(y, start []float64, evals int) (theta []float64, density float64) {
	f.y = y
	theta = slices.Clone(start)
	if start == nil {
		for _, p := range f.prior {
			theta = append(theta, math.Log(p.Median))
		}
	}
	density = -boxmin.Minimize(f.cost, theta, f.lo, f.hi, boxmin.Limits{Evals: evals, Gain: enough})
	return theta, density
}

// Model conditions on x and y under theta and leaves room for more
// observations. The points may be others than the Fitter's.
func (f *Fitter) Model(theta, x, y []float64, room int) *Model {
	d := f.shape.Dim()
	p := Params{Weight: make([]float64, d), Signal: math.Exp(theta[d]), Noise: math.Exp(theta[d+1])}
	for c := range p.Weight {
		p.Weight[c] = math.Exp(theta[c])
	}
	for {
		if m, ok := New(f.shape, p, f.meanSD, x, y, room); ok {
			return m
		}
		p.Noise = 10*p.Noise + jitter*p.Signal // rounding won: points all but coincide
	}
}

// cost is the negative log density; a boxmin.Func.
func (f *Fitter) cost(theta, grad []float64) float64 {
	d := f.shape.Dim()
	signal, noise := math.Exp(theta[d]), math.Exp(theta[d+1])
	f.covariance(theta, signal, noise)
	if !cholesky(f.chol, f.n, f.n) {
		return math.Inf(1)
	}
	invertUpper(f.chol, f.inv, f.n, f.n)
	cost := -f.likelihood()
	f.gradient(grad, signal, noise)
	for i, p := range f.prior {
		z := (theta[i] - math.Log(p.Median)) / p.SD
		cost += z * z / 2
		grad[i] = z/p.SD - grad[i]
	}
	return cost
}

// covariance fills the lower triangle of chol with K.
func (f *Fitter) covariance(theta []float64, signal, noise float64) {
	clear(f.r2)
	for c, dist := range f.dist {
		f.weight[c] = math.Exp(theta[c])
		floats.AddScaled(f.r2, f.weight[c], dist)
	}
	p := 0
	for i := range f.n {
		row := f.chol[i*f.n : i*f.n+i+1]
		for j := range i {
			k, slope := matern(f.r2[p])
			row[j], f.slope[p] = signal*k, signal*slope
			p++
		}
		row[i] = signal*(1+jitter) + noise
	}
}

// likelihood returns the log marginal likelihood, up to a constant, with the
// mean at its most probable value.
func (f *Fitter) likelihood() float64 {
	f.mean = profileMean(f.inv, f.n, f.n, f.y, f.half, f.ones, f.meanSD)
	logDet := 0.0
	for i := range f.n {
		logDet += math.Log(f.chol[i*f.n+i])
		f.alpha[i] = floats.Dot(f.inv[i*f.n+i:i*f.n+f.n], f.half[i:])
	}
	z := f.mean / f.meanSD
	return -floats.Dot(f.half, f.half)/2 - logDet - z*z/2
}

// gradient writes the derivatives of the log likelihood,
// ½ tr((ααᵀ - K⁻¹) ∂K/∂θ) (Rasmussen and Williams, 2006, equation 5.9).
func (f *Fitter) gradient(grad []float64, signal, noise float64) {
	n, d, diagonal, p := f.n, f.shape.Dim(), 0.0, 0
	for i := range n {
		ui := f.inv[i*n : i*n+n]
		for j := range i {
			uj := f.inv[j*n : j*n+n]
			f.pull[p] = (f.alpha[i]*f.alpha[j] - floats.Dot(ui[i:], uj[i:])) * f.slope[p]
			p++
		}
		diagonal += f.alpha[i]*f.alpha[i] - floats.Dot(ui[i:], ui[i:])
	}
	for c, dist := range f.dist {
		grad[c] = f.weight[c] * floats.Dot(f.pull, dist)
	}
	// Signal and noise together scale the whole of K: ½(αᵀKα - n).
	both := floats.Dot(f.half, f.half) - float64(n)
	grad[d] = (both - noise*diagonal) / 2
	grad[d+1] = noise * diagonal / 2
}

// profileMean returns the most probable constant mean of y and leaves
// L⁻¹(y - mean) in half and L⁻¹1 in ones. inv is L⁻ᵀ with rows of length stride.
func profileMean(inv []float64, n, stride int, y, half, ones []float64, meanSD float64) float64 {
	clear(half)
	clear(ones)
	for i := range n {
		row := inv[i*stride+i : i*stride+n]
		floats.AddScaled(half[i:], y[i], row)
		floats.Add(ones[i:], row)
	}
	mean := floats.Dot(ones, half) / (floats.Dot(ones, ones) + 1/(meanSD*meanSD))
	floats.AddScaled(half, -mean, ones)
	return mean
}
