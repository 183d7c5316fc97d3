package assets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// slot is the cache folder of one item:
//
//	FILE         the item's bytes, complete and verified
//	.stamp       what FILE looked like when it was verified
//	.lock        held while the slot changes
//	.part, .etag a download that can be continued
//	.tmp-*       work in progress; whoever holds the lock may remove it
//	tree/        the unpacked archive (FetchTree)
type slot struct {
	dir  string
	item Item
}

// stamp recognises an unchanged file without reading it.
type stamp struct {
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime"` // nanoseconds since 1970
}

func (r *Resolver) slot(it Item) *slot {
	return &slot{dir: filepath.Join(r.root, it.Key()), item: it}
}

func (s *slot) file() string { return filepath.Join(s.dir, s.item.File) }
func (s *slot) part() string { return filepath.Join(s.dir, ".part") }
func (s *slot) tree() string { return filepath.Join(s.dir, "tree") }

// temp makes a folder for work in progress.
func (s *slot) temp() (string, error) { return os.MkdirTemp(s.dir, ".tmp-") }

// fresh reports whether the file is there and still looks as it did when it was
// verified. It needs no lock: files and stamps appear by rename.
func (s *slot) fresh() bool {
	b, err := os.ReadFile(filepath.Join(s.dir, ".stamp"))
	if err != nil {
		return false
	}
	var st stamp
	if json.Unmarshal(b, &st) != nil || !s.item.accepts(st.SHA256) {
		return false
	}
	info, err := os.Stat(s.file())
	return err == nil && info.Size() == st.Size && info.ModTime().UnixNano() == st.ModTime
}

// recheck is fresh for the holder of the lock: a file whose stamp does not fit
// (a copied cache, a touched file) is hashed and kept if its bytes are right.
func (s *slot) recheck() bool { return s.fresh() || s.verify() == nil }

// verify hashes the file and renews its stamp, or removes it.
func (s *slot) verify() error {
	sum, err := s.item.check(s.file())
	if errors.Is(err, ErrChecksum) {
		return errors.Join(err, os.Remove(s.file()))
	}
	if err != nil {
		return err
	}
	return s.writeStamp(sum)
}

// commit checks a file inside the slot and gives it its final name.
func (s *slot) commit(tmp string) error {
	sum, err := s.item.check(tmp)
	if err != nil {
		return err
	}
	if err := syncFile(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.file()); err != nil {
		return err
	}
	return s.writeStamp(sum)
}

func (s *slot) writeStamp(sum string) error {
	info, err := os.Stat(s.file())
	if err != nil {
		return err
	}
	b, err := json.Marshal(stamp{SHA256: sum, Size: info.Size(), ModTime: info.ModTime().UnixNano()})
	if err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, ".tmp-stamp")
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(s.dir, ".stamp"))
}

// sweep removes what a killed process left half done. A .part stays: it is
// continued.
func (s *slot) sweep() error {
	names, err := filepath.Glob(filepath.Join(s.dir, ".tmp-*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

// lock takes the slot for this goroutine, among all processes, and calls wait
// once if it has to queue. The kernel lets go when the process dies.
func (s *slot) lock(ctx context.Context, wait func()) (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock: %w", err)
		}
		if first {
			wait()
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// treeSize adds up the regular files below a folder; files that vanish while it
// looks count nothing.
func treeSize(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// copyFile copies name into dir under the same base name.
func copyFile(dir, name string) (string, error) {
	src, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer src.Close()
	dst, err := os.Create(filepath.Join(dir, filepath.Base(name)))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(dst, src)
	return dst.Name(), errors.Join(err, dst.Close())
}

// sleep waits, or returns the context's cause.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// lastLine gives the last line of a program's output that says anything.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.Contains(strings.ToLower(lines[i]), "error") {
			return strings.TrimSpace(lines[i])
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
