package backbone

import (
	"fmt"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/graph"
)

// resnetEps is PyTorch's default for batch normalisations.
const resnetEps = 1e-5

// resnetBlock is the kind of a ResNet's blocks.
type resnetBlock struct {
	expansion int // output channels for each of the stage's
	// convs adds the convolutions of the main path; the last has no activation
	// yet. The stride is the block's, width the stage's number of channels.
	convs func(b *builder, prefix string, width, stride int)
}

// basicBlock: two convolutions of 3×3, the first of which strides.
var basicBlock = resnetBlock{expansion: 1, convs: func(b *builder, prefix string, width, stride int) {
	b.centred(prefix+"conv1", prefix+"bn1", width, 3, stride)
	b.relu()
	b.centred(prefix+"conv2", prefix+"bn2", width, 3, 1)
}}

// bottleneck: 1×1, 3×3, 1×1. The 3×3 strides, as torchvision has it and unlike
// the paper.
var bottleneck = resnetBlock{expansion: 4, convs: func(b *builder, prefix string, width, stride int) {
	b.centred(prefix+"conv1", prefix+"bn1", width, 1, 1)
	b.relu()
	b.centred(prefix+"conv2", prefix+"bn2", width, 3, stride)
	b.relu()
	b.centred(prefix+"conv3", prefix+"bn3", 4*width, 1, 1)
}}

// resnetSpec describes a ResNet by its kind of block and how many of them its
// four stages have.
func resnetSpec(depth int, block resnetBlock, blocks ...int) (Spec, error) {
	item, err := assets.ResNet(depth)
	if err != nil {
		return Spec{}, err
	}
	return Spec{
		InputSize:  224,
		FeatureDim: 512 * block.expansion,
		Item:       item,
		fc:         "fc",
		build:      func(b *builder) { buildResNet(b, block, blocks) },
	}, nil
}

func buildResNet(b *builder, block resnetBlock, blocks []int) {
	b.centred("conv1", "bn1", 64, 7, 2)
	b.relu()
	b.maxPool()
	width := 64
	for stage, n := range blocks {
		for i := range n {
			stride := 1
			if i == 0 && stage > 0 {
				stride = 2
			}
			b.residual(fmt.Sprintf("layer%d.%d.", stage+1, i), block, width, stride)
		}
		width *= 2
	}
}

// residual adds a block: its convolutions beside a shortcut, which is a 1×1
// convolution where the shapes differ.
func (b *builder) residual(prefix string, block resnetBlock, width, stride int) {
	in := *b
	block.convs(b, prefix, width, stride)
	if b.err != nil {
		return
	}
	main := *b
	b.x, b.channels, b.size = in.x, in.channels, in.size
	if stride != 1 || in.channels != main.channels {
		b.centred(prefix+"downsample.0", prefix+"downsample.1", main.channels, 1, stride)
	}
	b.add(main.x)
	b.relu()
}

// centred adds a convolution with the same number of zeros on every side.
func (b *builder) centred(name, norm string, out, kernel, stride int) {
	b.conv(conv{weight: name + ".weight", norm: norm, eps: resnetEps, out: out, kernel: kernel, stride: stride,
		groups: 1, pads: [2]int{kernel / 2, kernel / 2}})
}

// maxPool halves the positions: 3×3, stride 2.
func (b *builder) maxPool() {
	if b.err != nil {
		return
	}
	b.x = b.g.Op("MaxPool", graph.Attrs{
		"kernel_shape": []int64{3, 3}, "strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1},
	}, b.x)
	b.size = (b.size+2-3)/2 + 1
}
