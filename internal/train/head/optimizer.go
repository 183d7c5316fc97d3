package head

import (
	"math"

	"github.com/musher/musher/internal/onnx/graph"
)

// optimizer adds the updates of the parameters to a step's graph. Each kind
// keeps the number of element-wise operators small, since those, not the matrix
// products, are what a step waits for.
type optimizer interface {
	// scalars declares the inputs that change from step to step; values gives
	// them for step t = 1, 2, … at a learning rate.
	scalars(g *graph.Graph)
	values(t int, rate float64) []float32
	// count is the number of moments of each parameter.
	count() int
	// moments declares their inputs.
	moments(g *graph.Graph, n network)
	// weights and biases take the gradient of parameter i in the form in which
	// it is cheapest: layer input and delta, or delta alone.
	weights(i int, input, delta graph.Value)
	biases(i int, delta graph.Value)
	// outputs adds the updates themselves.
	outputs(g *graph.Graph, n network, weights []graph.Value)
}

func newOptimizer(c Config) optimizer {
	if c.Optimizer == SGD || c.Optimizer == NAG {
		return &sgd{c: c}
	}
	return &adam{c: c}
}

// gradients remembers, for each parameter, how to compute its gradient.
type gradients struct {
	input, delta map[int]graph.Value
}

func (s *gradients) weights(i int, input, delta graph.Value) {
	s.biases(i, delta)
	s.input[i] = input
}

func (s *gradients) biases(i int, delta graph.Value) {
	if s.delta == nil {
		s.input, s.delta = map[int]graph.Value{}, map[int]graph.Value{}
	}
	s.delta[i] = delta
}

// gradient is parameter i's.
func (s *gradients) gradient(g *graph.Graph, i int) graph.Value {
	if in, ok := s.input[i]; ok {
		return g.Op("Gemm", graph.Attrs{"transA": 1}, in, s.delta[i])
	}
	return g.Op("ReduceSum", graph.Attrs{"keepdims": 0}, s.delta[i], batchAxis(g))
}

// batchAxis is the constant 0, the axis over which a bias sums.
func batchAxis(g *graph.Graph) graph.Value {
	const name = "batch_axis"
	if g.FindConst(name) != nil {
		return name
	}
	return g.Ints(name, 0)
}

// sgd is stochastic gradient descent with momentum, plain or Nesterov's.
type sgd struct {
	c Config
	gradients
	rate     graph.Value
	velocity []graph.Value
}

func (s *sgd) scalars(g *graph.Graph)            { s.rate = g.Input("rate", graph.Float, 1) }
func (s *sgd) values(_ int, r float64) []float32 { return []float32{float32(r)} }
func (s *sgd) count() int                        { return 1 }
func (s *sgd) moments(g *graph.Graph, n network) { s.velocity = n.inputs(g, "v.") }

func (s *sgd) outputs(g *graph.Graph, n network, weights []graph.Value) {
	var updated, moved []graph.Value
	for i, p := range n.params() {
		var step graph.Value
		v := s.momentum(g, i)
		if s.c.WeightDecay > 0 && !p.bias() {
			v = g.Op("Add", nil, v, scaled(g, weights[i], "decay", s.c.WeightDecay))
		}
		step = v
		if s.c.Optimizer == NAG {
			// g + momentum·v, the gradient g being v − momentum·(old v).
			grad := g.Op("Sub", nil, v, scaled(g, s.velocity[i], "momentum", s.c.Momentum))
			step = g.Op("Add", nil, grad, scaled(g, v, "momentum", s.c.Momentum))
		}
		updated = append(updated, g.Op("Sub", nil, weights[i], g.Op("Mul", nil, step, s.rate)))
		moved = append(moved, v)
	}
	results(g, n, "new.", updated)
	results(g, n, "new.v.", moved)
}

// momentum is momentum·v + gradient, which for weights a single matrix product
// computes.
func (s *sgd) momentum(g *graph.Graph, i int) graph.Value {
	if in, ok := s.input[i]; ok {
		return g.Op("Gemm", graph.Attrs{"transA": 1, "beta": s.c.Momentum}, in, s.delta[i], s.velocity[i])
	}
	return g.Op("Add", nil, s.gradient(g, i), scaled(g, s.velocity[i], "momentum", s.c.Momentum))
}

// adam is Adam and AdamW. Its moments are kept without their factors 1 − beta,
//
//	m ← beta1·m + g,  v ← beta2·v + g²,
//
// and these, the bias corrections and the learning rate are drawn together into
// two scalars: the update is w ← w − a·m / (√v + e).
type adam struct {
	c Config
	gradients
	a, e, keep graph.Value
	m, v       []graph.Value
}

func (s *adam) scalars(g *graph.Graph) {
	s.a = g.Input("a", graph.Float, 1)
	s.e = g.Input("e", graph.Float, 1)
	if s.decoupled() {
		s.keep = g.Input("keep", graph.Float, 1)
	}
}

func (s *adam) decoupled() bool { return s.c.Optimizer == AdamW && s.c.WeightDecay > 0 }

func (s *adam) values(t int, rate float64) []float32 {
	first := (1 - s.c.Beta1) / (1 - math.Pow(s.c.Beta1, float64(t)))
	second := math.Sqrt((1 - s.c.Beta2) / (1 - math.Pow(s.c.Beta2, float64(t))))
	values := []float32{float32(rate * first / second), float32(s.c.Eps / second)}
	if s.decoupled() {
		values = append(values, float32(1-rate*s.c.WeightDecay))
	}
	return values
}

func (s *adam) count() int { return 2 }

func (s *adam) moments(g *graph.Graph, n network) { s.m, s.v = n.inputs(g, "m."), n.inputs(g, "v.") }

func (s *adam) outputs(g *graph.Graph, n network, weights []graph.Value) {
	var updated, first, second []graph.Value
	for i, p := range n.params() {
		grad, w := s.gradient(g, i), weights[i]
		if s.c.Optimizer == Adam && s.c.WeightDecay > 0 && !p.bias() {
			grad = g.Op("Add", nil, grad, scaled(g, w, "decay", s.c.WeightDecay))
		}
		m := g.Op("Add", nil, scaled(g, s.m[i], "beta1", s.c.Beta1), grad)
		v := g.Op("Add", nil, scaled(g, s.v[i], "beta2", s.c.Beta2), g.Op("Mul", nil, grad, grad))
		step := g.Op("Div", nil, m, g.Op("Add", nil, g.Op("Sqrt", nil, v), s.e))
		if s.decoupled() && !p.bias() {
			w = g.Op("Mul", nil, w, s.keep)
		}
		updated = append(updated, g.Op("Sub", nil, w, g.Op("Mul", nil, step, s.a)))
		first, second = append(first, m), append(second, v)
	}
	results(g, n, "new.", updated)
	results(g, n, "new.m.", first)
	results(g, n, "new.v.", second)
}

// scaled multiplies by a constant that is made once under a name.
func scaled(g *graph.Graph, v graph.Value, name string, by float64) graph.Value {
	if g.FindConst(graph.Value(name)) == nil {
		g.Floats(name, float32(by))
	}
	return g.Op("Mul", nil, v, graph.Value(name))
}

// results declares one output for each parameter.
func results(g *graph.Graph, n network, prefix string, values []graph.Value) {
	for i, p := range n.params() {
		dims := make([]any, len(p.dims))
		for k, d := range p.dims {
			dims[k] = d
		}
		g.Output(prefix+p.name, values[i], graph.Float, dims...)
	}
}
