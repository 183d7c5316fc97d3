package gp

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// The posterior of the hyperparameters is taken to be normal around its
// highest point (Laplace), its precision bounded where the data say nothing or
// the density is not concave.
const (
	curvatureStep              = 0.1
	minPrecision, maxPrecision = 0.5, 1e4
)

// Draw returns count vectors of hyperparameters around the most probable theta
// for y. normal gives independent standard normal numbers. The draws come in
// pairs that mirror each other.
func (f *Fitter) Draw(y, theta []float64, count int, normal func() float64) [][]float64 {
	f.y = y
	root := f.deviation(theta)
	p := len(theta)
	xi, step := make([]float64, p), make([]float64, p)
	var out [][]float64
	for k := range count {
		if k%2 == 0 {
			for i := range xi {
				xi[i] = normal()
			}
		} else {
			floats.Scale(-1, xi)
		}
		clear(step)
		for j, v := range xi {
			floats.AddScaled(step, v, root[j*p:j*p+p])
		}
		draw := slices.Clone(theta)
		for i := range draw {
			draw[i] = max(f.lo[i], min(f.hi[i], draw[i]+step[i]))
		}
		out = append(out, draw)
	}
	return out
}

// deviation returns, row after row, vectors that times independent standard
// normal numbers add up to a draw from the posterior around theta.
func (f *Fitter) deviation(theta []float64) []float64 {
	p := len(theta)
	base, moved, at := make([]float64, p), make([]float64, p), slices.Clone(theta)
	f.cost(at, base)
	hessian := mat.NewSymDense(p, nil)
	rows := make([]float64, p*p)
	for i := range p {
		at[i] += curvatureStep
		if math.IsInf(f.cost(at, moved), 1) {
			copy(moved, base)
		}
		at[i] = theta[i]
		floats.SubTo(rows[i*p:i*p+p], moved, base)
	}
	for i := range p {
		for j := range i + 1 {
			hessian.SetSym(i, j, (rows[i*p+j]+rows[j*p+i])/(2*curvatureStep))
		}
	}
	var eigen mat.EigenSym
	root := make([]float64, p*p)
	if !eigen.Factorize(hessian, true) {
		return root
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for k, v := range eigen.Values(nil) {
		scale := 1 / math.Sqrt(max(minPrecision, min(maxPrecision, v)))
		for i := range p {
			root[k*p+i] = scale * vectors.At(i, k)
		}
	}
	return root
}
