package graph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Protobuf's wire types.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// message is a protobuf message being written. Small fields are appended to
// cur; large ones are kept as they are, by reference, between flushed parts,
// so that weights are copied only when the whole is joined.
type message struct {
	parts [][]byte
	cur   []byte
	size  int // bytes in parts
}

// byReference is the size from which bytes are referred to and not copied.
const byReference = 4 << 10

func (m *message) len() int { return m.size + len(m.cur) }

func (m *message) tag(field, wire int) {
	m.cur = binary.AppendUvarint(m.cur, uint64(field)<<3|uint64(wire))
}

func (m *message) int(field int, v int64) {
	m.tag(field, wireVarint)
	m.cur = binary.AppendUvarint(m.cur, uint64(v))
}

func (m *message) float(field int, v float32) {
	m.tag(field, wireFixed32)
	m.cur = binary.LittleEndian.AppendUint32(m.cur, math.Float32bits(v))
}

func (m *message) string(field int, s string) {
	m.tag(field, wireBytes)
	m.cur = binary.AppendUvarint(m.cur, uint64(len(s)))
	m.cur = append(m.cur, s...)
}

// optional leaves an empty string out, as protobuf does.
func (m *message) optional(field int, s string) {
	if s != "" {
		m.string(field, s)
	}
}

func (m *message) bytes(field int, b []byte) {
	m.tag(field, wireBytes)
	m.cur = binary.AppendUvarint(m.cur, uint64(len(b)))
	m.refer(b)
}

// ints writes a packed list of integers.
func (m *message) ints(field int, v []int64) {
	if len(v) == 0 {
		return
	}
	var packed []byte
	for _, n := range v {
		packed = binary.AppendUvarint(packed, uint64(n))
	}
	m.bytes(field, packed)
}

// floats writes a packed list of float32.
func (m *message) floats(field int, v []float32) {
	if len(v) > 0 {
		m.bytes(field, rawBytes(v))
	}
}

func (m *message) message(field int, sub *message) {
	m.tag(field, wireBytes)
	m.cur = binary.AppendUvarint(m.cur, uint64(sub.len()))
	for _, p := range sub.parts {
		m.refer(p)
	}
	m.cur = append(m.cur, sub.cur...)
}

func (m *message) refer(b []byte) {
	if len(b) < byReference {
		m.cur = append(m.cur, b...)
		return
	}
	m.flush()
	m.parts = append(m.parts, b)
	m.size += len(b)
}

func (m *message) flush() {
	if len(m.cur) > 0 {
		m.parts = append(m.parts, m.cur)
		m.size += len(m.cur)
		m.cur = nil
	}
}

var errTruncated = errors.New("truncated")

// field is one field of a message being read: num for varints and fixed
// widths, data (a part of the input, not a copy) for the rest.
type field struct {
	id, wire int
	num      uint64
	data     []byte
}

// fields calls f for each field of the message b.
func fields(b []byte, f func(field) error) error {
	for len(b) > 0 {
		fl, n, err := nextField(b)
		if err != nil {
			return err
		}
		if err := f(fl); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func nextField(b []byte) (fl field, n int, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
		return fl, 0, errTruncated
	}
	fl.id, fl.wire = int(tag>>3), int(tag&7)
	rest := b[n:]
	switch fl.wire {
	case wireVarint:
		v, k := binary.Uvarint(rest)
		if k <= 0 {
			return fl, 0, errTruncated
		}
		fl.num = v
		return fl, n + k, nil
	case wireFixed32:
		if len(rest) < 4 {
			return fl, 0, errTruncated
		}
		fl.num = uint64(binary.LittleEndian.Uint32(rest))
		return fl, n + 4, nil
	case wireFixed64:
		if len(rest) < 8 {
			return fl, 0, errTruncated
		}
		fl.num = binary.LittleEndian.Uint64(rest)
		return fl, n + 8, nil
	case wireBytes:
		size, k := binary.Uvarint(rest)
		if k <= 0 || size > uint64(len(rest)-k) {
			return fl, 0, errTruncated
		}
		fl.data = rest[k : k+int(size) : k+int(size)]
		return fl, n + k + int(size), nil
	}
	return fl, 0, fmt.Errorf("wire type %d is not known", fl.wire)
}

// want says whether a field came with the wire type that its number calls for.
func (f field) want(wire int) error {
	if f.wire != wire {
		return fmt.Errorf("field %d has wire type %d, want %d", f.id, f.wire, wire)
	}
	return nil
}

func (f field) int() (int64, error) { return int64(f.num), f.want(wireVarint) }

func (f field) string() (string, error) { return string(f.data), f.want(wireBytes) }

func (f field) message() ([]byte, error) { return f.data, f.want(wireBytes) }

// repeatedInts appends an integer list's field, packed or not.
func (f field) repeatedInts(to []int64) ([]int64, error) {
	if f.wire == wireVarint {
		return append(to, int64(f.num)), nil
	}
	if err := f.want(wireBytes); err != nil {
		return nil, err
	}
	for b := f.data; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errTruncated
		}
		to, b = append(to, int64(v)), b[n:]
	}
	return to, nil
}

// repeatedFixed appends the little-endian bytes of a list of fixed-width
// numbers (4 or 8 bytes each), packed or not.
func (f field) repeatedFixed(to []byte, width int) ([]byte, error) {
	switch {
	case f.wire == wireFixed32 && width == 4:
		return binary.LittleEndian.AppendUint32(to, uint32(f.num)), nil
	case f.wire == wireFixed64 && width == 8:
		return binary.LittleEndian.AppendUint64(to, f.num), nil
	}
	if err := f.want(wireBytes); err != nil {
		return nil, err
	}
	if len(f.data)%width != 0 {
		return nil, errTruncated
	}
	return append(to, f.data...), nil
}
