package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

// Info describes a blob that was put.
type Info struct {
	ID   ID
	Size int64
	Sums map[Algorithm][]byte // of the algorithms that were asked for
}

// Options say what Put does beyond writing.
type Options struct {
	Sums []Algorithm // checksums to compute on the way

	// Check is called when all bytes have arrived and before they are
	// acknowledged or flushed (so Info.ID is still empty). Where it returns an
	// error, nothing stays, and Put returns that error, wrapped.
	Check func(Info) error
}

const (
	// chunk is how much is read, hashed and written at a time.
	chunk = 256 << 10
	// writeback is after how many bytes the disk is told to begin writing, so
	// that the final flush of a large blob does not begin with all of it.
	writeback = 8 << 20
)

var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// Put writes all that r yields as a new blob, and returns when it would
// survive a power cut. A failing r, a cancelled ctx or a full disk
// ([ErrNoSpace]) leaves nothing behind. The errors of r and of ctx are found
// in Put's with errors.Is and errors.As.
func (s *Store) Put(ctx context.Context, r io.Reader, opts Options) (Info, error) {
	f, err := os.CreateTemp(s.tmpDir(), "")
	if err != nil {
		return Info{}, failure("put", err)
	}
	info, err := fill(ctx, f, r, opts.Sums)
	if err == nil && opts.Check != nil {
		err = opts.Check(info)
	}
	info.ID = s.newID()
	if err := s.settle(f, err, s.path(info.ID)); err != nil {
		return Info{}, failure("put", err)
	}
	return info, nil
}

// fill copies r to f and computes the checksums.
func fill(ctx context.Context, f *os.File, r io.Reader, algorithms []Algorithm) (Info, error) {
	hashes := make(map[Algorithm]hash.Hash, len(algorithms))
	for _, a := range algorithms {
		if hashes[a] = a.New(); hashes[a] == nil {
			return Info{}, fmt.Errorf("unknown checksum algorithm %q", a)
		}
	}
	size, err := copyChunks(ctx, f, r, hashes)
	if err != nil {
		return Info{}, err
	}
	sums := make(map[Algorithm][]byte, len(hashes))
	for a, h := range hashes {
		sums[a] = h.Sum(nil)
	}
	return Info{Size: size, Sums: sums}, nil
}

func copyChunks(ctx context.Context, f *os.File, r io.Reader, hashes map[Algorithm]hash.Hash) (size int64, err error) {
	buf := buffers.Get().(*[chunk]byte)
	defer buffers.Put(buf)
	flushed := int64(0)
	for {
		n, readErr := readFull(r, buf[:])
		for _, h := range hashes {
			h.Write(buf[:n])
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return size, err
		}
		size += int64(n)
		if errors.Is(readErr, io.EOF) {
			return size, nil
		}
		if err := cmp.Or(readErr, ctx.Err()); err != nil {
			return size, err
		}
		if size-flushed >= writeback {
			startWriteback(f, flushed, size-flushed)
			flushed = size
		}
	}
}

// readFull fills buf. Unlike io.ReadFull it returns io.EOF at the end and the
// reader's own error everywhere else, so that a request cut short by its
// client (io.ErrUnexpectedEOF) is not taken for the end.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}
