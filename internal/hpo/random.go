package hpo

import "math/rand/v2"

// randomSearch draws each trial independently and uniformly on its scales.
// Trial number i has a random stream of its own, so neither parallelism nor a
// restart changes what it draws.
type randomSearch struct {
	axes []axis
	seed uint64
}

func (r randomSearch) Suggest(history []Trial, n int) ([]map[string]string, error) {
	out := make([]map[string]string, 0, n)
	for i := range n {
		rng := stream(r.seed, uint64(len(history)+i))
		out = append(out, format(r.axes, randomPoint(r.axes, rng)))
	}
	return out, nil
}

func randomPoint(axes []axis, rng *rand.Rand) []float64 {
	point := make([]float64, len(axes))
	for i, a := range axes {
		point[i] = a.fromUnit(rng.Float64())
	}
	return point
}

// stream is the random stream of one trial.
func stream(seed, trial uint64) *rand.Rand {
	return rand.New(rand.NewPCG(mix(seed), mix(trial+0x9e3779b97f4a7c15)))
}

// mix spreads close numbers over all 64 bits (the finaliser of SplitMix64).
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}
