package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"unsafe"
)

// ID is the SHA-256 of a photo's file.
type ID [32]byte

const (
	magic      = "MUSHFEAT"
	version    = 1
	headerSize = 24
	entrySize  = 32 + 4 // ID and checksum
	extension  = ".feat"
	// maxRows and maxDim bound what a header may claim, far above what is written.
	maxRows = 1 << 20
	maxDim  = 1 << 16
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

var errNotSegment = errors.New("not a whole segment")

// segment is an open segment file.
type segment struct {
	f     *os.File
	dim   int
	index []entry
}

type entry struct {
	id  ID
	crc uint32
}

// openSegment reads a segment's header and index and checks them.
func openSegment(path string) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &segment{f: f}
	if err := s.readIndex(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *segment) readIndex() error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	header := make([]byte, headerSize)
	if _, err := s.f.ReadAt(header, 0); err != nil {
		return notSegment(err)
	}
	order := binary.NativeEndian
	dim, rows := int64(order.Uint32(header[12:])), int64(order.Uint32(header[16:]))
	if string(header[:8]) != magic || order.Uint32(header[8:]) != version || dim > maxDim || rows > maxRows ||
		info.Size() != headerSize+rows*(entrySize+4*dim) {
		return errNotSegment
	}
	index := make([]byte, rows*entrySize)
	if _, err := s.f.ReadAt(index, headerSize); err != nil {
		return notSegment(err)
	}
	if crc32.Update(crc32.Checksum(header[:20], crcTable), crcTable, index) != order.Uint32(header[20:]) {
		return errNotSegment
	}
	s.dim, s.index = int(dim), make([]entry, rows)
	for i := range s.index {
		e := index[i*entrySize:]
		s.index[i] = entry{ID(e[:32]), order.Uint32(e[32:])}
	}
	return nil
}

// notSegment takes a file that ends too early for a damaged one; other errors are the machine's.
func notSegment(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNotSegment
	}
	return err
}

// row reads vector i into dst and says whether it is intact.
func (s *segment) row(i int, dst []float32) (bool, error) {
	b := floatBytes(dst)
	at := headerSize + int64(len(s.index))*entrySize + int64(i)*int64(len(b))
	if _, err := s.f.ReadAt(b, at); err != nil {
		return false, err
	}
	return crc32.Checksum(b, crcTable) == s.index[i].crc, nil
}

func (s *segment) close() { s.f.Close() }

// writeSegment writes vectors (rows of dim floats, one after the other) as a
// new segment of the folder: whole, flushed, or not at all.
func writeSegment(dir string, dim int, ids []ID, rows []float32) (err error) {
	order := binary.NativeEndian
	header := append(make([]byte, 0, headerSize), magic...)
	header = order.AppendUint32(header, version)
	header = order.AppendUint32(header, uint32(dim))
	header = order.AppendUint32(header, uint32(len(ids)))
	index := make([]byte, 0, len(ids)*entrySize)
	for i, id := range ids {
		index = append(index, id[:]...)
		index = order.AppendUint32(index, crc32.Checksum(floatBytes(rows[i*dim:(i+1)*dim]), crcTable))
	}
	header = order.AppendUint32(header, crc32.Update(crc32.Checksum(header, crcTable), crcTable, index))

	f, err := os.CreateTemp(dir, "new-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	for _, b := range [][]byte{header, index, floatBytes(rows)} {
		if _, err = f.Write(b); err != nil {
			return err
		}
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), strings.TrimSuffix(f.Name(), ".tmp")+extension); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func segmentFiles(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "*"+extension))
}

// floatBytes is a slice's own memory.
func floatBytes(v []float32) []byte {
	if len(v) == 0 || len(v) > math.MaxInt/4 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
}
