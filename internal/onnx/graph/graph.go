package graph

import (
	"fmt"
	"math"
)

// ElemType is the type of a tensor's elements (TensorProto.DataType).
type ElemType int32

// The element types, with ONNX's numbers.
const (
	Undefined ElemType = 0
	Float     ElemType = 1
	Uint8     ElemType = 2
	Int8      ElemType = 3
	Uint16    ElemType = 4
	Int16     ElemType = 5
	Int32     ElemType = 6
	Int64     ElemType = 7
	String    ElemType = 8
	Bool      ElemType = 9
	Float16   ElemType = 10
	Double    ElemType = 11
	Uint32    ElemType = 12
	Uint64    ElemType = 13
	BFloat16  ElemType = 16
)

var elemTypes = map[ElemType]struct {
	name string
	size int
}{
	Float: {"float32", 4}, Uint8: {"uint8", 1}, Int8: {"int8", 1}, Uint16: {"uint16", 2}, Int16: {"int16", 2},
	Int32: {"int32", 4}, Int64: {"int64", 8}, String: {"string", 0}, Bool: {"bool", 1}, Float16: {"float16", 2},
	Double: {"float64", 8}, Uint32: {"uint32", 4}, Uint64: {"uint64", 8}, BFloat16: {"bfloat16", 2},
}

// Size is the number of bytes of one element; 0 for strings and for types that this package does not know.
func (t ElemType) Size() int { return elemTypes[t].size }

// String is the type's name in Go's manner: float32, int64, …
func (t ElemType) String() string {
	if e, ok := elemTypes[t]; ok {
		return e.name
	}
	return fmt.Sprintf("type %d", int32(t))
}

// Value names a tensor that flows through a graph. The empty Value stands for
// an optional input that is left out.
type Value string

// Dim is one dimension of a declared shape: a fixed size, or a name for a size
// that is known only when the graph runs, or neither (Size < 0, Name empty).
type Dim struct {
	Size int64
	Name string
}

// ValueInfo declares an input or output of a graph. A nil Shape says that the
// number of dimensions is not known; an empty one is a scalar's.
type ValueInfo struct {
	Name  Value
	Type  ElemType
	Shape []Dim
}

// Tensor is a constant. Numbers are in Raw, little endian, row by row; strings
// are in Strings. Raw may refer to memory owned by whoever made the tensor.
type Tensor struct {
	Name    Value
	Type    ElemType
	Dims    []int64
	Raw     []byte
	Strings [][]byte
}

// Len is the number of elements that the dimensions call for, or an error for
// a negative dimension or a product that does not fit.
func (t *Tensor) Len() (int64, error) {
	n := int64(1)
	for _, d := range t.Dims {
		if d < 0 || (d > 0 && n > math.MaxInt64/16/d) {
			return 0, fmt.Errorf("tensor %q: dimensions %v do not make a size", t.Name, t.Dims)
		}
		n *= d
	}
	return n, nil
}

// check says whether the tensor holds just what its type and dimensions promise.
func (t *Tensor) check() error {
	n, err := t.Len()
	if err != nil {
		return err
	}
	if t.Type == String {
		if int64(len(t.Strings)) != n {
			return fmt.Errorf("tensor %q: %d strings for dimensions %v", t.Name, len(t.Strings), t.Dims)
		}
		return nil
	}
	if t.Type.Size() == 0 {
		return fmt.Errorf("tensor %q: element %v is not supported", t.Name, t.Type)
	}
	if want := n * int64(t.Type.Size()); int64(len(t.Raw)) != want {
		return fmt.Errorf("tensor %q: %d bytes for %v of dimensions %v, want %d", t.Name, len(t.Raw), t.Type, t.Dims, want)
	}
	return nil
}

// attrType is AttributeProto.AttributeType.
type attrType int32

const (
	attrFloat   attrType = 1
	attrInt     attrType = 2
	attrString  attrType = 3
	attrTensor  attrType = 4
	attrGraph   attrType = 5
	attrFloats  attrType = 6
	attrInts    attrType = 7
	attrStrings attrType = 8
	attrTensors attrType = 9
	attrGraphs  attrType = 10
)

// Attr is one attribute of a node. What it holds is one of: float32, int64,
// string, *Tensor, *Graph (a subgraph: If, Loop), []float32, []int64,
// []string, []*Tensor, []*Graph.
type Attr struct {
	Name  string
	Value any
}

// Node is one operation.
type Node struct {
	Name, Op, Domain string
	Inputs, Outputs  []Value
	Attrs            []Attr
}

// Graph is a model: what the builder builds and what Parse returns. Nodes are
// in topological order: a node's inputs are made by nodes before it.
type Graph struct {
	Name      string
	IRVersion int64
	// Opsets maps an operator domain ("" is the standard one) to its version.
	Opsets  map[string]int64
	Inputs  []ValueInfo
	Outputs []ValueInfo
	Consts  []*Tensor
	Nodes   []*Node

	b builder
}

// Opset is the version of the standard operators that the graph is written for.
func (g *Graph) Opset() int64 { return g.Opsets[""] }

// FindConst finds a constant of a parsed or built graph; nil when there is none.
func (g *Graph) FindConst(name Value) *Tensor {
	for _, t := range g.Consts {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Floats returns the elements of a float32 tensor. The slice shares the tensor's memory where alignment allows.
func (t *Tensor) Floats() ([]float32, error) {
	if t.Type != Float {
		return nil, fmt.Errorf("tensor %q holds %v, not float32", t.Name, t.Type)
	}
	return rawFloats(t.Raw), nil
}
