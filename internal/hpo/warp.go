package hpo

import (
	"math"
	"slices"
)

// A warp is an increasing function that the objective goes through before it is
// modelled: the logarithm of its distance to one end of its range,
//
//	z = log(y - best + c)     spreads the good values and draws in the bad ones
//	z = -log(worst - y + c)   spreads the bad values: most are the same, some are much better
//
// standardised. c is given in distances of the median from that end.
type warp struct {
	c     float64 // infinite: z = y, standardised
	worst bool    // from the worst value, not from the best
}

// plain leaves the objective as it is.
var plain = warp{c: math.Inf(1)}

// warpFamilies are the warps that the evidence chooses from besides plain: two
// families, the weakest first in each.
func warpFamilies() [2][]warp {
	return [2][]warp{
		{{c: 1}, {c: 0.1}, {c: 0.01}, {c: 0.001}},
		{{c: 1, worst: true}, {c: 0.1, worst: true}, {c: 0.01, worst: true}},
	}
}

// apply returns the warped values and the logarithm of the warp's derivative,
// summed over all values but the one at the end. With that sum added, the
// densities of the same values under different warps can be compared (Snelson,
// Rasmussen and Ghahramani, "Warped Gaussian processes", 2003). The value at the
// end is left out because as c goes to 0 its term, alone, would go to infinity.
func (w warp) apply(y []float64) (z []float64, logSlope float64) {
	z = slices.Clone(y)
	if w.worst {
		negate(z)
	}
	sorted := slices.Clone(z)
	slices.Sort(sorted)
	end, c := sorted[0], w.c*(sorted[len(sorted)/2]-sorted[0])
	if !math.IsInf(w.c, 1) && c > 0 && !math.IsInf(c, 1) {
		for i, v := range z {
			z[i] = math.Log(v - end + c)
			logSlope -= z[i]
		}
		logSlope += math.Log(c)
	}
	if w.worst {
		negate(z)
	}
	sd := standardise(z)
	return z, logSlope - float64(len(y)-1)*math.Log(sd)
}

func negate(z []float64) {
	for i := range z {
		z[i] = -z[i]
	}
}

// standardise gives z mean 0 and standard deviation 1 and returns the
// deviation that it had. Values that are all equal become 0, and 1 is returned.
func standardise(z []float64) (sd float64) {
	// Scaled first: squares of the largest floats would be infinite.
	scale := 0.0
	for _, v := range z {
		scale = max(scale, math.Abs(v))
	}
	mean, n := 0.0, float64(len(z))
	for i := range z {
		if scale > 0 {
			z[i] /= scale
		}
		mean += z[i] / n
	}
	for _, v := range z {
		sd += (v - mean) * (v - mean) / n
	}
	if sd = math.Sqrt(sd); !(sd > 1e-15) { // all equal but for rounding
		clear(z)
		return 1
	}
	for i := range z {
		z[i] = (z[i] - mean) / sd
	}
	return sd * scale
}
