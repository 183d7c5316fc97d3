package graph

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxDepth bounds subgraphs in subgraphs, so that a hostile file cannot
// exhaust the stack.
const maxDepth = 16

// Parse reads an ONNX model. The tensors of the result refer to b: keep b
// unchanged as long as the graph is in use. See the package comment for what
// is refused.
func Parse(b []byte) (*Graph, error) {
	g, err := parseModel(b)
	if err != nil {
		return nil, fmt.Errorf("read ONNX model: %w", err)
	}
	if err := g.Check(); err != nil {
		return nil, fmt.Errorf("read ONNX model: %w", err)
	}
	return g, nil
}

func parseModel(b []byte) (*Graph, error) {
	var graph []byte
	var ir int64
	opsets := map[string]int64{}
	err := fields(b, func(f field) (err error) {
		switch f.id {
		case 1:
			ir, err = f.int()
		case 7:
			graph, err = f.message()
		case 8:
			err = parseOpset(f, opsets)
		case 25:
			err = errors.New("model-local functions are not supported")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if graph == nil {
		return nil, errors.New("there is no graph in it")
	}
	g, err := parseGraph(graph, 0)
	if err != nil {
		return nil, err
	}
	g.IRVersion, g.Opsets = ir, opsets
	return g, nil
}

func parseOpset(f field, to map[string]int64) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	var domain string
	var version int64
	err = fields(b, func(f field) (err error) {
		switch f.id {
		case 1:
			domain, err = f.string()
		case 2:
			version, err = f.int()
		}
		return err
	})
	if domain == "ai.onnx" { // the standard domain's other name
		domain = ""
	}
	to[domain] = version
	return err
}

func parseGraph(b []byte, depth int) (*Graph, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("subgraphs nested deeper than %d", maxDepth)
	}
	g := &Graph{}
	err := fields(b, func(f field) error {
		data, err := []byte(nil), error(nil)
		switch f.id {
		case 1, 5, 11, 12:
			if data, err = f.message(); err != nil {
				return err
			}
		}
		switch f.id {
		case 1:
			n, err := parseNode(data, depth)
			if err != nil {
				return fmt.Errorf("node %d: %w", len(g.Nodes), err)
			}
			g.Nodes = append(g.Nodes, n)
		case 2:
			g.Name, err = f.string()
		case 5:
			t, err := parseTensor(data)
			if err != nil {
				return fmt.Errorf("constant %d: %w", len(g.Consts), err)
			}
			g.Consts = append(g.Consts, t)
		case 11:
			return parseValueInfo(data, &g.Inputs)
		case 12:
			return parseValueInfo(data, &g.Outputs)
		case 15:
			return errors.New("sparse constants are not supported")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	g.dropConstInputs()
	return g, nil
}

// dropConstInputs takes constants out of the list of inputs, where old
// versions of ONNX repeated them.
func (g *Graph) dropConstInputs() {
	consts := map[Value]bool{}
	for _, c := range g.Consts {
		consts[c.Name] = true
	}
	kept := g.Inputs[:0]
	for _, in := range g.Inputs {
		if !consts[in.Name] {
			kept = append(kept, in)
		}
	}
	g.Inputs = kept
}

func parseNode(b []byte, depth int) (*Node, error) {
	n := &Node{}
	err := fields(b, func(f field) error {
		switch f.id {
		case 1, 2, 3, 4, 7:
			s, err := f.string()
			if err != nil {
				return err
			}
			switch f.id {
			case 1:
				n.Inputs = append(n.Inputs, Value(s))
			case 2:
				n.Outputs = append(n.Outputs, Value(s))
			case 3:
				n.Name = s
			case 4:
				n.Op = s
			case 7:
				n.Domain = s
			}
		case 5:
			b, err := f.message()
			if err != nil {
				return err
			}
			a, err := parseAttr(b, depth)
			if err != nil {
				return fmt.Errorf("attribute %q: %w", a.Name, err)
			}
			n.Attrs = append(n.Attrs, a)
		}
		return nil
	})
	return n, err
}

// attrFields collects every form of value that an attribute may carry; its
// type then says which of them counts.
type attrFields struct {
	kind    attrType
	f       float32
	i       int64
	s       string
	floats  []byte
	ints    []int64
	strings []string
	tensors []*Tensor // of both t and tensors
	graphs  []*Graph  // of both g and graphs
}

func parseAttr(b []byte, depth int) (Attr, error) {
	var a Attr
	var v attrFields
	err := fields(b, func(f field) (err error) {
		switch f.id {
		case 1:
			a.Name, err = f.string()
		case 2:
			err = f.want(wireFixed32)
			v.f = rawFloats(binary.LittleEndian.AppendUint32(nil, uint32(f.num)))[0]
		case 3:
			v.i, err = f.int()
		case 4:
			v.s, err = f.string()
		case 5, 10:
			err = v.addTensor(f)
		case 6, 11:
			err = v.addGraph(f, depth)
		case 7:
			v.floats, err = f.repeatedFixed(v.floats, 4)
		case 8:
			v.ints, err = f.repeatedInts(v.ints)
		case 9:
			var s string
			s, err = f.string()
			v.strings = append(v.strings, s)
		case 20:
			var k int64
			k, err = f.int()
			v.kind = attrType(k)
		case 21:
			err = errors.New("it refers to a function's attribute, which is not supported")
		}
		return err
	})
	if err != nil {
		return a, err
	}
	a.Value, err = v.value()
	return a, err
}

func (v *attrFields) addTensor(f field) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	t, err := parseTensor(b)
	v.tensors = append(v.tensors, t)
	return err
}

func (v *attrFields) addGraph(f field, depth int) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	g, err := parseGraph(b, depth+1)
	v.graphs = append(v.graphs, g)
	return err
}

func (v *attrFields) value() (any, error) {
	switch v.kind {
	case attrFloat:
		return v.f, nil
	case attrInt:
		return v.i, nil
	case attrString:
		return v.s, nil
	case attrTensor:
		if len(v.tensors) == 1 {
			return v.tensors[0], nil
		}
		return nil, errors.New("it should hold one tensor")
	case attrGraph:
		if len(v.graphs) == 1 {
			return v.graphs[0], nil
		}
		return nil, errors.New("it should hold one graph")
	case attrFloats:
		return rawFloats(v.floats), nil
	case attrInts:
		return v.ints, nil
	case attrStrings:
		return v.strings, nil
	case attrTensors:
		return v.tensors, nil
	case attrGraphs:
		return v.graphs, nil
	}
	return nil, fmt.Errorf("type %d is not supported", v.kind)
}

func parseTensor(b []byte) (*Tensor, error) {
	t := &Tensor{}
	var fixed []byte // float_data or double_data
	var ints []int64 // int32_data, int64_data or uint64_data
	err := fields(b, func(f field) (err error) {
		switch f.id {
		case 1:
			t.Dims, err = f.repeatedInts(t.Dims)
		case 2:
			var n int64
			n, err = f.int()
			t.Type = ElemType(n)
		case 4:
			fixed, err = f.repeatedFixed(fixed, 4)
		case 10:
			fixed, err = f.repeatedFixed(fixed, 8)
		case 5, 7, 11:
			ints, err = f.repeatedInts(ints)
		case 6:
			var s []byte
			s, err = f.message()
			t.Strings = append(t.Strings, s)
		case 8:
			var s string
			s, err = f.string()
			t.Name = Value(s)
		case 9:
			t.Raw, err = f.message()
		case 13, 14:
			err = t.checkLocation(f)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if t.Type == String {
		t.Raw = nil
	} else {
		t.Strings = nil
	}
	if t.Raw == nil {
		t.Raw = fixed
	}
	if len(t.Raw) == 0 && len(ints) > 0 {
		t.Raw = packInts(ints, t.Type.Size())
	}
	return t, t.check()
}

func (t *Tensor) checkLocation(f field) error {
	if f.id == 14 && f.num == 0 { // DEFAULT: in this file
		return nil
	}
	return errors.New("its data lies in another file, which is not supported")
}

// packInts writes integers as little-endian numbers of the given width; ONNX
// keeps all narrow types (also float16's bits) in lists of wider integers.
func packInts(v []int64, width int) []byte {
	out := make([]byte, 0, len(v)*width)
	var word [8]byte
	for _, n := range v {
		binary.LittleEndian.PutUint64(word[:], uint64(n))
		out = append(out, word[:width]...)
	}
	return out
}

func parseValueInfo(b []byte, to *[]ValueInfo) error {
	v := ValueInfo{}
	err := fields(b, func(f field) error {
		switch f.id {
		case 1:
			s, err := f.string()
			v.Name = Value(s)
			return err
		case 2:
			b, err := f.message()
			if err != nil {
				return err
			}
			return parseType(b, &v)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("input or output %q: %w", v.Name, err)
	}
	*to = append(*to, v)
	return nil
}

func parseType(b []byte, v *ValueInfo) error {
	return fields(b, func(f field) error {
		switch f.id {
		case 1:
		case 6: // a remark
			return nil
		default:
			return errors.New("only tensors are supported")
		}
		b, err := f.message()
		if err != nil {
			return err
		}
		return fields(b, func(f field) error {
			switch f.id {
			case 1:
				n, err := f.int()
				v.Type = ElemType(n)
				return err
			case 2:
				b, err := f.message()
				if err != nil {
					return err
				}
				return parseShape(b, v)
			}
			return nil
		})
	})
}

func parseShape(b []byte, v *ValueInfo) error {
	v.Shape = []Dim{}
	return fields(b, func(f field) error {
		if f.id != 1 {
			return nil
		}
		b, err := f.message()
		if err != nil {
			return err
		}
		d := Dim{Size: -1}
		err = fields(b, func(f field) (err error) {
			switch f.id {
			case 1:
				d.Size, err = f.int()
			case 2:
				d.Name, err = f.string()
			}
			return err
		})
		if d.Name != "" || d.Size < 0 {
			d.Size = -1
		}
		v.Shape = append(v.Shape, d)
		return err
	})
}
