package ort

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/musher/musher/internal/onnx/graph"
)

// Element is what a tensor may hold here.
type Element interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool
}

// Tensor is a view of a Go slice as an n-dimensional array, row by row. The
// zero Tensor, among outputs, asks ONNX Runtime to choose the shape.
type Tensor struct {
	elem  graph.ElemType
	shape []int64
	data  unsafe.Pointer // the slice's first element, so that the collector sees it
	size  uintptr        // bytes
}

// empty is what tensors of no elements point to; C may want an address.
var empty [8]byte

// Of views data as a tensor. The shape's product must be len(data); where it
// is not, the tensor is refused when it is used. No shape makes a scalar.
func Of[T Element](data []T, shape ...int64) Tensor {
	t := Tensor{elem: elemOf[T](), shape: slices.Clone(shape), data: unsafe.Pointer(unsafe.SliceData(data))}
	t.size = uintptr(len(data)) * unsafe.Sizeof(*new(T))
	if len(data) == 0 {
		t.data = unsafe.Pointer(&empty)
	}
	return t
}

// Data is the slice under a tensor; nil when its elements are of another type.
func Data[T Element](t Tensor) []T {
	if t.data == nil || t.elem != elemOf[T]() {
		return nil
	}
	return unsafe.Slice((*T)(t.data), int(t.size/unsafe.Sizeof(*new(T))))
}

// Shape is the tensor's dimensions; do not change it.
func (t Tensor) Shape() []int64 { return t.shape }

// Type is the type of the tensor's elements.
func (t Tensor) Type() graph.ElemType { return t.elem }

func elemOf[T Element]() graph.ElemType {
	switch any(*new(T)).(type) {
	case float32:
		return graph.Float
	case float64:
		return graph.Double
	case int8:
		return graph.Int8
	case int16:
		return graph.Int16
	case int32:
		return graph.Int32
	case int64:
		return graph.Int64
	case uint8:
		return graph.Uint8
	case uint16:
		return graph.Uint16
	case uint32:
		return graph.Uint32
	case uint64:
		return graph.Uint64
	case bool:
		return graph.Bool
	}
	return graph.Undefined
}

// check keeps C from reading past the slice's end.
func (t Tensor) check() error {
	n := uintptr(t.elem.Size())
	for _, d := range t.shape {
		if d < 0 || (d > 0 && n > 1<<48/uintptr(d)) {
			return fmt.Errorf("shape %v is not one", t.shape)
		}
		n *= uintptr(d)
	}
	if n != t.size {
		return fmt.Errorf("shape %v of %v takes %d bytes, the slice has %d", t.shape, t.elem, n, t.size)
	}
	return nil
}
