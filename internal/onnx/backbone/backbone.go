package backbone

import (
	"errors"
	"fmt"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/onnx/pth"
	"github.com/musher/musher/internal/vision"
)

// Names of a model's input and outputs.
const (
	Input    = "image"
	Features = "features"
	Logits   = "logits"
)

// Classes is the number of ImageNet classes, the length of the logits.
const Classes = 1000

// opset is the version of the ONNX operators that models are written for.
const opset = 17

// builderVersion is part of a built model's file name: raise it whenever the
// same weights begin to give another model.
const builderVersion = 1

var (
	// ErrUnknown is wrapped for a name that no backbone has.
	ErrUnknown = errors.New("unknown backbone")
	// ErrWeights is wrapped when weights belong to another network.
	ErrWeights = errors.New("weights do not fit")
)

// Spec describes a backbone.
type Spec struct {
	Name       string
	InputSize  int               // S: the input is [N, 3, S, S]
	FeatureDim int               // D: the features are [N, D]
	Preprocess vision.Preprocess // how a photo becomes the input
	Item       assets.Item       // the published weights

	build func(b *builder) // the architecture
	fc    string           // prefix of the classifier's tensors
}

// Names lists the backbones, the default first.
func Names() []string {
	return []string{"efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "resnet18", "resnet34", "resnet50"}
}

// Get finds a backbone by name.
func Get(name string) (Spec, error) {
	var s Spec
	var err error
	switch name {
	case "efficientnet-lite0":
		s, err = liteSpec(0, 224, 1.0, 1.0)
	case "efficientnet-lite1":
		s, err = liteSpec(1, 240, 1.0, 1.1)
	case "efficientnet-lite2":
		s, err = liteSpec(2, 260, 1.1, 1.2)
	case "resnet18":
		s, err = resnetSpec(18, basicBlock, 2, 2, 2, 2)
	case "resnet34":
		s, err = resnetSpec(34, basicBlock, 3, 4, 6, 3)
	case "resnet50":
		s, err = resnetSpec(50, bottleneck, 3, 4, 6, 3)
	default:
		return Spec{}, fmt.Errorf("%w %q (known: %v)", ErrUnknown, name, Names())
	}
	if err != nil {
		return Spec{}, err
	}
	s.Name = name
	s.Preprocess, err = vision.Preset(name)
	return s, err
}

// Build makes the ONNX model of a backbone. Weights of another network, or of
// another depth or width of the same one, are refused with ErrWeights.
func Build(s Spec, weights *pth.StateDict) ([]byte, error) {
	return marshal(s, weights, false)
}

// BuildWithLogits is Build with the classifier that the weights were trained
// with as a second output.
func BuildWithLogits(s Spec, weights *pth.StateDict) ([]byte, error) {
	return marshal(s, weights, true)
}

func marshal(s Spec, weights *pth.StateDict, logits bool) ([]byte, error) {
	take := taker{weights: weights, used: map[string]bool{}}
	g, err := assemble(s, take.tensor, logits)
	if err == nil {
		err = take.leftovers(s.fc)
	}
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", s.Name, err)
	}
	model, err := g.Marshal()
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", s.Name, err)
	}
	return model, nil
}

// assemble makes the graph of a backbone from a source of tensors.
func assemble(s Spec, tensors source, logits bool) (*graph.Graph, error) {
	b := &builder{g: graph.New(s.Name, opset), tensors: tensors, size: s.InputSize, channels: 3}
	b.x = b.g.Input(Input, graph.Float, "N", 3, s.InputSize, s.InputSize)
	s.build(b)
	features := b.pool()
	b.g.Output(Features, features, graph.Float, "N", s.FeatureDim)
	if logits {
		b.g.Output(Logits, b.linear(Features, s.fc, s.FeatureDim), graph.Float, "N", Classes)
	}
	if b.err != nil {
		return nil, b.err
	}
	return b.g, b.g.Err()
}
