package modelserver

import (
	"io"
	"slices"
	"sync"
)

// buffers keeps the memory of requests for the next ones.
type buffers struct{ pool sync.Pool }

// maxKept is the largest buffer that is kept: most photos are smaller, and one
// that is not must not cost its size for ever.
const maxKept = 1 << 20

// get gives an empty buffer with room for size bytes, or for what is usual where
// the size is not known (-1). One byte more lets the end be seen without growing.
func (b *buffers) get(size int64) []byte {
	if size < 0 {
		size = 64 << 10
	}
	if p, ok := b.pool.Get().(*[]byte); ok && int64(cap(*p)) > size {
		return (*p)[:0]
	}
	return make([]byte, 0, size+1)
}

func (b *buffers) put(buf []byte) {
	if cap(buf) <= maxKept {
		b.pool.Put(&buf)
	}
}

// readInto reads all of r behind what is in buf.
func readInto(buf []byte, r io.Reader) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(len(buf), 512))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}
