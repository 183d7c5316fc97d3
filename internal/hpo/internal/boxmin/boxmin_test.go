package boxmin

import (
	"math"
	"testing"
)

func TestMinimize(t *testing.T) {
	rosenbrock := func(x, g []float64) float64 {
		u, v := x[1]-x[0]*x[0], 1-x[0]
		g[0], g[1] = -400*x[0]*u-2*v, 200*u
		return 100*u*u + v*v
	}
	bowl := func(x, g []float64) float64 {
		sum := 0.0
		for i, v := range x {
			d := v - float64(i)
			g[i] = 2 * d * float64(1+10*i)
			sum += d * d * float64(1+10*i)
		}
		return sum
	}
	// log is not defined left of 0, where a first step of full length lands.
	log := func(x, g []float64) float64 {
		g[0] = 1 - 0.01/x[0]
		return x[0] - 0.01*math.Log(x[0])
	}
	tests := []struct {
		name      string
		f         Func
		x, lo, hi []float64
		want      []float64
		close     float64
	}{
		{"valley", rosenbrock, []float64{-1.2, 1}, []float64{-5, -5}, []float64{5, 5}, []float64{1, 1}, 1e-4},
		{"valley with a wall", rosenbrock, []float64{-1.2, 1}, []float64{-5, -5}, []float64{0.5, 5}, []float64{0.5, 0.25}, 1e-4},
		{"bowl", bowl, []float64{5, 5, 5}, []float64{-9, -9, -9}, []float64{9, 9, 9}, []float64{0, 1, 2}, 1e-6},
		{"corner", bowl, []float64{5, 5, 5}, []float64{3, 3, -9}, []float64{9, 9, 1.5}, []float64{3, 3, 1.5}, 0},
		{"start outside", bowl, []float64{99, 5}, []float64{0, 0}, []float64{1, 1}, []float64{0, 1}, 1e-6},
		{"undefined beyond", log, []float64{1}, []float64{-1}, []float64{2}, []float64{0.01}, 1e-5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value := Minimize(tt.f, tt.x, tt.lo, tt.hi, Limits{Evals: 200, Gain: 1e-14})
			for i := range tt.x {
				if !(math.Abs(tt.x[i]-tt.want[i]) <= tt.close) {
					t.Errorf("got %v, want %v", tt.x, tt.want)
				}
			}
			if at := tt.f(tt.x, make([]float64, len(tt.x))); at != value {
				t.Errorf("returned %v for a point of value %v", value, at)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	evals := 0
	f := func(x, g []float64) float64 {
		evals++
		g[0] = 4 * x[0] * x[0] * x[0]
		return x[0] * x[0] * x[0] * x[0]
	}
	x := []float64{3}
	Minimize(f, x, []float64{-9}, []float64{9}, Limits{Evals: 5})
	if evals > 5 {
		t.Errorf("%d evaluations, 5 allowed", evals)
	}
	if !(math.Abs(x[0]) < 3) {
		t.Errorf("got no lower than %v", x)
	}
}
