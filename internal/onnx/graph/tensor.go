package graph

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// hostIsLittle says whether numbers lie in memory as ONNX wants them on disk.
var hostIsLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// NewTensor makes a constant over data (see Graph.Const), without copying it
// on machines that are little endian.
func NewTensor(name string, dims []int64, data any) (*Tensor, error) {
	t := &Tensor{Name: Value(name), Dims: slices.Clone(dims)}
	switch data := data.(type) {
	case []float32:
		t.Type, t.Raw = Float, rawBytes(data)
	case []float64:
		t.Type, t.Raw = Double, rawBytes(data)
	case []int64:
		t.Type, t.Raw = Int64, rawBytes(data)
	case []int32:
		t.Type, t.Raw = Int32, rawBytes(data)
	case []int8:
		t.Type, t.Raw = Int8, rawBytes(data)
	case []uint8:
		t.Type, t.Raw = Uint8, data
	case []bool:
		t.Type, t.Raw = Bool, rawBytes(data)
	default:
		return nil, fmt.Errorf("tensor %q: a %T cannot be a constant", name, data)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// rawBytes is the little-endian bytes of a slice of numbers: the slice's own
// memory where the host agrees, a copy elsewhere.
func rawBytes[T float32 | float64 | int64 | int32 | int8 | bool](v []T) []byte {
	if len(v) == 0 {
		return nil
	}
	size := int(unsafe.Sizeof(v[0]))
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*size)
	if hostIsLittle || size == 1 {
		return raw
	}
	swapped := slices.Clone(raw)
	for i := 0; i < len(swapped); i += size {
		slices.Reverse(swapped[i : i+size])
	}
	return swapped
}

// rawFloats reads little-endian float32s, in place where the host's order and
// the alignment allow.
func rawFloats(raw []byte) []float32 {
	n := len(raw) / 4
	if n == 0 {
		return nil
	}
	if p := unsafe.Pointer(&raw[0]); hostIsLittle && uintptr(p)%4 == 0 {
		return unsafe.Slice((*float32)(p), n)
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}
