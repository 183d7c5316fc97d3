package modelserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits a sockaddr_un.
const maxSocketPath = 107

// listen binds a Unix socket, also at a path that is too long for the system
// call, and in place of a socket that a dead process left behind.
func listen(path string) (net.Listener, error) {
	l, err := bind(path)
	if errors.Is(err, unix.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return nil, err
		}
		l, err = bind(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, plain(err))
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// plain leaves out the short name that was bound.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func bind(path string) (net.Listener, error) {
	name, done, err := short(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would unlink the short name
	return &listener{l, path}, nil
}

// short finds a name for path that fits: itself, seen from the working folder, or
// by way of its open folder.
func short(path string) (name string, done func(), err error) {
	done = func() {}
	if len(path) <= maxSocketPath {
		return path, done, nil
	}
	if cwd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(cwd, path); err == nil && len(rel) <= maxSocketPath {
			return rel, done, nil
		}
	}
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// removeStale removes a socket that nobody answers on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("cannot listen on %s: something else is there", path)
	}
	name, done, err := short(path)
	if err != nil {
		return err
	}
	defer done()
	if conn, err := net.DialTimeout("unix", name, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("cannot listen on %s: another process serves there", path)
	}
	return os.Remove(path)
}

// listener removes its socket when it is closed.
type listener struct {
	net.Listener
	path string
}

func (l *listener) Close() error {
	err := l.Listener.Close()
	if removed := os.Remove(l.path); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
