package gp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// testPrior is not centred on what the tests' data suggest.
var testPrior = Prior{
	Length: LogNormal{0.7, 0.8}, Distance: LogNormal{1, 1.5},
	Signal: LogNormal{1, 1}, Noise: LogNormal{1e-4, 2}, MeanSD: 1,
}

// sample gives n points and values of a smooth function of all coordinates.
func sample(shape Shape, n int, seed uint64) (x, y []float64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	for range n {
		v := rng.NormFloat64() * 0.1
		for c := range shape.Dim() {
			if c < shape.Real {
				x = append(x, rng.Float64())
				v += math.Sin(float64(4+c) * x[len(x)-1])
			} else {
				x = append(x, float64(rng.IntN(3)))
				v += 0.5 * x[len(x)-1]
			}
		}
		y = append(y, v)
	}
	return x, y
}

func TestFitGradient(t *testing.T) {
	for _, shape := range []Shape{{1, 0}, {3, 0}, {2, 2}, {0, 2}} {
		x, y := sample(shape, 15, 1)
		f := NewFitter(shape, x, testPrior)
		f.y = y
		rng := rand.New(rand.NewPCG(2, 0))
		theta, grad, none := make([]float64, shape.Dim()+2), make([]float64, shape.Dim()+2), make([]float64, shape.Dim()+2)
		for i := range theta {
			theta[i] = math.Log(f.prior[i].Median) + rng.NormFloat64()
		}
		f.cost(theta, grad)
		for i := range theta {
			const eps = 1e-5
			at := append([]float64(nil), theta...)
			at[i] += eps
			up := f.cost(at, none)
			at[i] -= 2 * eps
			down := f.cost(at, none)
			if want := (up - down) / (2 * eps); math.Abs(grad[i]-want) > 1e-4*(1+math.Abs(want)) {
				t.Errorf("%+v, hyperparameter %d: gradient %v, difference quotient %v", shape, i, grad[i], want)
			}
		}
	}
}

// The likelihood and the predictions are those of the textbook's formulas,
// worked out with gonum's matrices.
func TestAgainstMatrices(t *testing.T) {
	shape := Shape{2, 1}
	x, y := sample(shape, 12, 3)
	f := NewFitter(shape, x, testPrior)
	theta, _ := f.Fit(y, nil, 10)
	m := f.Model(theta, x, y, 0)
	n, d, p := len(y), shape.Dim(), m.Params()
	k := mat.NewSymDense(n, nil)
	cov := func(a, b []float64) float64 {
		r := math.Sqrt(shape.distance2(a, b, p.Weight))
		return p.Signal * (1 + math.Sqrt(5)*r + 5*r*r/3) * math.Exp(-math.Sqrt(5)*r)
	}
	ones := mat.NewVecDense(n, nil)
	for i := range n {
		ones.SetVec(i, 1)
		for j := range i + 1 {
			k.SetSym(i, j, cov(x[i*d:i*d+d], x[j*d:j*d+d]))
		}
		k.SetSym(i, i, k.At(i, i)*(1+jitter)+p.Noise)
	}
	var chol mat.Cholesky
	if !chol.Factorize(k) {
		t.Fatal("not positive definite")
	}
	solve := func(b mat.Vector) *mat.VecDense {
		var v mat.VecDense
		if err := chol.SolveVecTo(&v, b); err != nil {
			t.Fatal(err)
		}
		return &v
	}
	yv := mat.NewVecDense(n, append([]float64(nil), y...))
	mean := mat.Dot(ones, solve(yv)) / (mat.Dot(ones, solve(ones)) + 1)
	if math.Abs(mean-m.mean) > 1e-8 {
		t.Errorf("constant mean %v, want %v", m.mean, mean)
	}
	yv.AddScaledVec(yv, -mean, ones)
	at := []float64{0.3, 0.6, 1}
	kx := mat.NewVecDense(n, nil)
	for i := range n {
		kx.SetVec(i, cov(at, x[i*d:i*d+d]))
	}
	wantMean, wantVar := mean+mat.Dot(kx, solve(yv)), p.Signal-mat.Dot(kx, solve(kx))
	gotMean, gotVar := m.Predict(at, m.NewScratch())
	if math.Abs(gotMean-wantMean) > 1e-8 || math.Abs(gotVar-wantVar) > 1e-8 {
		t.Errorf("prediction %v ± %v, want %v ± %v", gotMean, gotVar, wantMean, wantVar)
	}
	f.y = y
	f.cost(theta, make([]float64, len(theta)))
	want := -mat.Dot(yv, solve(yv))/2 - chol.LogDet()/2 - mean*mean/2
	if got := f.likelihood(); math.Abs(got-want) > 1e-8 {
		t.Errorf("log likelihood %v, want %v", got, want)
	}
}

func TestPredictGrad(t *testing.T) {
	shape := Shape{3, 1}
	x, y := sample(shape, 20, 4)
	f := NewFitter(shape, x, testPrior)
	theta, _ := f.Fit(y, nil, 20)
	m := f.Model(theta, x, y, 0)
	s, dm, dv := m.NewScratch(), make([]float64, 3), make([]float64, 3)
	at := []float64{0.2, 0.5, 0.9, 1}
	m.PredictGrad(at, s, dm, dv)
	for c := range 3 {
		const eps = 1e-5
		at[c] += eps
		m1, v1 := m.Predict(at, s)
		at[c] -= 2 * eps
		m0, v0 := m.Predict(at, s)
		at[c] += eps
		if want := (m1 - m0) / (2 * eps); math.Abs(dm[c]-want) > 1e-5*(1+math.Abs(want)) {
			t.Errorf("mean by %d: %v, want %v", c, dm[c], want)
		}
		if want := (v1 - v0) / (2 * eps); math.Abs(dv[c]-want) > 1e-5*(1+math.Abs(want)) {
			t.Errorf("variance by %d: %v, want %v", c, dv[c], want)
		}
	}
}

// Adding observations one by one is conditioning on all at once, apart from the
// constant mean, which is that of the first ones.
func TestAdd(t *testing.T) {
	shape := Shape{2, 1}
	x, y := sample(shape, 14, 5)
	p := Params{Weight: []float64{4, 2, 1}, Signal: 1.3, Noise: 1e-3}
	few, ok := New(shape, p, 1, x[:10*3], y[:10], 4)
	all, ok2 := New(shape, p, 1, x, y, 0)
	if !ok || !ok2 {
		t.Fatal("not positive definite")
	}
	for i := 10; i < 14; i++ {
		few.Add(x[i*3:i*3+3], y[i]+few.mean-all.mean)
	}
	at := []float64{0.4, 0.1, 2}
	_, v := few.Predict(at, few.NewScratch())
	_, want := all.Predict(at, all.NewScratch())
	if math.Abs(v-want) > 1e-10 {
		t.Errorf("variance after adding %v, want %v", v, want)
	}
	for i := range 14 { // L⁻ᵀ is what remains of the matrices
		for j := i; j < 14; j++ {
			if a, b := few.inv[i*few.room+j], all.inv[i*all.room+j]; math.Abs(a-b) > 1e-9 {
				t.Fatalf("factor at %d, %d: %v, want %v", i, j, a, b)
			}
		}
	}
	same, _ := New(shape, p, 1, x[:10*3], y[:10], 1)
	mean, before := same.Predict(at, same.NewScratch())
	same.Add(at, mean)
	after, left := same.Predict(at, same.NewScratch())
	if math.Abs(after-mean) > 1e-9 || left > before/2 {
		t.Errorf("believing the prediction %v ± %v gives %v ± %v", mean, before, after, left)
	}
}

func TestFitFindsLengthscales(t *testing.T) {
	shape := Shape{2, 0}
	rng := rand.New(rand.NewPCG(6, 0))
	var x, y []float64
	for range 40 { // the second coordinate does not matter
		a, b := rng.Float64(), rng.Float64()
		x, y = append(x, a, b), append(y, math.Sin(8*a))
	}
	f := NewFitter(shape, x, testPrior)
	theta, fitted := f.Fit(y, nil, 50)
	if theta[0] < theta[1]+3 {
		t.Errorf("log weights %.2f and %.2f: the second should be far smaller", theta[0], theta[1])
	}
	if _, started := f.Fit(y, nil, 1); fitted <= started {
		t.Errorf("log density %v after the fit, %v before", fitted, started)
	}
	m := f.Model(theta, x, y, 0)
	if got, _ := m.Predict([]float64{0.5, 0.5}, m.NewScratch()); math.Abs(got-math.Sin(4)) > 0.02 {
		t.Errorf("prediction %v, want %v", got, math.Sin(4))
	}
}

// The committee's draws have the mean and, along each eigenvector, the
// deviation of the posterior: with the prior alone, the prior's own.
func TestDrawFollowsThePosterior(t *testing.T) {
	shape := Shape{2, 0}
	x, y := []float64{0.5, 0.5}, []float64{0} // says next to nothing of lengthscales
	f := NewFitter(shape, x, testPrior)
	theta, _ := f.Fit(y, nil, 30)
	rng := rand.New(rand.NewPCG(7, 0))
	draws := f.Draw(y, theta, 4000, rng.NormFloat64)
	mean, square := 0.0, 0.0
	for _, d := range draws {
		mean += (d[0] - theta[0]) / 4000
		square += (d[0] - theta[0]) * (d[0] - theta[0]) / 4000
	}
	want := min(2*testPrior.Length.SD, 1/math.Sqrt(minPrecision))
	if math.Abs(mean) > 1e-9 || math.Abs(math.Sqrt(square)-want) > 0.1 {
		t.Errorf("a log weight: mean %v off the most probable, deviation %v, want 0 and %v", mean, math.Sqrt(square), want)
	}
}

func TestCoincidingPoints(t *testing.T) {
	x := []float64{0.5, 0.5, 0.5 + 1e-13, 0.5, 0.1}
	y := []float64{0, 0, 0, 0, 1}
	f := NewFitter(Shape{1, 0}, x, testPrior)
	theta, density := f.Fit(y, nil, 30)
	m := f.Model(theta, x, y, 0)
	mean, variance := m.Predict([]float64{0.3}, m.NewScratch())
	if math.IsNaN(mean) || !(variance > 0) || math.IsInf(density, 0) {
		t.Errorf("prediction %v ± %v, density %v", mean, variance, density)
	}
}

func BenchmarkFit(b *testing.B) {
	for _, n := range []int{10, 30, 60, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			shape := Shape{6, 0}
			x, y := sample(shape, n, 1)
			f := NewFitter(shape, x, testPrior)
			for b.Loop() {
				f.Fit(y, nil, 30)
			}
		})
	}
}
