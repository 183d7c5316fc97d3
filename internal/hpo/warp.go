package hpo

import (
	"math"
	"slices"
)

// A warp is an increasing function that the objective goes through before it is
// modelled: z = log(y - min y + c), standardised, or z = y standardised where c
// is infinite. It spreads the good values and draws in the bad ones, which may
// be worse by orders of magnitude, and it can only shorten the tail of the bad
// ones. c is a multiple of the distance from the best value to the median.
type warp float64

// warps are what the evidence chooses from, from none to strong.
func warps() []warp { return []warp{warp(math.Inf(1)), 1, 0.1, 0.01, 0.001} }

// apply returns the warped values and the logarithm of the warp's derivative,
// summed over all but the best value. With that sum added, the densities of the
// same values under different warps can be compared (Snelson, Rasmussen and
// Ghahramani, "Warped Gaussian processes", 2003). The best value is left out
// because as c goes to 0 its term, alone, would go to infinity.
func (w warp) apply(y []float64) (z []float64, logSlope float64) {
	sorted := slices.Clone(y)
	slices.Sort(sorted)
	best, c := sorted[0], float64(w)*(sorted[len(sorted)/2]-sorted[0])
	z = slices.Clone(y)
	if !math.IsInf(c, 1) && c > 0 {
		for i, v := range y {
			z[i] = math.Log(v - best + c)
			logSlope -= z[i]
		}
		logSlope += math.Log(c)
	}
	sd := standardise(z)
	return z, logSlope - float64(len(y)-1)*math.Log(sd)
}

// standardise gives z mean 0 and standard deviation 1 and returns the
// deviation that it had; values that are all equal become 0, and 1 is returned.
func standardise(z []float64) (sd float64) {
	mean, n := 0.0, float64(len(z))
	for _, v := range z {
		mean += v / n
	}
	for _, v := range z {
		sd += (v - mean) * (v - mean) / n
	}
	if sd = math.Sqrt(sd); !(sd > 0) || math.IsInf(sd, 0) {
		clear(z)
		return 1
	}
	for i := range z {
		z[i] = (z[i] - mean) / sd
	}
	return sd
}
