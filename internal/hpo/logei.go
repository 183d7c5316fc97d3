package hpo

import "math"

const logSqrt2Pi = 0.918938533204672741780329736406

// logImprovement returns log h(z) for h(z) = φ(z) + zΦ(z), the expected
// improvement in standard deviations where the model's mean lies z of them
// below the best value, and the ratios Φ(z)/h(z) and φ(z)/h(z) of which its
// derivatives are made. It keeps its precision however unlikely an
// improvement is, where h itself is 0 in floating point (Ament et al.,
// "Unexpected improvements to expected improvement", 2023).
func logImprovement(z float64) (logH, cdf, pdf float64) {
	logPhi := -z*z/2 - logSqrt2Pi
	if z > -12 {
		phi, c := math.Exp(logPhi), math.Erfc(-z/math.Sqrt2)/2
		h := phi + z*c
		return math.Log(h), c / h, phi / h
	}
	// h/φ = 1 - |z|·R(|z|) by the asymptotic series of the Mills ratio R.
	q := 1 / (z * z)
	t := q * (1 - q*(3-q*(15-q*(105-q*(945-q*10395)))))
	return logPhi + math.Log(t), (1 - t) / (-z * t), 1 / t
}

// logCDF returns log Φ(z) and its derivative, however small Φ is.
func logCDF(z float64) (logP, slope float64) {
	if z > -12 {
		c := math.Erfc(-z/math.Sqrt2) / 2
		return math.Log(c), math.Exp(-z*z/2-logSqrt2Pi) / c
	}
	q := 1 / (z * z)
	mills := (1 - q*(1-q*(3-q*(15-q*105)))) / -z // Φ/φ
	return -z*z/2 - logSqrt2Pi + math.Log(mills), 1 / mills
}
