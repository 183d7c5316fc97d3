package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// LogWriter appends what the work prints to its log, up to a limit. It never
// fails: work must not stand still because its log can't be written.
type LogWriter struct {
	file *os.File
	left int64 // bytes that may still be written
	cut  bool
	lost int64 // bytes that could not be written since the last success
}

// OpenLog opens or makes the log. A link in its place could lead anywhere, so
// it is not followed.
func OpenLog(path string, limit int64) (*LogWriter, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return &LogWriter{file: f, left: limit}, nil
}

func (w *LogWriter) Write(b []byte) (int, error) {
	n := len(b)
	switch {
	case w.cut:
	case int64(n) > w.left:
		w.put(b[:w.left])
		w.put([]byte("\n[log limit reached: what follows is not kept]\n"))
		w.cut = true
	default:
		w.put(b)
		w.left -= int64(n)
	}
	return n, nil
}

func (w *LogWriter) put(b []byte) {
	if w.lost > 0 {
		note := fmt.Sprintf("\n[%d bytes of the log could not be written]\n", w.lost)
		if _, err := io.WriteString(w.file, note); err != nil {
			w.lost += int64(len(b))
			return
		}
		w.lost = 0
	}
	n, err := w.file.Write(b)
	if err != nil {
		w.lost += int64(len(b) - n)
	}
}

// CopyFrom copies until every writer of the pipe is gone.
func (w *LogWriter) CopyFrom(pipe *os.File) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{pipe}, make([]byte, 64<<10))
	return errors.Join(err, w.file.Close())
}

// Close closes the log.
func (w *LogWriter) Close() error { return w.file.Close() }
