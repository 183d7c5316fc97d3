package features

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// cache is the folder of one backbone and preprocessing.
type cache struct {
	dir string
	dim int
}

func openCache(root, key string, dim int) (*cache, error) {
	c := &cache{dir: filepath.Join(root, key), dim: dim}
	return c, os.MkdirAll(c.dir, 0o700)
}

// read fills in the rows that the cache has and gives back the positions that
// it has not. IDs must be distinct.
func (c *cache) read(ids []ID, rows [][]float32) (missing []int, err error) {
	wanted := make(map[ID]int, len(ids))
	for i, id := range ids {
		wanted[id] = i
	}
	files, err := segmentFiles(c.dir)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		if len(wanted) == 0 {
			break
		}
		if err := c.readSegment(path, wanted, rows); err != nil {
			return nil, err
		}
	}
	for _, i := range wanted {
		missing = append(missing, i)
	}
	slices.Sort(missing)
	return missing, nil
}

// readSegment takes what is wanted from one segment; a damaged or vanished one has nothing.
func (c *cache) readSegment(path string, wanted map[ID]int, rows [][]float32) error {
	s, err := openSegment(path)
	if errors.Is(err, errNotSegment) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.close()
	if s.dim != c.dim {
		return nil
	}
	used := false
	for k, e := range s.index {
		i, ok := wanted[e.id]
		if !ok {
			continue
		}
		row := make([]float32, c.dim)
		intact, err := s.row(k, row)
		if err != nil {
			return err
		}
		if intact {
			rows[i], used = row, true
			delete(wanted, e.id)
		}
	}
	if used { // for the order in which segments are dropped; failing to note it harms nobody
		now := time.Now()
		_ = os.Chtimes(path, now, now)
	}
	return nil
}

// lock waits until no other process computes for this cache. Waiting is
// noticed through poll, called now and then.
func (c *cache) lock(ctx context.Context, poll func()) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil // closing gives it back
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		poll()
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// clean deletes what is not a segment: leftovers of killed writers and damaged
// files. The caller holds the lock.
func (c *cache) clean() error {
	leftovers, err := filepath.Glob(filepath.Join(c.dir, "*.tmp"))
	if err != nil {
		return err
	}
	files, err := segmentFiles(c.dir)
	if err != nil {
		return err
	}
	for _, path := range files {
		s, err := openSegment(path)
		switch {
		case err == nil:
			s.close()
		case errors.Is(err, errNotSegment):
			leftovers = append(leftovers, path)
		}
	}
	for _, path := range leftovers {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// shrink deletes the segments unused for longest, of all caches under root,
// until they take at most max bytes. Whoever reads a deleted one just then
// still has it open or computes its rows again.
func shrink(root string, most int64) error {
	type file struct {
		path string
		size int64
		used time.Time
	}
	paths, err := filepath.Glob(filepath.Join(root, "*", "*"+extension))
	if err != nil {
		return err
	}
	var files []file
	var total int64
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		files = append(files, file{path, info.Size(), info.ModTime()})
		total += info.Size()
	}
	slices.SortFunc(files, func(a, b file) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if total <= most {
			break
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.size
	}
	return nil
}
