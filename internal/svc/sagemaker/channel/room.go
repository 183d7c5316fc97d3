package channel

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrNoRoom means that a channel is larger than what the disk has left. It is
// found before the kernel says ENOSPC, and is one.
var ErrNoRoom = fmt.Errorf("it does not fit on the disk: %w", unix.ENOSPC)

// reserve is what staging leaves of a disk for everything else on it.
const reserve = 1 << 30

// room is how many bytes may be staged in dir.
func room(dir string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	block := int64(fs.Bsize) //nolint:unconvert // another type on other systems
	return int64(fs.Bavail)*block - min(reserve, int64(fs.Blocks)*block/20), nil
}

// budget is what is left of some room, for several writers.
type budget struct{ left atomic.Int64 }

// writer takes from the budget what is written, and fails once it is spent.
// Nobody can tell from a gzip file how large its content is; this is what
// stops one that was made to fill the disk.
func (b *budget) writer(w io.Writer) io.Writer { return &spender{w, b} }

type spender struct {
	w io.Writer
	b *budget
}

func (s *spender) Write(p []byte) (int, error) {
	if s.b.left.Add(-int64(len(p))) < 0 {
		return 0, fmt.Errorf("decompressed, %w", ErrNoRoom)
	}
	return s.w.Write(p)
}

// gunzip copies what a gzip file of size bytes holds.
func gunzip(w io.Writer, body io.Reader, size int64) error {
	in := &counter{r: body}
	unzip, err := gzip.NewReader(in)
	if err == nil {
		_, err = io.Copy(w, unzip)
	}
	var corrupt flate.CorruptInputError
	switch {
	case in.failed != nil:
		return in.failed
	case errors.As(err, &corrupt), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return bad("it is no gzip file (%v)", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if in.n == size {
			return bad("it is only the beginning of a gzip file")
		}
		return io.ErrUnexpectedEOF
	}
	return err
}

// counter tells failing from ending, and both from bad content.
type counter struct {
	r      io.Reader
	n      int64
	failed error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.failed = err
	}
	return n, err
}
