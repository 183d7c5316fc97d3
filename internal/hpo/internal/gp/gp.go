// Package gp is Gaussian-process regression for small data: tens to a few
// hundred observations, thousands of predictions.
//
// The prior is a constant mean plus a function with a Matérn-5/2 covariance and
// a lengthscale per coordinate (Snoek, Larochelle and Adams, "Practical
// Bayesian optimization of machine learning algorithms", 2012). A Fitter finds
// hyperparameters; a Model predicts. The triangular factor of the covariance
// is kept together with its inverse, which costs a fit little (its gradient
// needs the inverse anyway) and makes a prediction two passes over contiguous
// memory. The loops are gonum's vector kernels on plain slices: at these sizes
// the matrix types of gonum/mat cost more than the arithmetic.
//
// A sum is always taken in the same order, so equal input gives equal bits.
package gp

import (
	"math"

	"gonum.org/v1/gonum/floats"
)

// Shape says how the coordinates of a point are compared: the first Real ones
// by their difference, the Nominal ones after them by being equal or not.
type Shape struct{ Real, Nominal int }

// Dim is the number of coordinates of a point.
func (s Shape) Dim() int { return s.Real + s.Nominal }

// Params are the hyperparameters of the covariance.
type Params struct {
	Weight []float64 // per coordinate: 1/lengthscale², or for a nominal one the squared distance of two values
	Signal float64   // variance of the function around its mean
	Noise  float64   // variance of an observation around the function
}

// jitter is the least noise variance, relative to the signal: it keeps the
// covariance positive definite when points all but coincide.
const jitter = 1e-10

// Model is a process conditioned on observations. Its matrices are kept by
// rows, with room for a few more observations (see Add).
type Model struct {
	shape   Shape
	params  Params
	mean    float64
	n, room int       // observations held, and that fit
	x       []float64 // n×dim
	inv     []float64 // room×room, upper: U = L⁻ᵀ, so K⁻¹ = U·Uᵀ
	alpha   []float64 // K⁻¹(y - mean)
	half    []float64 // L⁻¹(y - mean)
}

// New conditions a process on the points x, row after row, and their values y,
// and leaves room for more observations. The mean is the most probable one when
// it is normal around 0 with deviation meanSD. New returns false when rounding
// leaves the covariance not positive definite.
func New(shape Shape, p Params, meanSD float64, x, y []float64, room int) (*Model, bool) {
	n, d := len(y), shape.Dim()
	m := &Model{shape: shape, params: p, n: n, room: n + room}
	m.x = append(make([]float64, 0, m.room*d), x...)
	chol := make([]float64, n*n)
	for i := range n {
		for j := range i {
			k, _ := matern(shape.distance2(x[i*d:i*d+d], x[j*d:j*d+d], p.Weight))
			chol[i*n+j] = p.Signal * k
		}
		chol[i*n+i] = p.Signal*(1+jitter) + p.Noise
	}
	if !cholesky(chol, n, n) {
		return nil, false
	}
	m.inv = make([]float64, m.room*m.room)
	for i := range n {
		invertRow(chol, n, m.inv[i*m.room:i*m.room+n], i)
	}
	m.half, m.alpha = make([]float64, n, m.room), make([]float64, n, m.room)
	m.mean = profileMean(m.inv, n, m.room, y, m.half, make([]float64, n), meanSD)
	for i := range n {
		m.alpha[i] = floats.Dot(m.row(i), m.half[i:])
	}
	return m, true
}

// row is what row i of U holds from its diagonal on.
func (m *Model) row(i int) []float64 { return m.inv[i*m.room+i : i*m.room+m.n] }

// Params returns the hyperparameters; the weights are not to be changed.
func (m *Model) Params() Params { return m.params }

// Add conditions on one more observation in O(n²). It panics when there is no
// room. A Scratch of m stays valid.
func (m *Model) Add(x []float64, y float64) {
	if m.n == m.room {
		panic("gp: no room for another observation")
	}
	n, s := m.n, m.NewScratch()
	m.covariances(x, s)
	m.whiten(s)
	left := m.params.Signal*(1+jitter) + m.params.Noise - floats.Dot(s.v[:n], s.v[:n])
	pivot := math.Sqrt(max(left, jitter*m.params.Signal))
	half := (y - m.mean - floats.Dot(s.v[:n], m.half)) / pivot
	for i := range n {
		u := -floats.Dot(m.row(i), s.v[i:n]) / pivot
		m.inv[i*m.room+n] = u
		m.alpha[i] += u * half
	}
	m.inv[n*m.room+n] = 1 / pivot
	m.x, m.half, m.alpha = append(m.x, x...), append(m.half, half), append(m.alpha, half/pivot)
	m.n++
}

// Scratch is the working memory of predictions; not for concurrent use.
type Scratch struct {
	k, slope []float64 // covariances with the observed points; their derivatives by r²
	v, w     []float64 // L⁻¹k and K⁻¹k
}

// NewScratch returns working memory for m, also after Add.
func (m *Model) NewScratch() *Scratch {
	buf, r := make([]float64, 4*m.room), m.room
	return &Scratch{k: buf[:r], slope: buf[r : 2*r], v: buf[2*r : 3*r], w: buf[3*r:]}
}

// Mean returns the posterior mean of the function at x.
func (m *Model) Mean(x []float64, s *Scratch) float64 {
	m.covariances(x, s)
	return m.mean + floats.Dot(s.k[:m.n], m.alpha)
}

// Predict returns the posterior mean and variance of the function at x.
func (m *Model) Predict(x []float64, s *Scratch) (mean, variance float64) {
	mean = m.Mean(x, s)
	m.whiten(s)
	variance = m.params.Signal - floats.Dot(s.v[:m.n], s.v[:m.n])
	return mean, max(variance, jitter*m.params.Signal)
}

// PredictGrad is Predict that also writes the gradients by the real
// coordinates of x.
func (m *Model) PredictGrad(x []float64, s *Scratch, dMean, dVariance []float64) (mean, variance float64) {
	mean, variance = m.Predict(x, s)
	d, reals := m.shape.Dim(), m.shape.Real
	clear(dMean[:reals])
	clear(dVariance[:reals])
	for i := range m.n {
		s.w[i] = floats.Dot(m.row(i), s.v[i:m.n])
		a, b := s.slope[i]*m.alpha[i], -2*s.slope[i]*s.w[i]
		xi := m.x[i*d : i*d+d]
		for c := range reals {
			dr2 := 2 * m.params.Weight[c] * (x[c] - xi[c])
			dMean[c] += a * dr2
			dVariance[c] += b * dr2
		}
	}
	return mean, variance
}

func (m *Model) covariances(x []float64, s *Scratch) {
	d, signal := m.shape.Dim(), m.params.Signal
	for i := range m.n {
		k, slope := matern(m.shape.distance2(x, m.x[i*d:i*d+d], m.params.Weight))
		s.k[i], s.slope[i] = signal*k, signal*slope
	}
}

// whiten computes v = L⁻¹k.
func (m *Model) whiten(s *Scratch) {
	clear(s.v[:m.n])
	for i := range m.n {
		floats.AddScaled(s.v[i:m.n], s.k[i], m.row(i))
	}
}

func (s Shape) distance2(a, b, weight []float64) float64 {
	r2 := 0.0
	for c := range s.Real {
		diff := a[c] - b[c]
		r2 += weight[c] * diff * diff
	}
	for c := s.Real; c < s.Dim(); c++ {
		if a[c] != b[c] {
			r2 += weight[c]
		}
	}
	return r2
}

// matern is the Matérn-5/2 correlation at a squared distance, with its
// derivative by that.
func matern(r2 float64) (k, slope float64) {
	q := math.Sqrt(5 * r2)
	e := math.Exp(-q)
	return (1 + q + 5.0/3*r2) * e, -5.0 / 6 * (1 + q) * e
}

// cholesky factors the lower triangle of the n×n matrix a, rows of length
// stride, in place; false when it is not positive definite.
func cholesky(a []float64, n, stride int) bool {
	for i := range n {
		row := a[i*stride : i*stride+i+1]
		for j := range i {
			other := a[j*stride : j*stride+j+1]
			row[j] = (row[j] - floats.Dot(row[:j], other[:j])) / other[j]
		}
		pivot := row[i] - floats.Dot(row[:i], row[:i])
		if !(pivot > 0) {
			return false
		}
		row[i] = math.Sqrt(pivot)
	}
	return true
}

// invertUpper writes U = L⁻ᵀ.
func invertUpper(l, u []float64, n, stride int) {
	for i := range n {
		invertRow(l, stride, u[i*stride:i*stride+n], i)
	}
}

// invertRow writes row i of L⁻ᵀ, which is the solution of L·u = eᵢ.
func invertRow(l []float64, stride int, u []float64, i int) {
	u[i] = 1 / l[i*stride+i]
	for k := i + 1; k < len(u); k++ {
		lk := l[k*stride : k*stride+k+1]
		u[k] = -floats.Dot(lk[i:k], u[i:k]) / lk[k]
	}
}
