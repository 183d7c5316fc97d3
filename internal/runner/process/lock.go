//go:build linux

package process

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// The locks belong to an open file (F_OFD_SETLK), not to a process: two
// runners in one process exclude each other, the kernel lets go of a lock when
// its holder dies, and, unlike with flock, one may ask without taking.

// errLocked is returned by lock if somebody else holds it.
var errLocked = errors.New("locked by another process")

// lock takes the lock file at path without waiting. Closing the file frees it.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, errLocked
	}
	return nil, &os.PathError{Op: "lock", Path: path, Err: err}
}

// locked tells whether anybody holds the lock file at path. A file that is not
// there is held by nobody.
func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	ask := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &ask)
	return err == nil && ask.Type != unix.F_UNLCK
}
