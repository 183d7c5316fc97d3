package record

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// followInterval is how often a follower looks for more.
const followInterval = 50 * time.Millisecond

// logReader reads a log, and waits for more if it follows.
type logReader struct {
	ctx    context.Context
	cancel context.CancelFunc
	path   string
	state  State
	follow bool

	mu   sync.Mutex // between Read and Close
	file *os.File   // nil until the log exists
}

// State tells whether the work has ended, and gives a channel that is closed
// when that may have changed.
type State func() (ended bool, changed <-chan struct{})

// ReadLog reads the log at path, which need not exist yet. With follow it waits
// for more until the work has ended.
func ReadLog(ctx context.Context, path string, state State, follow bool) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	return &logReader{ctx: ctx, cancel: cancel, path: path, state: state, follow: follow}
}

// Read implements io.Reader. It ends with io.EOF at the end of the log, but a
// follower only when the work has ended too.
func (l *logReader) Read(b []byte) (int, error) {
	for {
		if err := l.ctx.Err(); err != nil {
			return 0, err
		}
		// Asked before reading: what was written before the end is read then.
		ended, changed := l.state()
		n, err := l.read(b)
		if n > 0 || err != nil {
			return n, err
		}
		if ended || !l.follow {
			return 0, io.EOF
		}
		select {
		case <-changed:
		case <-time.After(followInterval):
		case <-l.ctx.Done():
		}
	}
}

// read reads what is there now: 0 bytes and no error at the end.
func (l *logReader) read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		f, err := os.Open(l.path)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		l.file = f
	}
	n, err := l.file.Read(b)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Close implements io.Closer. It ends a Read that waits.
func (l *logReader) Close() error {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
