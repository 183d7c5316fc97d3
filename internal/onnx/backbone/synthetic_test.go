package backbone

import (
	"hash/fnv"
	"math"
	"strings"
	"testing"

	"github.com/musher/musher/internal/onnx/pth"
)

// Made-up weights and a made-up image, the same as testdata/facts.py makes: so
// the graphs can be compared with PyTorch's where no weights can be had.

// uniform gives n numbers in [0, 1), multiples of 2^-24: splitmix64 seeded with
// the FNV-1a hash of the name.
func uniform(name string, n int) []float64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	state := h.Sum64()
	out := make([]float64, n)
	for i := range out {
		state += 0x9E3779B97F4A7C15
		z := state
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		out[i] = float64(z>>40) / (1 << 24)
	}
	return out
}

// syntheticWeight is facts.py's weight.
func syntheticWeight(name string, shape []int64) []float32 {
	n, fanIn := int64(1), int64(1)
	for i, d := range shape {
		n *= d
		if i > 0 {
			fanIn *= d
		}
	}
	role := syntheticRole(name, shape, math.Sqrt(3*1.5/float64(fanIn)))
	v := make([]float32, n)
	for i, u := range uniform(name, int(n)) {
		v[i] = float32(role(u))
	}
	return v
}

// syntheticRole maps [0, 1) to the range that a tensor's role calls for.
func syntheticRole(name string, shape []int64, spread float64) func(u float64) float64 {
	switch {
	case strings.HasSuffix(name, "running_var"):
		return func(u float64) float64 { return 0.5 + u }
	case strings.HasSuffix(name, ".bn2.weight"), strings.HasSuffix(name, ".bn3.weight"):
		return func(u float64) float64 { return 0.2 + 0.1*u }
	case len(shape) == 1 && strings.HasSuffix(name, "weight"):
		return func(u float64) float64 { return 0.8 + 0.4*u }
	case len(shape) == 1:
		return func(u float64) float64 { return 0.4*u - 0.2 }
	default:
		return func(u float64) float64 { return (2*u - 1) * spread }
	}
}

// syntheticState makes all tensors that a backbone asks for.
func syntheticState(t testing.TB, s Spec) *pth.StateDict {
	return stateOf(t, s, syntheticWeight)
}

// hollowState has the right names and shapes, and zeros.
func hollowState(t testing.TB, s Spec) *pth.StateDict {
	return stateOf(t, s, func(_ string, shape []int64) []float32 {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		return make([]float32, n)
	})
}

func stateOf(t testing.TB, s Spec, fill func(name string, shape []int64) []float32) *pth.StateDict {
	t.Helper()
	var tensors []pth.Tensor
	record := func(name string, shape ...int64) ([]float32, error) {
		v := fill(name, shape)
		tensors = append(tensors, pth.Tensor{Name: name, Shape: shape, Data: v})
		return v, nil
	}
	if _, err := assemble(s, record, true); err != nil {
		t.Fatal(err)
	}
	return pth.NewStateDict(tensors)
}

func syntheticImage(size int) []float32 {
	v := make([]float32, 3*size*size)
	for i, u := range uniform("image", len(v)) {
		v[i] = float32(2*u - 1)
	}
	return v
}
