package graph

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// Marshal checks the graph and returns it as an ONNX model (a ModelProto).
func (g *Graph) Marshal() ([]byte, error) {
	m, err := g.model()
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, m.len())
	for _, p := range m.parts {
		out = append(out, p...)
	}
	return out, nil
}

// WriteTo is Marshal into a writer: weights go straight from where they lie.
func (g *Graph) WriteTo(w io.Writer) (int64, error) {
	m, err := g.model()
	if err != nil {
		return 0, err
	}
	var done int64
	for _, p := range m.parts {
		n, err := w.Write(p)
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (g *Graph) model() (*message, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	gm, err := g.encode()
	if err != nil {
		return nil, fmt.Errorf("graph %q: %w", g.Name, err)
	}
	var m message
	m.int(1, g.IRVersion)
	m.string(2, "musher")
	m.message(7, gm)
	for _, domain := range slices.Sorted(maps.Keys(g.Opsets)) {
		var o message
		o.optional(1, domain)
		o.int(2, g.Opsets[domain])
		m.message(8, &o)
	}
	m.flush()
	if m.len() > math.MaxInt32 {
		return nil, fmt.Errorf("graph %q: %d bytes, over the 2 GiB that a model file may have", g.Name, m.len())
	}
	return &m, nil
}

func (g *Graph) encode() (*message, error) {
	m := &message{}
	for _, n := range g.Nodes {
		nm, err := n.encode()
		if err != nil {
			return nil, fmt.Errorf("node %q: %w", n.Name, err)
		}
		m.message(1, nm)
	}
	m.optional(2, g.Name)
	for _, t := range g.Consts {
		m.message(5, t.encode())
	}
	for _, v := range g.Inputs {
		m.message(11, v.encode())
	}
	for _, v := range g.Outputs {
		m.message(12, v.encode())
	}
	return m, nil
}

func (n *Node) encode() (*message, error) {
	m := &message{}
	for _, v := range n.Inputs {
		m.string(1, string(v))
	}
	for _, v := range n.Outputs {
		m.string(2, string(v))
	}
	m.optional(3, n.Name)
	m.string(4, n.Op)
	for _, a := range n.Attrs {
		am, err := a.encode()
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", a.Name, err)
		}
		m.message(5, am)
	}
	m.optional(7, n.Domain)
	return m, nil
}

func (a Attr) encode() (*message, error) {
	m := &message{}
	m.string(1, a.Name)
	kind := attrType(0)
	switch v := a.Value.(type) {
	case float32:
		kind = attrFloat
		m.float(2, v)
	case int64:
		kind = attrInt
		m.int(3, v)
	case string:
		kind = attrString
		m.string(4, v)
	case *Tensor:
		kind = attrTensor
		m.message(5, v.encode())
	case *Graph:
		kind = attrGraph
		if err := m.graphs(6, v); err != nil {
			return nil, err
		}
	case []float32:
		kind = attrFloats
		m.floats(7, v)
	case []int64:
		kind = attrInts
		m.ints(8, v)
	case []string:
		kind = attrStrings
		for _, s := range v {
			m.string(9, s)
		}
	case []*Tensor:
		kind = attrTensors
		for _, t := range v {
			m.message(10, t.encode())
		}
	case []*Graph:
		kind = attrGraphs
		if err := m.graphs(11, v...); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("a %T cannot be an attribute", v)
	}
	m.int(20, int64(kind))
	return m, nil
}

func (m *message) graphs(field int, graphs ...*Graph) error {
	for _, g := range graphs {
		gm, err := g.encode()
		if err != nil {
			return err
		}
		m.message(field, gm)
	}
	return nil
}

func (t *Tensor) encode() *message {
	m := &message{}
	m.ints(1, t.Dims)
	m.int(2, int64(t.Type))
	for _, s := range t.Strings {
		m.bytes(6, s)
	}
	m.optional(8, string(t.Name))
	if t.Type != String {
		m.bytes(9, t.Raw)
	}
	return m
}

func (v ValueInfo) encode() *message {
	var tensor, typ message
	tensor.int(1, int64(v.Type))
	if v.Shape != nil {
		var shape message
		for _, d := range v.Shape {
			shape.message(1, d.encode())
		}
		tensor.message(2, &shape)
	}
	typ.message(1, &tensor)
	m := &message{}
	m.string(1, string(v.Name))
	m.message(2, &typ)
	return m
}

func (d Dim) encode() *message {
	m := &message{}
	switch {
	case d.Name != "":
		m.string(2, d.Name)
	case d.Size >= 0:
		m.int(1, d.Size)
	}
	return m
}
