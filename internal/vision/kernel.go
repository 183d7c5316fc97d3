package vision

import (
	"fmt"
	"math"
	"sync"
)

// Filter names a resampling filter, as Pillow's Image.Resampling does.
type Filter string

const (
	// Bilinear is the triangle filter: support 1.
	Bilinear Filter = "bilinear"
	// Bicubic is Keys' cubic with a = -0.5: support 2.
	Bicubic Filter = "bicubic"
)

// weight is the filter's value at distance x.
func (f Filter) weight(x float64) float64 {
	x = math.Abs(x)
	if f == Bilinear {
		if x < 1 {
			return 1 - x
		}
		return 0
	}
	const a = -0.5
	// float64(…) around each product keeps the compiler from fusing it with the
	// sum: fused results differ in the last bit, and with it from Pillow's.
	switch {
	case x < 1:
		return float64(float64(float64(float64((a+2.0)*x)-(a+3.0))*x)*x) + 1
	case x < 2:
		return float64(float64(float64(float64(float64(x-5)*x)+8)*x)-4) * a
	}
	return 0
}

func (f Filter) support() float64 {
	if f == Bilinear {
		return 1
	}
	return 2
}

// check is the one place that knows which names exist.
func (f Filter) check() error {
	if f != Bilinear && f != Bicubic {
		return fmt.Errorf("vision: unknown filter %q (known: %s, %s)", f, Bilinear, Bicubic)
	}
	return nil
}

// precision is the number of fraction bits of a kernel weight. Pillow derives it
// from 8-bit samples and 32-bit sums: 32 - 8 - 2.
const precision = 32 - 8 - 2

// axis is one dimension of a resize: in samples become out, of which [lo, hi)
// are wanted.
type axis struct {
	in, out, lo, hi int
	filter          Filter
}

// kernel holds the weights of an axis' wanted outputs. Output i (counted from
// lo) is the sum over t in [0, taps) of weights[i*taps+t] * sample[first[i]+t].
//
// Every output has the same number of taps, so that the loops over it are plain;
// where Pillow has fewer, the rest are zero. A weight is a signed fixed-point
// number widened to 64 bits in two's complement: multiplied with a word that
// holds two samples 32 bits apart it gives both products at once (see weigh.go).
type kernel struct {
	taps    int
	first   []int
	weights []uint64
}

// newKernel repeats Pillow's precompute_coeffs and normalize_coeffs_8bpc, down to
// the order of the floating-point operations.
func newKernel(a axis) *kernel {
	scale := float64(a.in) / float64(a.out)
	filterScale := math.Max(scale, 1)
	support := a.filter.support() * filterScale
	invScale := 1 / filterScale

	center := func(i int) float64 { return float64((float64(a.lo+i) + 0.5) * scale) }
	reach := func(i int) (first, last int) {
		return max(int(center(i)-support+0.5), 0), min(int(center(i)+support+0.5), a.in)
	}
	n, taps := a.hi-a.lo, 0
	for i := range n {
		first, last := reach(i)
		taps = max(taps, last-first)
	}
	k := &kernel{taps: taps, first: make([]int, n), weights: make([]uint64, n*taps)}
	raw := make([]float64, taps)
	for i := range n {
		first, last := reach(i)
		sum := 0.0
		for t := range last - first {
			raw[t] = a.filter.weight(float64((float64(t+first) - center(i) + 0.5) * invScale))
			sum += raw[t]
		}
		// Near the far edge there is no room for all taps behind the first:
		// start earlier and give those that come before it no weight.
		start := min(first, a.in-taps)
		k.first[i] = start
		for t := range last - first {
			k.weights[i*taps+first-start+t] = fixed(raw[t], sum)
		}
	}
	return k
}

// fixed is w/sum as a fixed-point number, rounded half away from zero.
func fixed(w, sum float64) uint64 {
	if sum != 0 {
		w /= sum
	}
	v := float64(w * (1 << precision))
	if v < 0 {
		return uint64(int64(v - 0.5))
	}
	return uint64(int64(v + 0.5))
}

// of is the weights of output i.
func (k *kernel) of(i int) []uint64 { return k.weights[i*k.taps:][:k.taps] }

// span is the range of samples that the wanted outputs read.
func (k *kernel) span() (lo, hi int) {
	return k.first[0], k.first[len(k.first)-1] + k.taps
}

// kernelCache keeps kernels of the sizes seen lately: a folder of photos has few
// distinct sizes, and computing weights costs as much as resampling some rows.
type kernelCache struct {
	mu      sync.Mutex
	m       map[axis]*kernel
	weights int // of all kernels in m
}

// maxCachedWeights bounds the cache at 4 MiB: several hundred kernels of ordinary
// photos, or a few of very large ones.
const maxCachedWeights = 4 << 20 / 8

func (c *kernelCache) get(a axis) *kernel {
	c.mu.Lock()
	k := c.m[a]
	c.mu.Unlock()
	if k != nil {
		return k
	}
	k = newKernel(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || c.weights+len(k.weights) > maxCachedWeights {
		c.m, c.weights = make(map[axis]*kernel), 0 // starting over is simpler than an order of use, and as rare
	}
	if c.m[a] == nil && len(k.weights) <= maxCachedWeights {
		c.m[a] = k
		c.weights += len(k.weights)
	}
	return k
}
