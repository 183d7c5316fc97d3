package pth

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// dtype is a number format, named as PyTorch names its storage class.
type dtype string

// sizes are the bytes an element of each storage class takes.
var sizes = map[dtype]int64{
	"FloatStorage": 4, "DoubleStorage": 8, "HalfStorage": 2, "BFloat16Storage": 2,
	"LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}

func (d dtype) size() int64 { return sizes[d] }

func (d dtype) isFloat() bool {
	switch d {
	case "FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage":
		return true
	}
	return false
}

// storage is a flat array of numbers in the file, or, with a view, the part of
// it that starts at the view's offset.
type storage struct {
	key   string
	dtype dtype
	numel int64 // elements of the whole storage
	from  int64 // first element of the view; 0 without one
	size  int64 // elements that tensors may use
}

// tensorRef is a tensor whose numbers have not been read.
type tensorRef struct {
	storage *storage
	offset  int64   // of the first element, in elements
	shape   []int64 // none negative
	strides []int64 // in elements; none negative
}

// maxDims is more than any weight has.
const maxDims = 16

// newTensorRef checks what the pickle says about a tensor.
func newTensorRef(s *storage, offset int64, shape, strides []int64) (*tensorRef, error) {
	if len(shape) != len(strides) || len(shape) > maxDims {
		return nil, fmt.Errorf("%w: shape %v with strides %v", ErrFormat, shape, strides)
	}
	if offset < 0 {
		return nil, fmt.Errorf("%w: offset %d", ErrFormat, offset)
	}
	for i := range shape {
		if shape[i] < 0 || strides[i] < 0 {
			return nil, fmt.Errorf("%w: shape %v with strides %v", ErrFormat, shape, strides)
		}
	}
	return &tensorRef{storage: s, offset: offset, shape: shape, strides: strides}, nil
}

// read brings the tensor's elements into a contiguous array of at most limit
// bytes.
func (t *tensorRef) read(c container, limit int64) (Tensor, error) {
	count, ok := product(t.shape)
	if !ok || count > limit/4 {
		return Tensor{}, fmt.Errorf("%w: shape %v is beyond the limit", ErrTooLarge, t.shape)
	}
	out := Tensor{Shape: t.shape, Data: make([]float32, 0)}
	if count == 0 {
		return out, nil
	}
	span, ok := t.span()
	if !ok || t.offset > t.storage.size-span {
		return Tensor{}, fmt.Errorf("%w: shape %v with strides %v at %d leaves its storage of %d", ErrFormat, t.shape, t.strides, t.offset, t.storage.size)
	}
	raw, err := c.read(t.storage, t.storage.from+t.offset, span)
	if err != nil {
		return Tensor{}, err
	}
	flat := decode(t.storage.dtype, raw, c.bigEndian())
	if t.contiguous() {
		out.Data = flat
		return out, nil
	}
	out.Data = make([]float32, count)
	gather(out.Data, flat, t.shape, t.strides)
	return out, nil
}

// product multiplies, and reports whether the result fits.
func product(shape []int64) (int64, bool) {
	n := uint64(1)
	for _, d := range shape {
		hi, lo := bits.Mul64(n, uint64(d))
		if d == 0 {
			return 0, true
		}
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		n = lo
	}
	return int64(n), true
}

// span is the distance from the first to past the last element, in elements.
func (t *tensorRef) span() (int64, bool) {
	last := uint64(0)
	for i, d := range t.shape {
		hi, lo := bits.Mul64(uint64(d-1), uint64(t.strides[i]))
		sum, carry := bits.Add64(last, lo, 0)
		if hi != 0 || carry != 0 || sum >= math.MaxInt64 {
			return 0, false
		}
		last = sum
	}
	return int64(last) + 1, true
}

func (t *tensorRef) contiguous() bool {
	next := int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.strides[i] != next {
			return false
		}
		next *= t.shape[i]
	}
	return true
}

// gather copies a strided array into dst, the last dimension fastest.
func gather(dst, src []float32, shape, strides []int64) {
	index := make([]int64, len(shape))
	at := int64(0)
	for i := range dst {
		dst[i] = src[at]
		for d := len(shape) - 1; d >= 0; d-- {
			index[d]++
			at += strides[d]
			if index[d] < shape[d] {
				break
			}
			at -= strides[d] * shape[d]
			index[d] = 0
		}
	}
}

// decode converts raw numbers of a floating-point format.
func decode(d dtype, raw []byte, bigEndian bool) []float32 {
	var order binary.ByteOrder = binary.LittleEndian
	if bigEndian {
		order = binary.BigEndian
	}
	out := make([]float32, int64(len(raw))/d.size())
	switch d {
	case "FloatStorage":
		for i := range out {
			out[i] = math.Float32frombits(order.Uint32(raw[4*i:]))
		}
	case "DoubleStorage":
		for i := range out {
			out[i] = float32(math.Float64frombits(order.Uint64(raw[8*i:])))
		}
	case "HalfStorage":
		for i := range out {
			out[i] = fromHalf(order.Uint16(raw[2*i:]))
		}
	case "BFloat16Storage":
		for i := range out {
			out[i] = math.Float32frombits(uint32(order.Uint16(raw[2*i:])) << 16)
		}
	}
	return out
}

// fromHalf converts an IEEE 754 half: 1 bit sign, 5 bits exponent, 10 bits
// fraction.
func fromHalf(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h >> 10 & 0x1f)
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0: // zero or subnormal: frac · 2^-24, exact in float32
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	default:
		return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
	}
}
