package head

import (
	"github.com/musher/musher/internal/onnx/graph"
)

// opset 17 is served by every ONNX Runtime that the binding loads.
const opset = 17

// param is one tensor of parameters: a layer's weights or its bias.
type param struct {
	name string
	dims []int64
}

func (p param) size() int {
	n := int64(1)
	for _, d := range p.dims {
		n *= d
	}
	return int(n)
}

// bias says whether p is a bias: those do not decay.
func (p param) bias() bool { return len(p.dims) == 1 }

// network is a head's shape.
type network struct{ dim, hidden, classes int }

// params lists the parameters in the order that every graph takes them.
func (n network) params() []param {
	d, h, c := int64(n.dim), int64(n.hidden), int64(n.classes)
	if n.hidden == 0 {
		return []param{{"w", []int64{d, c}}, {"b", []int64{c}}}
	}
	return []param{{"w1", []int64{d, h}}, {"b1", []int64{h}}, {"w2", []int64{h, c}}, {"b2", []int64{c}}}
}

// forward adds the layers and gives the logits [B, classes]. With a hidden
// layer, hidden is its output, multiplied by mask unless that is empty.
func (n network) forward(g *graph.Graph, x graph.Value, p []graph.Value, mask graph.Value) (logits, hidden graph.Value) {
	if n.hidden == 0 {
		return g.Op("Gemm", nil, x, p[0], p[1]), ""
	}
	hidden = g.Op("Relu", nil, g.Op("Gemm", nil, x, p[0], p[1]))
	if mask != "" {
		hidden = g.Op("Mul", nil, hidden, mask)
	}
	return g.Op("Gemm", nil, hidden, p[2], p[3]), hidden
}

// scoreGraph computes log probabilities: inputs x and the parameters, output [B, classes].
func (n network) scoreGraph() *graph.Graph {
	g := graph.New("score", opset)
	x := g.Input("x", graph.Float, "B", n.dim)
	logits, _ := n.forward(g, x, n.inputs(g, ""), "")
	g.Output("log_probabilities", g.Op("LogSoftmax", graph.Attrs{"axis": -1}, logits), graph.Float, "B", n.classes)
	return g
}

// inputs declares an input for each parameter, its name behind a prefix.
func (n network) inputs(g *graph.Graph, prefix string) []graph.Value {
	var in []graph.Value
	for _, p := range n.params() {
		dims := make([]any, len(p.dims))
		for i, d := range p.dims {
			dims[i] = d
		}
		in = append(in, g.Input(prefix+p.name, graph.Float, dims...))
	}
	return in
}

// stepGraph computes one step of training.
//
//	inputs   x [B,dim], y [B] int64, per [1] (1/B), mask [B,hidden] if dropout is
//	         in the hidden layer, the optimiser's scalars [1], the parameters,
//	         the moments
//	outputs  the new parameters, the new moments, loss [1] (the batch's sum)
func (n network) stepGraph(c Config) *graph.Graph {
	g := graph.New("step", opset)
	x := g.Input("x", graph.Float, "B", n.dim)
	y := g.Input("y", graph.Int64, "B")
	per := g.Input("per", graph.Float, 1)
	mask := graph.Value("")
	if n.masks(c) {
		mask = g.Input("mask", graph.Float, "B", n.hidden)
	}
	o := newOptimizer(c)
	o.scalars(g)
	weights := n.inputs(g, "")
	o.moments(g, n)

	logits, hidden := n.forward(g, x, weights, mask)
	delta, loss := n.crossEntropy(g, c.LabelSmoothing, logits, y, per)
	last := len(weights) - 2
	input := x
	if n.hidden > 0 {
		input = hidden
	}
	o.weights(last, input, delta)
	o.biases(last+1, delta)
	if n.hidden > 0 {
		delta = n.back(g, delta, weights[2], hidden, mask)
		o.weights(0, x, delta)
		o.biases(1, delta)
	}
	o.outputs(g, n, weights)
	g.Output("loss", loss, graph.Float, 1)
	return g
}

// masks says whether dropout works on the hidden layer; without one it works on
// the features, before they reach the graph.
func (n network) masks(c Config) bool { return c.Dropout > 0 && n.hidden > 0 }

// crossEntropy gives the batch's loss and its gradient by the logits:
// (softmax − target) / B.
func (n network) crossEntropy(g *graph.Graph, smoothing float64, logits, y, per graph.Value) (delta, loss graph.Value) {
	low := float32(smoothing / float64(n.classes))
	target := g.Op("OneHot", graph.Attrs{"axis": -1}, y,
		g.Ints("classes", int64(n.classes)), g.Floats("target", low, low+float32(1-smoothing)))
	logp := g.Op("LogSoftmax", graph.Attrs{"axis": -1}, logits)
	likelihood := g.Op("ReduceSum", graph.Attrs{"keepdims": 0}, g.Op("Mul", nil, target, logp))
	loss = g.Op("Reshape", nil, g.Op("Neg", nil, likelihood), g.Ints("one", 1))
	delta = g.Op("Mul", nil, g.Op("Sub", nil, g.Op("Exp", nil, logp), target), per)
	return delta, loss
}

// back carries the gradient through the last layer and the hidden layer's ReLU.
// The hidden output is positive just where its ReLU was open and its unit not
// left out; a unit that was kept was also scaled.
func (n network) back(g *graph.Graph, delta, w2, hidden, mask graph.Value) graph.Value {
	d := g.Op("Gemm", graph.Attrs{"transB": 1}, delta, w2)
	d = g.Op("Mul", nil, d, g.Op("Sign", nil, hidden))
	if mask != "" {
		d = g.Op("Mul", nil, d, mask)
	}
	return d
}
