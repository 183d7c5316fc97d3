package backbone

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/onnx/pth"
)

// source gives the tensor of a name, which must have that shape.
type source func(name string, shape ...int64) ([]float32, error)

// taker gives tensors of a state dict and remembers which.
type taker struct {
	weights *pth.StateDict
	used    map[string]bool
}

func (t *taker) tensor(name string, shape ...int64) ([]float32, error) {
	w, ok := t.weights.Get(name)
	if !ok {
		return nil, fmt.Errorf("%w: tensor %q is missing", ErrWeights, name)
	}
	if !slices.Equal(w.Shape, shape) {
		return nil, fmt.Errorf("%w: tensor %q has shape %v instead of %v", ErrWeights, name, w.Shape, shape)
	}
	t.used[name] = true
	return w.Data, nil
}

// leftovers refuses weights of which the network uses only a part: those of a
// deeper one would otherwise pass. The classifier may stay unused.
func (t *taker) leftovers(fc string) error {
	for _, w := range t.weights.Tensors {
		if !t.used[w.Name] && !strings.HasPrefix(w.Name, fc+".") {
			return fmt.Errorf("%w: tensor %q has no place in this network", ErrWeights, w.Name)
		}
	}
	return nil
}

// builder strings layers together: x is the value that the next layer reads, of
// the given number of channels and positions a side. The first mistake is kept;
// after it nothing more is added.
type builder struct {
	g        *graph.Graph
	tensors  source
	x        graph.Value
	channels int
	size     int
	err      error
}

// conv is a convolution with a batch normalisation behind it.
type conv struct {
	weight string // the convolution's tensor
	norm   string // prefix of the normalisation's tensors
	eps    float64
	out    int // channels
	kernel int
	stride int
	groups int
	pads   [2]int // zeros before (above, left) and after (below, right)
}

// conv adds a convolution with its batch normalisation folded in.
func (b *builder) conv(c conv) {
	if b.err != nil {
		return
	}
	w, bias, err := c.fold(b.tensors, b.channels/c.groups)
	if err != nil {
		b.err = err
		return
	}
	k, s := int64(c.kernel), int64(c.stride)
	before, after := int64(c.pads[0]), int64(c.pads[1])
	weight := b.g.Const(c.weight, []int64{int64(c.out), int64(b.channels / c.groups), k, k}, w)
	b.x = b.g.Op("Conv", graph.Attrs{
		"kernel_shape": []int64{k, k},
		"strides":      []int64{s, s},
		"pads":         []int64{before, before, after, after},
		"group":        c.groups,
	}, b.x, weight, b.g.Floats(c.norm+".folded", bias...))
	b.channels = c.out
	b.size = (b.size+c.pads[0]+c.pads[1]-c.kernel)/c.stride + 1
}

// fold returns the weights and the bias of the convolution that computes what
// the convolution and the normalisation y = (x - mean) / sqrt(var + eps) · γ + β
// compute together.
func (c conv) fold(tensors source, in int) (w, bias []float32, err error) {
	out, k := int64(c.out), int64(c.kernel)
	raw, err := tensors(c.weight, out, int64(in), k, k)
	if err != nil {
		return nil, nil, err
	}
	var norm [4][]float32
	for i, part := range [4]string{"weight", "bias", "running_mean", "running_var"} {
		if norm[i], err = tensors(c.norm+"."+part, out); err != nil {
			return nil, nil, err
		}
	}
	gamma, beta, mean, variance := norm[0], norm[1], norm[2], norm[3]
	w, bias = make([]float32, len(raw)), make([]float32, c.out)
	per := len(raw) / c.out
	for o := range c.out {
		scale := float64(gamma[o]) / math.Sqrt(float64(variance[o])+c.eps)
		bias[o] = float32(float64(beta[o]) - float64(mean[o])*scale)
		for i := o * per; i < (o+1)*per; i++ {
			w[i] = float32(float64(raw[i]) * scale)
		}
	}
	return w, bias, nil
}

func (b *builder) relu() { b.op("Relu") }

// relu6 is min(max(x, 0), 6).
func (b *builder) relu6() {
	const low, high = "relu6.low", "relu6.high"
	if b.err == nil && b.g.FindConst(low) == nil {
		b.g.Const(low, nil, []float32{0})
		b.g.Const(high, nil, []float32{6})
	}
	b.op("Clip", low, high)
}

// add sums x and another value of the same shape.
func (b *builder) add(other graph.Value) { b.op("Add", other) }

// op applies an operator without attributes to x and more inputs.
func (b *builder) op(name string, more ...graph.Value) {
	if b.err == nil {
		b.x = b.g.Op(name, nil, append([]graph.Value{b.x}, more...)...)
	}
}

// pool gives the mean over all positions, [N, channels].
func (b *builder) pool() graph.Value {
	if b.err != nil {
		return ""
	}
	return b.g.Op("Flatten", graph.Attrs{"axis": 1}, b.g.Op("GlobalAveragePool", nil, b.x))
}

// linear is x·Wᵀ + b over [N, in].
func (b *builder) linear(x graph.Value, prefix string, in int) graph.Value {
	if b.err != nil {
		return ""
	}
	w, err := b.tensors(prefix+".weight", Classes, int64(in))
	if err != nil {
		b.err = err
		return ""
	}
	bias, err := b.tensors(prefix+".bias", Classes)
	if err != nil {
		b.err = err
		return ""
	}
	return b.g.Op("Gemm", graph.Attrs{"transB": 1}, x,
		b.g.Const(prefix+".weight", []int64{Classes, int64(in)}, w), b.g.Floats(prefix+".bias", bias...))
}
