package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Part is one of the blobs that make up an object.
type Part struct {
	ID   ID    `json:"id"`
	Size int64 `json:"size"` // bytes
}

// Size is the length in bytes of the concatenation of parts.
func Size(parts []Part) (n int64) {
	for _, p := range parts {
		n += p.Size
	}
	return n
}

// Reader reads a range of the concatenation of some blobs. It implements
// io.WriterTo such that a network connection is fed by sendfile where the
// operating system has it.
type Reader struct {
	store  *Store
	held   []ID     // pinned until Close
	pieces []piece  // still to be read
	file   *os.File // of pieces[0]; nil: not opened yet
}

// piece is a range of one blob.
type piece struct {
	id     ID
	off, n int64
}

// Reader returns a reader of n bytes from offset off of the concatenation of
// parts, or ErrNotFound where a blob that it needs does not exist. The range
// must lie inside. Until it is closed, the blobs that it reads stay.
func (s *Store) Reader(parts []Part, off, n int64) (*Reader, error) {
	if off < 0 || n < 0 || off+n > Size(parts) {
		return nil, fmt.Errorf("blob: range %d+%d outside of %d bytes", off, n, Size(parts))
	}
	r := &Reader{store: s, pieces: cut(parts, off, n)}
	r.pin()
	// Looking comes after pinning: a blob that is there now will be there
	// when its turn comes.
	for _, p := range r.pieces {
		if err := s.exists(p.id); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// cut returns the pieces of parts that a range covers.
func cut(parts []Part, off, n int64) (pieces []piece) {
	for _, p := range parts {
		if n == 0 {
			break
		}
		if off >= p.Size {
			off -= p.Size
			continue
		}
		take := min(n, p.Size-off)
		pieces = append(pieces, piece{id: p.ID, off: off, n: take})
		n -= take
		off = 0
	}
	return pieces
}

func (r *Reader) pin() {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	for _, p := range r.pieces {
		if r.store.pins[p.id] == nil {
			r.store.pins[p.id] = &pin{}
		}
		r.store.pins[p.id].readers++
		r.held = append(r.held, p.id)
	}
}

func (s *Store) exists(id ID) error {
	if !id.valid() {
		return ErrNotFound
	}
	_, err := os.Lstat(s.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return failure("open", err)
	}
	return nil
}

// Close ends the reading; blobs deleted meanwhile go now. It may be called
// more than once.
func (r *Reader) Close() error {
	r.closeFile()
	r.pieces = nil
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	var errs []error
	for _, id := range r.held {
		p := r.store.pins[id]
		if p.readers--; p.readers > 0 {
			continue
		}
		delete(r.store.pins, id)
		if p.doomed {
			errs = append(errs, r.store.unlink(id))
		}
	}
	r.held = nil
	return errors.Join(errs...)
}

func (r *Reader) closeFile() {
	if r.file != nil {
		r.file.Close() //nolint:errcheck // it was only read
		r.file = nil
	}
}

// current opens the first piece where it is not open yet and steps over
// pieces that are done; it returns io.EOF behind the last.
func (r *Reader) current() (*piece, error) {
	for len(r.pieces) > 0 && r.pieces[0].n == 0 {
		r.closeFile()
		r.pieces = r.pieces[1:]
	}
	if len(r.pieces) == 0 {
		return nil, io.EOF
	}
	p := &r.pieces[0]
	if r.file != nil {
		return p, nil
	}
	f, err := os.Open(r.store.path(p.id))
	if err != nil {
		return nil, failure("read", err)
	}
	r.file = f
	if _, err := f.Seek(p.off, io.SeekStart); err != nil {
		return nil, failure("read", err)
	}
	return p, nil
}

// Read implements io.Reader. A blob shorter than its recorded size is an
// error, io.ErrUnexpectedEOF.
func (r *Reader) Read(b []byte) (int, error) {
	p, err := r.current()
	if err != nil {
		return 0, err
	}
	n, err := r.file.Read(b[:min(int64(len(b)), p.n)])
	p.n -= int64(n)
	if errors.Is(err, io.EOF) {
		err = short(p)
	}
	return n, err
}

// WriteTo implements io.WriterTo.
func (r *Reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		p, err := r.current()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := io.Copy(w, &io.LimitedReader{R: r.file, N: p.n})
		p.n -= n
		total += n
		if err == nil && p.n > 0 {
			err = short(p)
		}
		if err != nil {
			return total, err
		}
	}
}

func short(p *piece) error {
	return fmt.Errorf("blob: %s lacks %d bytes: %w", p.id, p.n, io.ErrUnexpectedEOF)
}
