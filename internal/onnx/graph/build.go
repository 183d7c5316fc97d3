package graph

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Attrs are the attributes of an operation: int, int64, bool (as 0 or 1),
// float32, float64, string, *Tensor, *Graph, or a slice of int, int64,
// float32, string, *Tensor or *Graph.
type Attrs map[string]any

// builder is the part of a Graph that only matters while it is being built.
type builder struct {
	err     error
	names   map[Value]bool  // every value made so far
	renamed map[Value]Value // values that became outputs under another name
	count   map[string]int  // how many nodes of each operator, for names
}

// irVersion 8 is the oldest that knows opset 17, so that old runtimes load what we write.
const irVersion = 8

// New starts a graph that uses the standard operators of the given version.
func New(name string, opset int64) *Graph {
	return &Graph{Name: name, IRVersion: irVersion, Opsets: map[string]int64{"": opset}}
}

// Input declares an input. A dimension is an int or int64 (a size), or a
// string (a size known when the graph runs).
func (g *Graph) Input(name string, t ElemType, dims ...any) Value {
	v := Value(name)
	g.define(v)
	g.Inputs = append(g.Inputs, ValueInfo{Name: v, Type: t, Shape: g.shape(name, dims)})
	return v
}

// Output makes v an output under the given name. The value itself takes that
// name; only where it cannot (it is an input, a constant, or an output
// already) a copying node is added.
func (g *Graph) Output(name string, v Value, t ElemType, dims ...any) {
	v, out := g.resolve(v), Value(name)
	if v != out {
		if g.computed(v) {
			g.rename(v, out)
		} else {
			g.addNode(&Node{Op: "Identity", Inputs: []Value{v}, Outputs: []Value{out}})
		}
	}
	g.Outputs = append(g.Outputs, ValueInfo{Name: out, Type: t, Shape: g.shape(name, dims)})
}

// Const adds a constant. Data is a []float32, []float64, []int64, []int32,
// []int8, []uint8 or []bool with as many elements as dims call for; nil dims
// make a scalar. The graph refers to the slice: leave it alone until the graph
// has been marshalled.
func (g *Graph) Const(name string, dims []int64, data any) Value {
	t, err := NewTensor(name, dims, data)
	if err != nil {
		g.fail(err)
		return Value(name)
	}
	return g.AddConst(t)
}

// AddConst adds a constant that exists already; the graph refers to it.
func (g *Graph) AddConst(t *Tensor) Value {
	g.define(t.Name)
	g.Consts = append(g.Consts, t)
	return t.Name
}

// Floats adds a one-dimensional float32 constant.
func (g *Graph) Floats(name string, v ...float32) Value {
	return g.Const(name, []int64{int64(len(v))}, v)
}

// Ints adds a one-dimensional int64 constant: shapes, axes, indices.
func (g *Graph) Ints(name string, v ...int64) Value {
	return g.Const(name, []int64{int64(len(v))}, v)
}

// Op adds a node of a standard operator with one output and returns it.
func (g *Graph) Op(op string, attrs Attrs, inputs ...Value) Value {
	return g.OpN(op, 1, attrs, inputs...)[0]
}

// OpN is Op for operators with n outputs.
func (g *Graph) OpN(op string, n int, attrs Attrs, inputs ...Value) []Value {
	node := &Node{Op: op, Outputs: make([]Value, n)}
	for _, in := range inputs {
		node.Inputs = append(node.Inputs, g.resolve(in))
	}
	for name, v := range attrs {
		held, err := attrValue(v)
		if err != nil {
			g.fail(fmt.Errorf("%s: attribute %q: %w", op, name, err))
			continue
		}
		node.Attrs = append(node.Attrs, Attr{Name: name, Value: held})
	}
	slices.SortFunc(node.Attrs, func(a, b Attr) int { return compare(a.Name, b.Name) })
	node.Name = g.nodeName(op)
	for i := range node.Outputs {
		node.Outputs[i] = Value(node.Name + ":" + strconv.Itoa(i))
	}
	g.addNode(node)
	return slices.Clone(node.Outputs)
}

// Err is the first mistake made while building, if any.
func (g *Graph) Err() error { return g.b.err }

func (g *Graph) addNode(n *Node) {
	if n.Name == "" {
		n.Name = g.nodeName(n.Op)
	}
	for _, in := range n.Inputs {
		if in != "" && !g.known()[in] {
			g.fail(fmt.Errorf("%s: input %q does not exist", n.Name, in))
		}
	}
	for _, out := range n.Outputs {
		g.define(out)
	}
	g.Nodes = append(g.Nodes, n)
}

// nodeName numbers the nodes of each operator: Conv_1, Conv_2, …
func (g *Graph) nodeName(op string) string {
	g.known()
	for {
		g.b.count[op]++
		name := op + "_" + strconv.Itoa(g.b.count[op])
		if !g.b.names[Value(name+":0")] {
			return name
		}
	}
}

func (g *Graph) fail(err error) {
	if g.b.err == nil {
		g.b.err = fmt.Errorf("graph %q: %w", g.Name, err)
	}
}

// known is the set of values that exist. For a parsed graph it is made when
// building goes on.
func (g *Graph) known() map[Value]bool {
	if g.b.names != nil {
		return g.b.names
	}
	g.b.names, g.b.renamed, g.b.count = map[Value]bool{}, map[Value]Value{}, map[string]int{}
	for _, in := range g.Inputs {
		g.b.names[in.Name] = true
	}
	for _, c := range g.Consts {
		g.b.names[c.Name] = true
	}
	for _, n := range g.Nodes {
		for _, out := range n.Outputs {
			g.b.names[out] = true
		}
	}
	return g.b.names
}

func (g *Graph) define(v Value) {
	names := g.known()
	switch {
	case v == "":
		g.fail(errors.New("a value without a name"))
	case names[v]:
		g.fail(fmt.Errorf("the name %q is used twice", v))
	}
	names[v] = true
}

// resolve follows a value that has been renamed to an output.
func (g *Graph) resolve(v Value) Value {
	if to, ok := g.b.renamed[v]; ok {
		return to
	}
	return v
}

// computed says whether v is made by a node and free to take another name.
func (g *Graph) computed(v Value) bool {
	for _, o := range g.Outputs {
		if o.Name == v {
			return false
		}
	}
	for _, n := range g.Nodes {
		if slices.Contains(n.Outputs, v) {
			return true
		}
	}
	return false
}

func (g *Graph) rename(from, to Value) {
	g.define(to)
	renameAll(g, map[Value]Value{from: to})
	delete(g.b.names, from)
	g.b.renamed[from] = to
}

func (g *Graph) shape(name string, dims []any) []Dim {
	out := make([]Dim, 0, len(dims))
	for _, d := range dims {
		switch d := d.(type) {
		case int:
			out = append(out, Dim{Size: int64(d)})
		case int64:
			out = append(out, Dim{Size: d})
		case string:
			out = append(out, Dim{Size: -1, Name: d})
		case Dim:
			out = append(out, d)
		default:
			g.fail(fmt.Errorf("%q: a dimension cannot be a %T", name, d))
		}
	}
	return out
}

// attrValue turns what Attrs accepts into what Attr holds.
func attrValue(v any) (any, error) {
	switch v := v.(type) {
	case int:
		return int64(v), nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case float64:
		return float32(v), nil
	case []int:
		ints := make([]int64, len(v))
		for i, n := range v {
			ints[i] = int64(n)
		}
		return ints, nil
	case int64, float32, string, *Tensor, *Graph, []int64, []float32, []string, []*Tensor, []*Graph:
		return v, nil
	}
	return nil, fmt.Errorf("a %T cannot be an attribute", v)
}

func compare[T ~string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
