package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/train/features"
	"github.com/musher/musher/internal/vision"
)

// Backbone is a network that turns a photo into features, as an ONNX model with
// one input [N,3,S,S] and an output "features" [N,D] (or a single output of any name).
type Backbone struct {
	Name       string
	Model      []byte // not changed, and kept by the run
	SHA256     string // of Model, in hex; worked out when empty
	Preprocess vision.Preprocess
}

// Resolver finds a backbone by its name: one of the values of the
// hyperparameter backbone.
type Resolver func(ctx context.Context, name string) (Backbone, error)

// featuresName is the output of a backbone, and what heads read.
const featuresName = "features"

// backbone is a Backbone made ready: its graph cut down to the features.
type backbone struct {
	Backbone
	graph *graph.Graph
	dim   int
	side  int
}

func newBackbone(b Backbone) (*backbone, error) {
	if err := b.Preprocess.Check(); err != nil {
		return nil, fmt.Errorf("backbone %s: %w", b.Name, err)
	}
	if b.SHA256 == "" {
		sum := sha256.Sum256(b.Model)
		b.SHA256 = hex.EncodeToString(sum[:])
	}
	g, err := graph.Parse(b.Model)
	if err != nil {
		return nil, fmt.Errorf("backbone %s: %w", b.Name, err)
	}
	if err := trim(g); err != nil {
		return nil, fmt.Errorf("backbone %s: %w", b.Name, err)
	}
	prepared := &backbone{Backbone: b, graph: g, side: b.Preprocess.Crop}
	if prepared.dim, err = checkShapes(g, prepared.side); err != nil {
		return nil, fmt.Errorf("backbone %s: %w", b.Name, err)
	}
	return prepared, nil
}

// trim leaves only what the features need, under the names used here.
func trim(g *graph.Graph) error {
	out := graph.Value(featuresName)
	if !slices.ContainsFunc(g.Outputs, func(o graph.ValueInfo) bool { return o.Name == out }) {
		if len(g.Outputs) != 1 {
			return fmt.Errorf("none of its %d outputs is called %s", len(g.Outputs), featuresName)
		}
		out = g.Outputs[0].Name
	}
	if err := g.Prune(out); err != nil {
		return err
	}
	if len(g.Inputs) != 1 {
		return fmt.Errorf("it has %d inputs; one is expected", len(g.Inputs))
	}
	return errors.Join(g.Rename(out, featuresName), g.Rename(g.Inputs[0].Name, model.Input))
}

// checkShapes gives the number of features.
func checkShapes(g *graph.Graph, side int) (int, error) {
	in, out := g.Inputs[0], g.Outputs[0]
	fits := func(d graph.Dim, want int) bool { return d.Size < 0 || d.Size == int64(want) }
	if in.Type != graph.Float || len(in.Shape) != 4 || !fits(in.Shape[1], 3) || !fits(in.Shape[2], side) || !fits(in.Shape[3], side) {
		return 0, fmt.Errorf("its input is not float32 [N,3,%d,%d]", side, side)
	}
	if out.Type != graph.Float || len(out.Shape) != 2 || out.Shape[1].Size < 1 {
		return 0, fmt.Errorf("its output is not float32 [N,D] with a fixed D")
	}
	return int(out.Shape[1].Size), nil
}

// classifier joins the backbone and a head.
func (b *backbone) classifier(head *graph.Graph) (*graph.Graph, error) {
	g, err := graph.Append(b.graph, head, map[string]graph.Value{featuresName: featuresName})
	if err != nil {
		return nil, err
	}
	g.Name = b.Name
	return g, nil
}

// open prepares the backbone to run in the calling thread.
func (b *backbone) open(lib *ort.Library) (features.Network, error) {
	onnx, err := b.graph.Marshal()
	if err != nil {
		return nil, err
	}
	session, err := lib.NewSession(onnx, ort.Options{IntraThreads: 1, InterThreads: 1})
	if err != nil {
		return nil, err
	}
	return &network{session, b.side, b.dim}, nil
}

// network runs a model [1,3,side,side] → [1,dim] for package features. One
// session serves all goroutines: each run works in its caller's thread, and the
// weights are in memory once.
type network struct {
	session   *ort.Session
	side, dim int
}

func (n *network) Bind(in, out []float32) (features.Run, error) {
	return n.session.Bind(
		[]ort.Tensor{ort.Of(in, 1, 3, int64(n.side), int64(n.side))},
		[]ort.Tensor{ort.Of(out, 1, int64(n.dim))})
}

func (n *network) Close() { n.session.Close() }

// loader is the preprocessing with a JPEG decoder. The decoder is part of its
// key, because the pixels of two decoders differ a little.
type loader struct {
	vision.Preprocess
	decoder *vision.Decoder
}

func newLoader(p vision.Preprocess) (loader, error) {
	d, err := vision.NewDecoder(vision.Options{})
	return loader{p, d}, err
}

func (l loader) Key() string { return l.Preprocess.Key() + " " + l.decoder.JPEG() }

func (l loader) Load(b []byte, dst []float32) error { return l.decoder.Load(b, l.Preprocess, dst) }
