package hpo

import (
	"math"
	"testing"
)

// h(z) by quadrature of ∫ (z - t) φ(t) dt over t < z, scaled by φ(z) so that it
// does not vanish.
func TestLogImprovement(t *testing.T) {
	for _, z := range []float64{-1e4, -300, -40, -12.01, -11.99, -8, -3, -1, -1e-3, 0, 0.5, 3, 30} {
		// With t = z - s: h = φ(z) ∫ s exp(zs - s²/2) ds over s > 0.
		width := 40.0 / (1 + math.Max(0, -z))
		const steps = 200000
		sum := 0.0
		for i := range steps {
			s := (float64(i) + 0.5) * width / steps
			if z > 0 { // centre the peak at s = z
				s *= 1 + z
			}
			sum += s * math.Exp(z*s-s*s/2-math.Max(0, z)*z/2)
		}
		scale := width / steps
		if z > 0 {
			scale *= 1 + z
		}
		want := math.Log(sum*scale) + math.Max(0, z)*z/2 - z*z/2 - math.Log(2*math.Pi)/2
		got, cdf, pdf := logImprovement(z)
		if math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("log h(%v): got %v, want %v", z, got, want)
		}
		// h' = Φ, and h = φ + zΦ.
		eps := 1e-5 * (1 + math.Abs(z))
		up, _, _ := logImprovement(z + eps)
		down, _, _ := logImprovement(z - eps)
		if slope := (up - down) / (2 * eps); math.Abs(slope-cdf) > 1e-4*(1+math.Abs(cdf)) {
			t.Errorf("Φ/h at %v: got %v, want %v", z, cdf, slope)
		}
		if one := pdf + z*cdf; math.Abs(one-1) > 1e-9*(1+z*z) {
			t.Errorf("(φ + zΦ)/h at %v: got %v, want 1", z, one)
		}
	}
}

func TestLogCDF(t *testing.T) {
	for _, z := range []float64{-1e5, -30, -12.001, -11.999, -3, 0, 4} {
		got, slope := logCDF(z)
		if z > -30 {
			if want := math.Log(math.Erfc(-z/math.Sqrt2) / 2); math.Abs(got-want) > 1e-8*(1+math.Abs(want)) {
				t.Errorf("log Φ(%v): got %v, want %v", z, got, want)
			}
		}
		eps := 1e-5 * (1 + math.Abs(z))
		up, _ := logCDF(z + eps)
		down, _ := logCDF(z - eps)
		if want := (up - down) / (2 * eps); math.Abs(slope-want) > 1e-4*(1+want) {
			t.Errorf("its slope at %v: got %v, want %v", z, slope, want)
		}
	}
}

// The gradient that candidates climb is that of what they are compared by,
// failures included.
func TestLogEIGrad(t *testing.T) {
	b := newBayes(newAxes(lossSpace), Minimize, 1)
	r, err := b.read(messy(t, lossSpace, 2, 30, loss))
	if err != nil {
		t.Fatal(err)
	}
	s := newSurrogate(b.encoder, r, 0, stream(1, 1).NormFloat64)
	if s.failure == nil || len(s.pending) == 0 {
		t.Fatal("the history should hold failed and pending trials")
	}
	point := b.fill(r)
	x, grad := make([]float64, b.encoder.shape.Dim()), make([]float64, len(b.encoder.numeric))
	b.encoder.encode(point, x)
	if got, want := s.logEIGrad(x, grad), s.logEI(point); math.Abs(got-want) > 1e-9 {
		t.Errorf("log EI %v with gradient, %v without", got, want)
	}
	none := make([]float64, len(grad))
	for i := range grad {
		const eps = 1e-6
		x[i] += eps
		up := s.logEIGrad(x, none)
		x[i] -= 2 * eps
		down := s.logEIGrad(x, none)
		x[i] += eps
		if want := (up - down) / (2 * eps); math.Abs(grad[i]-want) > 1e-4*(1+math.Abs(want)) {
			t.Errorf("by coordinate %d: got %v, want %v", i, grad[i], want)
		}
	}
}

func everyWarp() []warp {
	families := warpFamilies()
	return append(append([]warp{plain}, families[0]...), families[1]...)
}

func TestWarpsKeepTheOrderAndStandardise(t *testing.T) {
	y := []float64{3, -1, 1e4, 3, 0.5, 40, -0.999}
	for _, w := range everyWarp() {
		z, _ := w.apply(y)
		mean, square := 0.0, 0.0
		for i := range z {
			mean += z[i] / float64(len(z))
			square += z[i] * z[i] / float64(len(z))
			for j := range z {
				if (y[i] < y[j]) != (z[i] < z[j]) {
					t.Errorf("%+v: %v and %v change places", w, y[i], y[j])
				}
			}
		}
		if math.Abs(mean) > 1e-9 || math.Abs(square-1) > 1e-9 {
			t.Errorf("%+v: mean %v, mean square %v", w, mean, square)
		}
	}
}

func TestWarpSlope(t *testing.T) {
	y := []float64{0, 1, 2.5, 4, 9, 20}
	for _, w := range everyWarp() {
		_, got := w.apply(y)
		c, end := w.c*4, 0.0 // the median that apply means is the upper one
		if w.worst {
			c, end = w.c*(20-2.5), 20
		}
		z, want := make([]float64, len(y)), 0.0
		for i, v := range y {
			slope := 1.0
			switch z[i] = v; {
			case w.worst:
				z[i], slope = -math.Log(20-v+c), 1/(20-v+c)
			case w != plain:
				z[i], slope = math.Log(v+c), 1/(v+c)
			}
			if v != end {
				want += math.Log(slope)
			}
		}
		want -= float64(len(y)-1) * math.Log(standardise(z))
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%+v: got %v, want %v", w, got, want)
		}
	}
}

func TestStandardiseExtremes(t *testing.T) {
	for _, z := range [][]float64{
		{math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64}, {5e-324, 0, 1e-300}, {3, 3, 3}, {0.1, 0.1, 0.1 + 1e-17}, {0},
	} {
		standardise(z)
		for _, v := range z {
			if math.IsNaN(v) || math.Abs(v) > 2 {
				t.Errorf("got %v", z)
			}
		}
	}
}

func TestNumberLine(t *testing.T) {
	tests := []struct {
		values []string
		want   []float64
	}{
		{[]string{"16", "64", "256"}, []float64{0, 0.5, 1}},
		{[]string{"0", "5", "10"}, []float64{0, 0.5, 1}},
		{[]string{"3", "1", "2"}, []float64{1, 0, 0.5}},
		{[]string{"1", "2"}, nil},
		{[]string{"sgd", "1", "2"}, nil},
		{[]string{"inf", "1", "2"}, nil},
		{[]string{`"0"`, `"1"`, `"2"`}, []float64{0, 0.5, 1}},
	}
	for _, tt := range tests {
		got := numberLine(tt.values)
		if len(got) != len(tt.want) {
			t.Errorf("%q: got %v, want %v", tt.values, got, tt.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-tt.want[i]) > 1e-12 {
				t.Errorf("%q: got %v, want %v", tt.values, got, tt.want)
			}
		}
	}
}

func TestKeep(t *testing.T) {
	y := make([]float64, 100)
	for i := range y {
		y[i] = float64((i*37)%100) + 0.5
	}
	kept := keep(y, 20)
	if len(kept) != 20 {
		t.Fatalf("kept %d, want 20", len(kept))
	}
	good := 0
	for i, k := range kept {
		if i > 0 && k <= kept[i-1] {
			t.Fatalf("not in order, or twice: %v", kept)
		}
		if y[k] < 10 {
			good++
		}
	}
	if good != 10 {
		t.Errorf("%d of the 10 best are kept", good)
	}
}
