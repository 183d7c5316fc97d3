package pth

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
)

// legacyStart is how a legacy file begins: protocol 2, then the magic number as
// a long of ten bytes.
const legacyStart = "\x80\x02\x8a\x0a"

const (
	legacyMagic   = "1950a86a20f9469cfc6c" // hex
	legacyVersion = 1001
)

// legacyFile is the format before PyTorch 1.6: five pickles in a row (magic
// number, version, facts about the machine, the object, the keys of its
// storages), then for each key the number of elements (int64) and the elements,
// all little endian.
type legacyFile struct {
	r    io.ReaderAt
	size int64
	at   map[string]legacyStorage // by key
}

type legacyStorage struct{ offset, numel int64 }

func loadLegacy(r io.ReaderAt, size int64, lim Limits) (any, container, error) {
	m := newMachine(io.NewSectionReader(r, 0, size), min(size, lim.Pickle))
	if err := checkLegacyHead(m); err != nil {
		return nil, nil, err
	}
	root, err := m.run()
	if err != nil {
		return nil, nil, err
	}
	keys, err := m.run()
	if err != nil {
		return nil, nil, err
	}
	f := &legacyFile{r: r, size: size, at: map[string]legacyStorage{}}
	if err := f.locate(m, keys); err != nil {
		return nil, nil, err
	}
	return root, f, nil
}

func checkLegacyHead(m *machine) error {
	magic, err := m.run()
	if err != nil {
		return err
	}
	if n, ok := magic.(*big.Int); !ok || n.Text(16) != legacyMagic {
		return fmt.Errorf("%w: wrong magic number", ErrFormat)
	}
	version, err := m.run()
	if err != nil {
		return err
	}
	if version != int64(legacyVersion) {
		return fmt.Errorf("%w: legacy format %s", ErrUnsupported, describe(version))
	}
	// The machine's facts say "little_endian": numbers are written so everywhere.
	_, err = m.run()
	return err
}

// locate walks over the storages behind the pickles.
func (f *legacyFile) locate(m *machine, keys any) error {
	list, ok := keys.(*list)
	if !ok {
		return fmt.Errorf("%w: no list of storages", ErrFormat)
	}
	off := m.consumed()
	for _, k := range list.items {
		key, ok := k.(string)
		s := m.storages[key]
		if !ok || s == nil {
			return fmt.Errorf("%w: storage %s belongs to no tensor", ErrFormat, describe(k))
		}
		head, err := readAt(f.r, f.size, off, 8)
		if err != nil {
			return err
		}
		numel := int64(binary.LittleEndian.Uint64(head))
		off += 8
		if numel != s.numel || numel > (f.size-off)/s.dtype.size() {
			return fmt.Errorf("%w: storage %q has %d elements instead of %d", ErrFormat, key, numel, s.numel)
		}
		f.at[key] = legacyStorage{offset: off, numel: numel}
		off += numel * s.dtype.size()
	}
	return nil
}

func (f *legacyFile) bigEndian() bool { return false }

func (f *legacyFile) read(s *storage, offset, n int64) ([]byte, error) {
	at, ok := f.at[s.key]
	if !ok {
		return nil, fmt.Errorf("%w: storage %q is missing", ErrFormat, s.key)
	}
	if offset > at.numel-n {
		return nil, fmt.Errorf("%w: storage %q has %d elements", ErrFormat, s.key, at.numel)
	}
	return readAt(f.r, f.size, at.offset+offset*s.dtype.size(), n*s.dtype.size())
}
