package channel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fifos makes and opens named pipes in one folder. The folder is the job's: it
// may put anything in their places, also links to what only the server may
// write. So nothing is followed, and what is opened must be a pipe.
type fifos struct{ folder *os.File }

func openFifos(dir string) (*fifos, error) {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &fifos{os.NewFile(uintptr(fd), dir)}, nil
}

// make makes a pipe in the place of whatever file is there.
func (f *fifos) make(name string) error {
	f.remove(name)
	if err := unix.Mkfifoat(int(f.folder.Fd()), name, 0o600); err != nil {
		return fmt.Errorf("make the pipe %s: %w", name, err)
	}
	return nil
}

func (f *fifos) remove(name string) { unix.Unlinkat(int(f.folder.Fd()), name, 0) } //nolint:errcheck // make tells what is left in its way

// open opens a pipe for writing. It fails with ENXIO while nobody reads it.
func (f *fifos) open(name string) (*os.File, error) {
	fd, err := unix.Openat(int(f.folder.Fd()), name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	file := os.NewFile(uintptr(fd), name)
	info, err := file.Stat()
	if err == nil && info.Mode().Type() != os.ModeNamedPipe {
		err = errors.New("the job has put something else in its place")
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("the pipe %s: %w", name, err)
	}
	return file, nil
}

func (f *fifos) close() { f.folder.Close() }
