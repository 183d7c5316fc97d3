package backbone

import (
	"fmt"
	"math"

	"github.com/musher/musher/internal/assets"
)

// liteEps is the batch normalisations' epsilon, as in TensorFlow's original.
const liteEps = 1e-3

const (
	liteStem = 32   // channels of the first convolution, whatever the width
	liteHead = 1280 // channels of the last one, likewise
)

// liteStage is a run of alike blocks at width and depth 1.
type liteStage struct{ repeats, kernel, stride, expand, out int }

var liteStages = [...]liteStage{
	{1, 3, 1, 1, 16},
	{2, 3, 2, 6, 24},
	{2, 5, 2, 6, 40},
	{3, 3, 2, 6, 80},
	{3, 5, 1, 6, 112},
	{4, 5, 2, 6, 192},
	{1, 3, 1, 6, 320},
}

// liteSpec describes EfficientNet-Lite n at its input size and its multipliers
// of channels (width) and of repetitions (depth).
func liteSpec(n, size int, width, depth float64) (Spec, error) {
	item, err := assets.EfficientNetLite(n)
	if err != nil {
		return Spec{}, err
	}
	return Spec{
		InputSize:  size,
		FeatureDim: liteHead,
		Item:       item,
		fc:         "_fc",
		build:      func(b *builder) { buildLite(b, width, depth) },
	}, nil
}

func buildLite(b *builder, width, depth float64) {
	b.same(conv{weight: "_conv_stem.weight", norm: "_bn0", out: liteStem, kernel: 3, stride: 2, groups: 1})
	b.relu6()
	block := 0
	for i, s := range liteStages {
		repeats := int(math.Ceil(depth * float64(s.repeats)))
		if i == 0 || i == len(liteStages)-1 {
			repeats = s.repeats // like stem and head, the ends do not grow in depth
		}
		for r := range repeats {
			stride := s.stride
			if r > 0 {
				stride = 1
			}
			b.liteBlock(fmt.Sprintf("_blocks.%d.", block), s, stride, roundChannels(s.out, width))
			block++
		}
	}
	b.same(conv{weight: "_conv_head.weight", norm: "_bn1", out: liteHead, kernel: 1, stride: 1, groups: 1})
	b.relu6()
}

// liteBlock widens by 1×1, filters each channel by itself, narrows by 1×1, and
// adds its input where shapes agree. The narrow end has no activation.
func (b *builder) liteBlock(prefix string, s liteStage, stride, out int) {
	input, in := b.x, b.channels
	if s.expand != 1 {
		b.same(conv{weight: prefix + "_expand_conv.weight", norm: prefix + "_bn0", out: in * s.expand, kernel: 1, stride: 1, groups: 1})
		b.relu6()
	}
	b.same(conv{weight: prefix + "_depthwise_conv.weight", norm: prefix + "_bn1", out: b.channels, kernel: s.kernel, stride: stride, groups: b.channels})
	b.relu6()
	b.same(conv{weight: prefix + "_project_conv.weight", norm: prefix + "_bn2", out: out, kernel: 1, stride: 1, groups: 1})
	if stride == 1 && in == out {
		b.add(input)
	}
}

// same adds a convolution padded as TensorFlow's "SAME".
func (b *builder) same(c conv) {
	c.eps = liteEps
	c.pads = samePads(b.size, c.kernel, c.stride)
	b.conv(c)
}

// samePads gives the zeros before and after size positions that make
// ceil(size / stride) outputs; of an odd number the extra one goes after.
func samePads(size, kernel, stride int) [2]int {
	out := (size + stride - 1) / stride
	total := max((out-1)*stride+kernel-size, 0)
	return [2]int{total / 2, total - total/2}
}

// roundChannels scales a number of channels to a multiple of 8, never by more
// than a tenth downwards.
func roundChannels(channels int, width float64) int {
	const multiple = 8
	scaled := width * float64(channels)
	n := max(multiple, int(scaled+multiple/2)/multiple*multiple)
	if float64(n) < 0.9*scaled {
		n += multiple
	}
	return n
}
