package blob

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Errors of this package; compare with errors.Is.
var (
	ErrNotFound = errors.New("blob: no such blob")
	ErrNoSpace  = errors.New("blob: no space left on disk")
	ErrLocked   = errors.New("blob: the folder is in use by another process")
)

// ID names a blob: 8 hexadecimal digits of the store's generation, 24 of
// chance. The empty ID names nothing.
type ID string

func (id ID) valid() bool {
	raw, err := hex.DecodeString(string(id))
	return err == nil && len(raw) == 16
}

// generation is the part of the ID that tells which opening of the store made
// the blob.
func (id ID) generation() uint64 {
	g, _ := strconv.ParseUint(string(id[:8]), 16, 64)
	return g
}

// Store is an open folder of blobs. Its methods may be called concurrently.
type Store struct {
	dir        string
	lock       *os.File
	generation uint64

	mu   sync.Mutex
	pins map[ID]*pin // blobs that Readers hold
}

// pin keeps a blob on disk while it is being read.
type pin struct {
	readers int
	doomed  bool // deleted meanwhile: unlinked by the last reader
}

// Open opens the store in dir and creates it where it is missing. What an
// earlier process had not finished writing is removed.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, pins: map[ID]*pin{}}
	if err := s.open(); err != nil {
		s.Close()
		return nil, fmt.Errorf("blob: open %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.acquireLock(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.tmpDir()); err != nil {
		return err
	}
	if err := s.makeFolders(); err != nil {
		return err
	}
	return s.nextGeneration()
}

// Close lets another process open the folder. Readers may outlive it.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

func (s *Store) acquireLock() (err error) {
	if s.lock, err = os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	err = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

func (s *Store) makeFolders() error {
	if err := os.Mkdir(s.tmpDir(), 0o700); err != nil {
		return err
	}
	for shard := range 256 {
		err := os.Mkdir(s.shardDir(shard), 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return syncDir(s.dir)
}

// nextGeneration reads, increments and durably writes the generation.
func (s *Store) nextGeneration() error {
	path := filepath.Join(s.dir, "generation")
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var last uint64
	if err == nil {
		if last, err = strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 32); err != nil {
			return fmt.Errorf("read generation: %w", err)
		}
	}
	s.generation = last + 1

	f, err := os.CreateTemp(s.tmpDir(), "generation")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, s.generation)
	return s.settle(f, err, path)
}

// settle flushes and closes f and moves it to its final path. Where writing it
// has failed (err) or anything fails here, no file stays.
func (s *Store) settle(f *os.File, err error, path string) error {
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name()) //nolint:errcheck // Open empties the folder anyway
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		os.Remove(path) //nolint:errcheck // nobody knows this file's name
		return err
	}
	return nil
}

// Delete removes blobs; those that are being read go when their last Reader is
// closed. A blob that does not exist is no error. The removal needs no flush:
// should a crash bring a blob back, Sweep finds that nothing refers to it.
func (s *Store) Delete(ids ...ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, id := range ids {
		if p := s.pins[id]; p != nil {
			p.doomed = true
			continue
		}
		errs = append(errs, s.unlink(id))
	}
	return errors.Join(errs...)
}

func (s *Store) unlink(id ID) error {
	if !id.valid() {
		return nil
	}
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob: delete: %w", err)
	}
	return nil
}

// Link makes a second blob of the same bytes, with a life of its own, without
// copying them where the file system has hard links.
func (s *Store) Link(id ID) (ID, error) {
	if !id.valid() {
		return "", ErrNotFound
	}
	twin := s.newID()
	err := os.Link(s.path(id), s.path(twin))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", ErrNotFound
	case err != nil: // too many links, or no links at all on this file system
		return s.duplicate(id)
	}
	if err := syncDir(filepath.Dir(s.path(twin))); err != nil {
		os.Remove(s.path(twin)) //nolint:errcheck // an orphan at worst
		return "", failure("link", err)
	}
	return twin, nil
}

// duplicate is Link by copying.
func (s *Store) duplicate(id ID) (ID, error) {
	source, err := os.Open(s.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", failure("link", err)
	}
	defer source.Close()
	f, err := os.CreateTemp(s.tmpDir(), "")
	if err != nil {
		return "", failure("link", err)
	}
	twin := s.newID()
	_, err = f.ReadFrom(source)
	if err := s.settle(f, err, s.path(twin)); err != nil {
		return "", failure("link", err)
	}
	return twin, nil
}

// Sweep removes the blobs of earlier processes for which keep says no, and
// returns how many there were. Blobs made since Open are left alone, so it may
// run beside everything else, provided that keep says yes for each blob that
// was referred to when Sweep was called.
func (s *Store) Sweep(keep func(ID) bool) (removed int, err error) {
	for shard := range 256 {
		entries, err := os.ReadDir(s.shardDir(shard))
		if err != nil {
			return removed, fmt.Errorf("blob: sweep: %w", err)
		}
		for _, e := range entries {
			id := ID(e.Name())
			if !id.valid() || id.generation() >= s.generation || keep(id) {
				continue
			}
			if err := s.Delete(id); err != nil {
				return removed, err
			}
			removed++
		}
	}
	return removed, nil
}

func (s *Store) newID() ID {
	var chance [12]byte
	rand.Read(chance[:]) //nolint:errcheck // it never fails
	return ID(fmt.Sprintf("%08x%x", s.generation, chance))
}

func (s *Store) tmpDir() string            { return filepath.Join(s.dir, "tmp") }
func (s *Store) shardDir(shard int) string { return filepath.Join(s.dir, fmt.Sprintf("%02x", shard)) }
func (s *Store) path(id ID) string {
	return filepath.Join(s.dir, string(id[len(id)-2:]), string(id))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

// failure names what failed, and makes a full disk recognisable.
func failure(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("blob: %s: %w (%w)", doing, ErrNoSpace, err)
	}
	return fmt.Errorf("blob: %s: %w", doing, err)
}
