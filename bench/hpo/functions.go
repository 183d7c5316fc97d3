package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"

	"github.com/musher/musher/internal/hpo"
)

// function is a test function to minimise.
type function struct {
	name    string
	space   hpo.Space
	minimum float64 // smallest value of eval
	noise   float64 // standard deviation of what a trial observes around eval
	// prepare returns the function for one seed: where the optimum of the
	// textbook function lies at the centre of its box, each seed moves it (and
	// turns it), so that a bias to the centre cannot win.
	prepare func(rng *rand.Rand) func(values map[string]string) float64
}

// box is a space of d continuous parameters x1, x2, … with the same linear range.
func box(d int, lo, hi float64) hpo.Space {
	var s hpo.Space
	for i := range d {
		s = append(s, hpo.Param{Name: fmt.Sprintf("x%d", i+1), Kind: hpo.Continuous, Min: lo, Max: hi, Scaling: hpo.Linear})
	}
	return s
}

func number(values map[string]string, name string) float64 {
	v, err := strconv.ParseFloat(values[name], 64)
	if err != nil {
		panic(err) // a suggestion that is no number is a bug in the sampler
	}
	return v
}

func vector(values map[string]string) []float64 {
	x := make([]float64, len(values))
	for i := range x {
		x[i] = number(values, fmt.Sprintf("x%d", i+1))
	}
	return x
}

// fixed wraps a function that is the same for all seeds.
func fixed(f func(x []float64) float64) func(*rand.Rand) func(map[string]string) float64 {
	return func(*rand.Rand) func(map[string]string) float64 {
		return func(v map[string]string) float64 { return f(vector(v)) }
	}
}

// shifted moves the function by up to share of half the range [-half, half] in each coordinate.
func shifted(d int, half, share float64, f func(x []float64) float64) func(*rand.Rand) func(map[string]string) float64 {
	return func(rng *rand.Rand) func(map[string]string) float64 {
		by := make([]float64, d)
		for i := range by {
			by[i] = half * share * (2*rng.Float64() - 1)
		}
		return func(v map[string]string) float64 {
			x := vector(v)
			for i := range x {
				x[i] -= by[i]
			}
			return f(x)
		}
	}
}

// turned is shifted, then multiplied by a random rotation.
func turned(d int, half, share float64, f func(x []float64) float64) func(*rand.Rand) func(map[string]string) float64 {
	return func(rng *rand.Rand) func(map[string]string) float64 {
		r := rotation(d, rng)
		return shifted(d, half, share, func(x []float64) float64 {
			y := make([]float64, d)
			for i := range y {
				for j := range x {
					y[i] += r[i][j] * x[j]
				}
			}
			return f(y)
		})(rng)
	}
}

// rotation is a random orthogonal matrix (Gram–Schmidt on Gaussian rows).
func rotation(d int, rng *rand.Rand) [][]float64 {
	r := make([][]float64, d)
	for i := range r {
		r[i] = make([]float64, d)
		for j := range r[i] {
			r[i][j] = rng.NormFloat64()
		}
		for _, q := range r[:i] {
			dot := 0.0
			for j := range q {
				dot += q[j] * r[i][j]
			}
			for j := range q {
				r[i][j] -= dot * q[j]
			}
		}
		norm := 0.0
		for _, v := range r[i] {
			norm += v * v
		}
		for j := range r[i] {
			r[i][j] /= math.Sqrt(norm)
		}
	}
	return r
}

// textbook are the functions whose reference figures are published with the task.
func textbook() []function {
	return []function{
		{name: "Branin", minimum: 0.39788735772973816, prepare: fixed(branin), space: hpo.Space{
			{Name: "x1", Kind: hpo.Continuous, Min: -5, Max: 10, Scaling: hpo.Linear},
			{Name: "x2", Kind: hpo.Continuous, Min: 0, Max: 15, Scaling: hpo.Linear}}},
		{name: "Hartmann-6", minimum: -3.322368011415515, space: box(6, 0, 1), prepare: fixed(hartmann6)},
		{name: "Ackley-5", space: box(5, -32.768, 32.768), prepare: fixed(ackley)},
	}
}

// others are what the textbook rows do not test: moved and turned optima,
// valleys, many dimensions, mixed spaces, noise.
func others() []function {
	return []function{
		{name: "Ackley-5 moved+turned", space: box(5, -32.768, 32.768), prepare: turned(5, 32.768, 0.6, ackley)},
		{name: "Six-hump camel", minimum: -1.0316284534898774, prepare: fixed(camel), space: hpo.Space{
			{Name: "x1", Kind: hpo.Continuous, Min: -3, Max: 3, Scaling: hpo.Linear},
			{Name: "x2", Kind: hpo.Continuous, Min: -2, Max: 2, Scaling: hpo.Linear}}},
		{name: "Goldstein-Price", minimum: 3, space: box(2, -2, 2), prepare: fixed(goldstein)},
		{name: "Rosenbrock-4", space: box(4, -5, 10), prepare: fixed(rosenbrock)},
		{name: "Levy-6 moved", space: box(6, -10, 10), prepare: shifted(6, 10, 0.5, func(x []float64) float64 {
			for i := range x {
				x[i]++
			}
			return levy(x)
		})},
		{name: "Griewank-5 moved", space: box(5, -600, 600), prepare: shifted(5, 600, 0.6, griewank)},
		{name: "Rastrigin-4 moved", space: box(4, -5.12, 5.12), prepare: shifted(4, 5.12, 0.6, rastrigin)},
		{name: "Styblinski-Tang-5", minimum: 5 * -39.16616570377142, space: box(5, -5, 5), prepare: fixed(styblinski)},
		{name: "Michalewicz-5", minimum: -4.687658179, space: box(5, 0, math.Pi), prepare: fixed(michalewicz)},
		{name: "Shekel-4", minimum: -10.536443153483534, space: box(4, 0, 10), prepare: fixed(shekel)},
		{name: "Hartmann-3 noisy", minimum: -3.86277979, noise: 0.1, space: box(3, 0, 1), prepare: fixed(hartmann3)},
		{name: "Sphere-10 moved", space: box(10, -5, 5), prepare: shifted(10, 5, 0.7, sphere)},
		{name: "Branin in 12", minimum: 0.39788735772973816, space: box(12, 0, 1), prepare: fixed(func(x []float64) float64 {
			return branin([]float64{-5 + 15*x[3], 15 * x[8]})
		})},
		{name: "mixed", space: mixedSpace, prepare: mixed},
		{name: "integers", space: integerSpace, prepare: integers},
	}
}

func branin(x []float64) float64 {
	const b, c, r, s, t = 5.1 / (4 * math.Pi * math.Pi), 5 / math.Pi, 6, 10, 1 / (8 * math.Pi)
	q := x[1] - b*x[0]*x[0] + c*x[0] - r
	return q*q + s*(1-t)*math.Cos(x[0]) + s
}

func hartmann(a, p [][]float64, x []float64) float64 {
	alpha, sum := []float64{1, 1.2, 3, 3.2}, 0.0
	for i := range alpha {
		e := 0.0
		for j := range x {
			e += a[i][j] * (x[j] - p[i][j]) * (x[j] - p[i][j])
		}
		sum -= alpha[i] * math.Exp(-e)
	}
	return sum
}

func hartmann3(x []float64) float64 {
	return hartmann(
		[][]float64{{3, 10, 30}, {0.1, 10, 35}, {3, 10, 30}, {0.1, 10, 35}},
		[][]float64{{0.3689, 0.1170, 0.2673}, {0.4699, 0.4387, 0.7470}, {0.1091, 0.8732, 0.5547}, {0.0381, 0.5743, 0.8828}}, x)
}

func hartmann6(x []float64) float64 {
	return hartmann(
		[][]float64{{10, 3, 17, 3.5, 1.7, 8}, {0.05, 10, 17, 0.1, 8, 14}, {3, 3.5, 1.7, 10, 17, 8}, {17, 8, 0.05, 10, 0.1, 14}},
		[][]float64{{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886}, {0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
			{0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650}, {0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381}}, x)
}

func ackley(x []float64) float64 {
	squares, cosines, d := 0.0, 0.0, float64(len(x))
	for _, v := range x {
		squares += v * v
		cosines += math.Cos(2 * math.Pi * v)
	}
	return -20*math.Exp(-0.2*math.Sqrt(squares/d)) - math.Exp(cosines/d) + 20 + math.E
}

func camel(x []float64) float64 {
	a, b := x[0]*x[0], x[1]*x[1]
	return (4-2.1*a+a*a/3)*a + x[0]*x[1] + (4*b-4)*b
}

func goldstein(x []float64) float64 {
	a, b := x[0], x[1]
	p := 1 + (a+b+1)*(a+b+1)*(19-14*a+3*a*a-14*b+6*a*b+3*b*b)
	q := 30 + (2*a-3*b)*(2*a-3*b)*(18-32*a+12*a*a+48*b-36*a*b+27*b*b)
	return p * q
}

func rosenbrock(x []float64) float64 {
	sum := 0.0
	for i := range len(x) - 1 {
		u, v := x[i+1]-x[i]*x[i], 1-x[i]
		sum += 100*u*u + v*v
	}
	return sum
}

func levy(x []float64) float64 {
	w := func(i int) float64 { return 1 + (x[i]-1)/4 }
	sin2 := func(v float64) float64 { return math.Sin(v) * math.Sin(v) }
	last := len(x) - 1
	sum := sin2(math.Pi * w(0))
	for i := range last {
		sum += (w(i) - 1) * (w(i) - 1) * (1 + 10*sin2(math.Pi*w(i)+1))
	}
	return sum + (w(last)-1)*(w(last)-1)*(1+sin2(2*math.Pi*w(last)))
}

func griewank(x []float64) float64 {
	sum, product := 0.0, 1.0
	for i, v := range x {
		sum += v * v / 4000
		product *= math.Cos(v / math.Sqrt(float64(i+1)))
	}
	return sum - product + 1
}

func rastrigin(x []float64) float64 {
	sum := 10 * float64(len(x))
	for _, v := range x {
		sum += v*v - 10*math.Cos(2*math.Pi*v)
	}
	return sum
}

func styblinski(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += (v*v*v*v - 16*v*v + 5*v) / 2
	}
	return sum
}

func michalewicz(x []float64) float64 {
	sum := 0.0
	for i, v := range x {
		sum -= math.Sin(v) * math.Pow(math.Sin(float64(i+1)*v*v/math.Pi), 20)
	}
	return sum
}

func shekel(x []float64) float64 {
	beta := []float64{.1, .2, .2, .4, .4, .6, .3, .7, .5, .5}
	c := [][]float64{
		{4, 1, 8, 6, 3, 2, 5, 8, 6, 7}, {4, 1, 8, 6, 7, 9, 3, 1, 2, 3.6},
		{4, 1, 8, 6, 3, 2, 5, 8, 6, 7}, {4, 1, 8, 6, 7, 9, 3, 1, 2, 3.6}}
	sum := 0.0
	for i, b := range beta {
		for j := range x {
			b += (x[j] - c[j][i]) * (x[j] - c[j][i])
		}
		sum -= 1 / b
	}
	return sum
}

func sphere(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return sum
}

// mixedSpace is like a real training job's: rates on logarithmic scales, a
// width, a batch size given as categories, a choice of algorithm.
var mixedSpace = hpo.Space{
	{Name: "learning_rate", Kind: hpo.Continuous, Min: 1e-5, Max: 1, Scaling: hpo.Logarithmic},
	{Name: "momentum", Kind: hpo.Continuous, Min: 0, Max: 0.999, Scaling: hpo.ReverseLogarithmic},
	{Name: "weight_decay", Kind: hpo.Continuous, Min: 1e-7, Max: 0.1},
	{Name: "hidden", Kind: hpo.Integer, Min: 8, Max: 2048},
	{Name: "layers", Kind: hpo.Integer, Min: 1, Max: 6},
	{Name: "batch", Kind: hpo.Categorical, Values: []string{"16", "32", "64", "128", "256"}},
	{Name: "optimizer", Kind: hpo.Categorical, Values: []string{"sgd", "adam", "adamw", "rmsprop"}},
}

// mixed is a made-up validation loss over mixedSpace with minimum 0: the best
// effective rate depends on batch, momentum and optimizer, as in life.
func mixed(rng *rand.Rand) func(map[string]string) float64 {
	bestRate, bestDecay, bestWidth := -2.5+rng.Float64(), -4+rng.Float64(), math.Round(100+500*rng.Float64())
	offset := map[string]float64{"sgd": 0, "adam": 1.2, "adamw": 1.2, "rmsprop": 1.0}
	price := map[string]float64{"sgd": 0.06, "adam": 0.03, "adamw": 0, "rmsprop": 0.08}
	bestBatch := []float64{32, 64, 128}[rng.IntN(3)]
	bestLayers := float64(2 + rng.IntN(3))
	return func(v map[string]string) float64 {
		batch, optimizer := number(v, "batch"), v["optimizer"]
		rate := math.Log10(number(v, "learning_rate")) + offset[optimizer] - math.Log10(1-number(v, "momentum")) - 0.5*math.Log10(batch/64)
		a := rate - bestRate
		b := math.Log10(number(v, "weight_decay")) - bestDecay
		c := math.Log2(number(v, "hidden") / bestWidth)
		momentum := -math.Log10(1-number(v, "momentum")) - 1
		return 1 - math.Exp(-0.4*a*a) + 0.02*b*b + 0.01*c*c + 0.03*math.Abs(number(v, "layers")-bestLayers) +
			0.03*math.Abs(math.Log2(batch/bestBatch)) + price[optimizer] + 0.05*momentum*momentum
	}
}

var integerSpace = hpo.Space{
	{Name: "a", Kind: hpo.Integer, Min: 1, Max: 1000, Scaling: hpo.Logarithmic},
	{Name: "b", Kind: hpo.Integer, Min: 0, Max: 20, Scaling: hpo.Linear},
	{Name: "c", Kind: hpo.Integer, Min: 0, Max: 20, Scaling: hpo.Linear},
	{Name: "d", Kind: hpo.Categorical, Values: []string{"red", "green", "blue", "black", "white", "grey"}},
}

// integers has minimum 0, at one combination of integers and colour per seed.
func integers(rng *rand.Rand) func(map[string]string) float64 {
	a, b, c := math.Round(math.Exp(rng.Float64()*math.Log(1000))), float64(rng.IntN(21)), float64(rng.IntN(21))
	cost := map[string]float64{}
	for i, k := range rng.Perm(6) {
		cost[integerSpace[3].Values[k]] = 0.4 * float64(i)
	}
	return func(v map[string]string) float64 {
		p, q, r := math.Log(number(v, "a")/a), (number(v, "b")-b)/5, (number(v, "c")-c)/5
		return p*p/4 + q*q + r*r + 0.5*p*q*math.Exp(-r*r)*0.5 + cost[v["d"]]
	}
}

// digits is the measured validation loss of a softmax regression, read from a
// file: bilinear in the logarithms of the rates, one surface per batch size.
func digits(path string) (function, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return function{}, err
	}
	var s struct {
		LR   []float64              `json:"lr_log10"`
		L2   []float64              `json:"l2_log10"`
		Loss map[string][][]float64 `json:"val_loss"`
		Min  float64                `json:"min"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return function{}, fmt.Errorf("read %s: %w", path, err)
	}
	var batches []string
	for b := range s.Loss {
		batches = append(batches, b)
	}
	slices.SortFunc(batches, func(a, b string) int { return len(a)*1000 - len(b)*1000 + int(a[0]) - int(b[0]) })
	eval := func(v map[string]string) float64 {
		i, p := cell(s.LR, math.Log10(number(v, "lr")))
		j, q := cell(s.L2, math.Log10(number(v, "l2")))
		z := s.Loss[v["batch"]]
		return (1-p)*((1-q)*z[i][j]+q*z[i][j+1]) + p*((1-q)*z[i+1][j]+q*z[i+1][j+1])
	}
	return function{
		name: "digits", minimum: s.Min,
		prepare: func(*rand.Rand) func(map[string]string) float64 { return eval },
		space: hpo.Space{
			{Name: "lr", Kind: hpo.Continuous, Min: 1e-4, Max: 1, Scaling: hpo.Logarithmic},
			{Name: "batch", Kind: hpo.Categorical, Values: batches},
			{Name: "l2", Kind: hpo.Continuous, Min: 1e-6, Max: 0.1, Scaling: hpo.Logarithmic},
		},
	}, nil
}

// cell finds the interval of a sorted grid that holds v, and the share of it that lies before v.
func cell(grid []float64, v float64) (int, float64) {
	i := 0
	for i < len(grid)-2 && grid[i+1] <= v {
		i++
	}
	return i, max(0, min(1, (v-grid[i])/(grid[i+1]-grid[i])))
}
