package qmc

import (
	"math"
	"testing"
)

// Every aligned run of 2^k points has one in each of the 2^k equal intervals of
// each coordinate, scrambled or not, and the first two coordinates together
// have one in each elementary rectangle of area 2^-k.
func TestSobolIsANet(t *testing.T) {
	const k, n = 8, 1 << 8
	for _, seed := range []uint64{0, 1, 12345} {
		s := NewSobol(MaxDim, seed)
		for _, first := range []uint32{0, 3 * n} {
			points := make([][]float64, n)
			for i := range points {
				points[i] = make([]float64, MaxDim)
				s.At(first+uint32(i), points[i])
			}
			for c := range MaxDim {
				once(t, points, func(p []float64) int { return int(p[c] * n) })
			}
			for a := range k + 1 {
				wide, high := float64(int(1)<<a), float64(int(1)<<(k-a))
				once(t, points, func(p []float64) int { return int(p[0]*wide)*int(high) + int(p[1]*high) })
			}
		}
	}
}

func once(t *testing.T, points [][]float64, cell func([]float64) int) {
	t.Helper()
	seen := make([]bool, len(points))
	for _, p := range points {
		i := cell(p)
		if i < 0 || i >= len(seen) {
			t.Fatalf("point %v lies outside the cube", p)
		}
		if seen[i] {
			t.Fatalf("cell %d holds two points", i)
		}
		seen[i] = true
	}
}

// Over seeds, the first point is uniform: no place is favoured.
func TestScrambleIsUnbiased(t *testing.T) {
	const n, bins = 4000, 10
	var count [3][bins]int
	p := make([]float64, 3)
	for seed := range uint64(n) {
		NewSobol(3, seed*0x9e3779b97f4a7c15).At(0, p)
		for c, v := range p {
			count[c][int(v*bins)]++
		}
	}
	for c := range count {
		chi2 := 0.0
		for _, k := range count[c] {
			d := float64(k) - n/bins
			chi2 += d * d / (n / bins)
		}
		if chi2 > 33.7 { // 9 degrees of freedom, one in ten thousand
			t.Errorf("coordinate %d: counts %v, χ² %.1f", c, count[c], chi2)
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	a, b := make([]float64, 4), make([]float64, 4)
	NewSobol(4, 1).At(5, a)
	NewSobol(4, 2).At(5, b)
	for c := range a {
		if math.Abs(a[c]-b[c]) < 1e-9 {
			t.Errorf("coordinate %d is %v for both seeds", c, a[c])
		}
	}
}
