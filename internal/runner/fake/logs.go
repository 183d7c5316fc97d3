package fake

import (
	"context"
	"io"
)

// logReader reads a piece of work's log.
type logReader struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   *Work
	follow bool
	at     int // what was read
}

// Read implements io.Reader.
func (l *logReader) Read(b []byte) (int, error) {
	for {
		if err := l.ctx.Err(); err != nil {
			return 0, err
		}
		n, ended, grown := l.read(b)
		if n > 0 || len(b) == 0 {
			return n, nil
		}
		if ended || !l.follow {
			return 0, io.EOF
		}
		select {
		case <-grown:
		case <-l.ctx.Done():
		}
	}
}

func (l *logReader) read(b []byte) (n int, ended bool, grown <-chan struct{}) {
	l.work.mu.Lock()
	defer l.work.mu.Unlock()
	n = copy(b, l.work.log.Bytes()[l.at:])
	l.at += n
	return n, l.work.status.Ended(), l.work.grown
}

// Close implements io.Closer.
func (l *logReader) Close() error {
	l.cancel()
	return nil
}
