package pth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The ways in which a file can be refused. Errors wrap one of them, or are the
// file system's.
var (
	ErrFormat      = errors.New("not a readable PyTorch file") // damaged, or something else altogether
	ErrUnsupported = errors.New("unsupported PyTorch file")    // whole, but beyond this package
	ErrTooLarge    = errors.New("PyTorch file too large")      // beyond Limits
)

// Limits bound what a file may make its reader do. The zero value allows 4 GiB
// of float32 data, 64 MiB of pickle and 100,000 tensors.
type Limits struct {
	Bytes   int64 // of all tensors together, as float32
	Pickle  int64 // of instructions and names
	Tensors int
}

func (l Limits) orDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = 4 << 30
	}
	if l.Pickle == 0 {
		l.Pickle = 64 << 20
	}
	if l.Tensors == 0 {
		l.Tensors = 100_000
	}
	return l
}

// Tensor is one named array. Data holds the product of Shape's elements, the
// last dimension running fastest; an empty Shape is a single number.
type Tensor struct {
	Name  string
	Shape []int64
	Data  []float32
}

// StateDict is the contents of a file.
type StateDict struct {
	Tensors []Tensor // in the file's order, each name once
	Skipped []string // names of tensors that hold no floating-point numbers

	index map[string]int
}

// NewStateDict makes a state dict of tensors that do not come from a file.
func NewStateDict(tensors []Tensor) *StateDict {
	d := &StateDict{Tensors: tensors, index: make(map[string]int, len(tensors))}
	for i, t := range tensors {
		d.index[t.Name] = i
	}
	return d
}

// Get finds a tensor by its name.
func (d *StateDict) Get(name string) (Tensor, bool) {
	i, ok := d.index[name]
	if !ok {
		return Tensor{}, false
	}
	return d.Tensors[i], true
}

// Open reads the file at path.
func Open(path string, lim Limits) (*StateDict, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("pth: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("pth: %w", err)
	}
	d, err := Read(f, info.Size(), lim)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// Read reads a file of the given size.
func Read(r io.ReaderAt, size int64, lim Limits) (*StateDict, error) {
	lim = lim.orDefault()
	root, storages, err := load(r, size, lim)
	if err != nil {
		return nil, fmt.Errorf("pth: %w", err)
	}
	entries, err := stateDict(root)
	if err != nil {
		return nil, fmt.Errorf("pth: %w", err)
	}
	d, err := materialise(entries, storages, lim)
	if err != nil {
		return nil, fmt.Errorf("pth: %w", err)
	}
	return d, nil
}

// container gives the bytes of a file's storages.
type container interface {
	// read returns n elements of a storage from the offset-th on.
	read(s *storage, offset, n int64) ([]byte, error)
	// bigEndian reports the byte order of the numbers.
	bigEndian() bool
}

// load recognises the format by its first bytes and returns the unpickled
// object and where its storages are.
func load(r io.ReaderAt, size int64, lim Limits) (any, container, error) {
	head := make([]byte, min(size, 264))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case strings.HasPrefix(string(head), "PK\x03\x04"):
		return loadZip(r, size, lim)
	case strings.HasPrefix(string(head), legacyStart):
		return loadLegacy(r, size, lim)
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		return nil, nil, fmt.Errorf("%w: the tar format of PyTorch 0.1", ErrUnsupported)
	default:
		return nil, nil, fmt.Errorf("%w: neither the zip nor the legacy format", ErrFormat)
	}
}

// wrappers are the keys under which training scripts keep the state dict.
var wrappers = []string{"state_dict", "model_state_dict", "model"}

// stateDict finds the dictionary of tensors in an unpickled object.
func stateDict(root any) ([]entry, error) {
	d, ok := root.(*dict)
	if !ok {
		if o, ok := root.(*object); ok {
			return nil, fmt.Errorf("%w: it holds a pickled %s, not a state dict; save model.state_dict() instead", ErrUnsupported, o.class)
		}
		return nil, fmt.Errorf("%w: it holds no dictionary", ErrUnsupported)
	}
	for _, key := range wrappers {
		if inner, ok := d.get(key).(*dict); ok {
			return inner.entries, nil
		}
	}
	return d.entries, nil
}

// materialise reads every tensor of a state dict.
func materialise(entries []entry, c container, lim Limits) (*StateDict, error) {
	refs, err := tensorsOf(entries, lim)
	if err != nil {
		return nil, err
	}
	d := new(StateDict)
	var tensors []Tensor
	left := lim.Bytes
	for _, ref := range refs {
		if !ref.tensor.storage.dtype.isFloat() {
			d.Skipped = append(d.Skipped, ref.name)
			continue
		}
		t, err := ref.tensor.read(c, left)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", ref.name, err)
		}
		left -= 4 * int64(len(t.Data))
		t.Name = ref.name
		tensors = append(tensors, t)
	}
	if len(tensors) == 0 {
		return nil, fmt.Errorf("%w: it holds no tensor of floating-point numbers", ErrUnsupported)
	}
	skipped := d.Skipped
	d = NewStateDict(tensors)
	d.Skipped = skipped
	return d, nil
}

type namedRef struct {
	name   string
	tensor *tensorRef
}

// tensorsOf picks the named tensors out of a dictionary, each name once (the
// last one counts, as in Python), and takes DataParallel's prefix off.
func tensorsOf(entries []entry, lim Limits) ([]namedRef, error) {
	var refs []namedRef
	at := map[string]int{}
	prefixed := true
	for _, e := range entries {
		name, ok := e.key.(string)
		t, ok2 := e.value.(*tensorRef)
		if !ok || !ok2 {
			continue
		}
		if i, again := at[name]; again {
			refs[i].tensor = t
			continue
		}
		at[name] = len(refs)
		refs = append(refs, namedRef{name, t})
		prefixed = prefixed && strings.HasPrefix(name, "module.")
	}
	if len(refs) > lim.Tensors {
		return nil, fmt.Errorf("%w: %d tensors, %d allowed", ErrTooLarge, len(refs), lim.Tensors)
	}
	if prefixed {
		for i := range refs {
			refs[i].name = strings.TrimPrefix(refs[i].name, "module.")
		}
	}
	return refs, nil
}
