package pth

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
)

// Values on the machine's stack: nil, bool, int64, *big.Int, float64, string
// (also for bytes), tuple, *list, *dict, class, *object, *storage, *tensorRef.
type (
	tuple []any
	list  struct{ items []any }
	dict  struct{ entries []entry }
	entry struct{ key, value any }
	class string // "module.name"

	// object is an instance of a class that means nothing here. It swallows
	// whatever is done to it.
	object struct{ class class }
)

// get returns the value of a text key, or nil.
func (d *dict) get(key string) any {
	for _, e := range slices.Backward(d.entries) {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// mark lies on the stack where a sequence of items begins.
type mark struct{}

// machine carries out pickles of protocol 2 to 5, as far as PyTorch's writer
// uses them. No instruction takes more memory than the bytes it was read from,
// so the input's size bounds everything.
type machine struct {
	r        *bufio.Reader
	left     int64 // bytes that may still be read
	start    int64 // what left was
	stack    []any
	memo     map[uint32]any
	storages map[string]*storage // by key; shared by the pickles of a legacy file
}

func newMachine(r io.Reader, limit int64) *machine {
	return &machine{r: bufio.NewReader(r), left: limit, start: limit, storages: map[string]*storage{}}
}

// consumed is the number of bytes read so far.
func (m *machine) consumed() int64 { return m.start - m.left }

// run carries out one pickle and returns its object.
func (m *machine) run() (any, error) {
	m.stack, m.memo = nil, map[uint32]any{}
	for {
		at := m.consumed()
		op, err := m.byte()
		if err != nil {
			return nil, err
		}
		if op == opStop {
			return m.pop()
		}
		if err := m.step(op); err != nil {
			return nil, fmt.Errorf("pickle at byte %d: %w", at, err)
		}
	}
}

// bytes reads n bytes of the pickle.
func (m *machine) bytes(n uint64) ([]byte, error) {
	if n > uint64(m.left) {
		return nil, fmt.Errorf("%w: the pickle is cut off, or beyond the limit", ErrFormat)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(m.r, b); err != nil {
		return nil, fmt.Errorf("%w: the pickle is cut off: %w", ErrFormat, err)
	}
	m.left -= int64(n)
	return b, nil
}

func (m *machine) byte() (byte, error) {
	b, err := m.bytes(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// uint reads an unsigned number of n bytes, little endian.
func (m *machine) uint(n int) (uint64, error) {
	b, err := m.bytes(uint64(n))
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

// text reads a string whose length stands before it in n bytes.
func (m *machine) text(n int) (string, error) {
	size, err := m.uint(n)
	if err != nil {
		return "", err
	}
	b, err := m.bytes(size)
	return string(b), err
}

// line reads up to a newline, which it drops.
func (m *machine) line() (string, error) {
	var b []byte
	for {
		c, err := m.byte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(b), nil
		}
		b = append(b, c)
	}
}

// long reads a signed number of any size.
func (m *machine) long(n int) (any, error) {
	size, err := m.uint(n)
	if err != nil {
		return nil, err
	}
	if size > 256 {
		return nil, fmt.Errorf("%w: a number of %d bytes", ErrFormat, size)
	}
	b, err := m.bytes(size)
	if err != nil {
		return nil, err
	}
	slices.Reverse(b)
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if v.IsInt64() {
		return v.Int64(), nil
	}
	return v, nil
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

var errStack = fmt.Errorf("%w: the pickle's stack is too small", ErrFormat)

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, errStack
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	if _, ok := v.(mark); ok {
		return nil, fmt.Errorf("%w: a mark where the pickle needs a value", ErrFormat)
	}
	return v, nil
}

// popN pops n values, the lowest first.
func (m *machine) popN(n int) ([]any, error) {
	vs := make([]any, n)
	for i := n - 1; i >= 0; i-- {
		v, err := m.pop()
		if err != nil {
			return nil, err
		}
		vs[i] = v
	}
	return vs, nil
}

// popMark pops everything above the last mark, and the mark.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			vs := slices.Clone(m.stack[i+1:])
			m.stack = m.stack[:i]
			return vs, nil
		}
	}
	return nil, errStack
}

// top returns the highest value without popping it.
func (m *machine) top() (any, error) {
	v, err := m.pop()
	if err == nil {
		m.push(v)
	}
	return v, err
}

// pushed pushes v unless reading it failed.
func pushed[T any](m *machine, v T, err error) error {
	if err == nil {
		m.push(v)
	}
	return err
}

const (
	opStop = '.'
)

// step carries out one instruction; the letters are those of pickletools.py.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		return m.proto()
	case 0x95: // FRAME: its length says nothing that the instructions do not
		_, err := m.bytes(8)
		return err
	case '(':
		m.push(mark{})
		return nil
	case '0', '1', '2':
		return m.stackOp(op)
	case 'N', 0x88, 0x89, 'J', 'K', 'M', 'G', 0x8a, 0x8b:
		return m.number(op)
	case 'X', 0x8c, 0x8d, 'U', 'T', 'C', 'B', 0x8e:
		return m.string(op)
	case 'h', 'j', 'q', 'r', 0x94:
		return m.memory(op)
	case ')', 't', 0x85, 0x86, 0x87:
		return m.tuple(op)
	case ']', '}', 0x8f, 'a', 'e', 's', 'u', 0x90, 0x91:
		return m.collection(op)
	case 'c', 0x93:
		return m.global(op)
	case 'R', 0x81, 0x92, 'b', 'Q':
		return m.call(op)
	default:
		return fmt.Errorf("%w: pickle instruction 0x%02x", ErrUnsupported, op)
	}
}

func (m *machine) proto() error {
	v, err := m.byte()
	if err == nil && (v < 2 || v > 5) {
		err = fmt.Errorf("%w: pickle protocol %d", ErrUnsupported, v)
	}
	return err
}

func (m *machine) stackOp(op byte) error {
	switch op {
	case '0': // POP
		_, err := m.pop()
		return err
	case '1': // POP_MARK
		_, err := m.popMark()
		return err
	default: // DUP
		v, err := m.top()
		return pushed(m, v, err)
	}
}

func (m *machine) number(op byte) error {
	switch op {
	case 'N':
		m.push(nil)
		return nil
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		m.push(op == 0x88)
		return nil
	case 'J': // BININT
		v, err := m.uint(4)
		return pushed(m, int64(int32(v)), err)
	case 'K': // BININT1
		v, err := m.uint(1)
		return pushed(m, int64(v), err)
	case 'M': // BININT2
		v, err := m.uint(2)
		return pushed(m, int64(v), err)
	case 'G': // BINFLOAT, big endian
		b, err := m.bytes(8)
		if err != nil {
			return err
		}
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
		return nil
	case 0x8a: // LONG1
		v, err := m.long(1)
		return pushed(m, v, err)
	default: // LONG4
		v, err := m.long(4)
		return pushed(m, v, err)
	}
}

// string reads text and bytes, which need not be told apart here.
func (m *machine) string(op byte) error {
	size := map[byte]int{'X': 4, 0x8c: 1, 0x8d: 8, 'U': 1, 'T': 4, 'C': 1, 'B': 4, 0x8e: 8}[op]
	v, err := m.text(size)
	return pushed(m, v, err)
}

// memory stores into and fetches from the memo.
func (m *machine) memory(op byte) error {
	var index uint64
	var err error
	switch op {
	case 'h', 'q': // BINGET, BINPUT
		index, err = m.uint(1)
	case 'j', 'r': // LONG_BINGET, LONG_BINPUT
		index, err = m.uint(4)
	default: // MEMOIZE
		index = uint64(len(m.memo))
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := m.memo[uint32(index)]
		if !ok {
			return fmt.Errorf("%w: nothing is remembered as %d", ErrFormat, index)
		}
		m.push(v)
		return nil
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	m.memo[uint32(index)] = v
	return nil
}

func (m *machine) tuple(op byte) error {
	switch op {
	case ')':
		m.push(tuple(nil))
		return nil
	case 't':
		vs, err := m.popMark()
		return pushed(m, tuple(vs), err)
	default: // TUPLE1 to TUPLE3
		vs, err := m.popN(int(op - 0x84))
		return pushed(m, tuple(vs), err)
	}
}

// collection makes and fills lists, dictionaries and sets.
func (m *machine) collection(op byte) error {
	switch op {
	case ']':
		m.push(&list{})
		return nil
	case '}':
		m.push(&dict{})
		return nil
	case 0x8f: // EMPTY_SET
		m.push(&object{"set"})
		return nil
	case 0x91: // FROZENSET
		_, err := m.popMark()
		return pushed(m, &object{"frozenset"}, err)
	case 'a': // APPEND
		vs, err := m.popN(1)
		return m.extend(vs, err)
	case 'e', 0x90: // APPENDS, ADDITEMS
		vs, err := m.popMark()
		return m.extend(vs, err)
	case 's': // SETITEM
		vs, err := m.popN(2)
		return m.setItems(vs, err)
	default: // SETITEMS
		vs, err := m.popMark()
		return m.setItems(vs, err)
	}
}

// extend appends to the list on top of the stack.
func (m *machine) extend(vs []any, err error) error {
	if err != nil {
		return err
	}
	target, err := m.top()
	if err != nil {
		return err
	}
	switch l := target.(type) {
	case *list:
		l.items = append(l.items, vs...)
	case *object:
	default:
		return fmt.Errorf("%w: appending to a %T", ErrFormat, target)
	}
	return nil
}

// setItems puts pairs into the dictionary on top of the stack.
func (m *machine) setItems(vs []any, err error) error {
	if err != nil {
		return err
	}
	if len(vs)%2 != 0 {
		return fmt.Errorf("%w: a key without a value", ErrFormat)
	}
	target, err := m.top()
	if err != nil {
		return err
	}
	switch d := target.(type) {
	case *dict:
		for i := 0; i < len(vs); i += 2 {
			d.entries = append(d.entries, entry{vs[i], vs[i+1]})
		}
	case *object:
	default:
		return fmt.Errorf("%w: setting items of a %T", ErrFormat, target)
	}
	return nil
}
