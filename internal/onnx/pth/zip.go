package pth

import (
	"archive/zip"
	"fmt"
	"io"
	"path"
	"strings"
)

// zipFile is the format of PyTorch 1.6 and later: NAME/data.pkl is the pickle,
// NAME/data/KEY are the storages, NAME/byteorder tells the byte order (absent:
// little endian).
type zipFile struct {
	r       io.ReaderAt
	size    int64
	members map[string]*zip.File // by name below NAME/
	big     bool
}

func loadZip(r io.ReaderAt, size int64, lim Limits) (any, container, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	f := &zipFile{r: r, size: size, members: map[string]*zip.File{}}
	prefix, err := pickleFolder(z.File)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range z.File {
		if name, ok := strings.CutPrefix(m.Name, prefix); ok {
			f.members[name] = m
		}
	}
	if f.members["constants.pkl"] != nil {
		return nil, nil, fmt.Errorf("%w: TorchScript", ErrUnsupported)
	}
	if f.big, err = f.readByteOrder(); err != nil {
		return nil, nil, err
	}
	pkl := f.members["data.pkl"]
	if pkl.UncompressedSize64 > uint64(lim.Pickle) {
		return nil, nil, fmt.Errorf("%w: %d bytes of pickle, %d allowed", ErrTooLarge, pkl.UncompressedSize64, lim.Pickle)
	}
	src, err := pkl.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer src.Close()
	root, err := newMachine(src, int64(pkl.UncompressedSize64)).run()
	return root, f, err
}

// pickleFolder finds the folder of data.pkl, with a trailing slash.
func pickleFolder(files []*zip.File) (string, error) {
	for _, m := range files {
		if dir, name := path.Split(m.Name); name == "data.pkl" {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%w: a zip without data.pkl", ErrFormat)
}

func (f *zipFile) readByteOrder() (big bool, err error) {
	m := f.members["byteorder"]
	if m == nil {
		return false, nil
	}
	src, err := m.Open()
	if err != nil {
		return false, fmt.Errorf("%w: byteorder: %w", ErrFormat, err)
	}
	defer src.Close()
	b, err := io.ReadAll(io.LimitReader(src, 16))
	switch {
	case err != nil:
		return false, fmt.Errorf("%w: byteorder: %w", ErrFormat, err)
	case string(b) == "little":
		return false, nil
	case string(b) == "big":
		return true, nil
	default:
		return false, fmt.Errorf("%w: byteorder %q", ErrFormat, b)
	}
}

func (f *zipFile) bigEndian() bool { return f.big }

// read takes the bytes straight from the file, as members are stored without
// compression. When the whole member is wanted, its CRC is checked on the way.
func (f *zipFile) read(s *storage, offset, n int64) ([]byte, error) {
	m := f.members["data/"+s.key]
	if m == nil {
		return nil, fmt.Errorf("%w: storage %q is missing", ErrFormat, s.key)
	}
	if m.Method != zip.Store {
		return nil, fmt.Errorf("%w: storage %q is compressed", ErrUnsupported, s.key)
	}
	size := s.dtype.size()
	if m.UncompressedSize64 != m.CompressedSize64 || uint64(s.numel) > m.UncompressedSize64/uint64(size) {
		return nil, fmt.Errorf("%w: storage %q has %d bytes for %d elements", ErrFormat, s.key, m.UncompressedSize64, s.numel)
	}
	start, err := m.DataOffset()
	if err != nil {
		return nil, fmt.Errorf("%w: storage %q: %w", ErrFormat, s.key, err)
	}
	if uint64(n*size) != m.UncompressedSize64 {
		return readAt(f.r, f.size, start+offset*size, n*size)
	}
	if n*size > f.size-start {
		return nil, errCutOff
	}
	return readMember(m, n*size)
}

// readMember reads a whole member of n bytes.
func readMember(m *zip.File, n int64) ([]byte, error) {
	src, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer src.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(src, b); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, m.Name, err)
	}
	var beyond [1]byte
	if _, err := src.Read(beyond[:]); err != io.EOF { // the CRC is compared at the end
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, m.Name, err)
	}
	return b, nil
}

var errCutOff = fmt.Errorf("%w: its numbers are cut off", ErrFormat)

// readAt reads n bytes at off of a file of the given size.
func readAt(r io.ReaderAt, size, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > size || n > size-off {
		return nil, errCutOff
	}
	b := make([]byte, n)
	if got, err := r.ReadAt(b, off); int64(got) != n {
		return nil, err
	}
	return b, nil
}
