package record

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A log that can't be written must not stop the work, and says what is missing.
func TestLogOnAFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	w := &LogWriter{file: full, left: 1000}
	if n, err := w.Write([]byte("lost")); n != 4 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	path := filepath.Join(t.TempDir(), "log")
	later, err := OpenLog(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	w.file = later.file
	if _, err := w.Write([]byte("kept\n")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "\n[4 bytes of the log could not be written]\nkept\n" {
		t.Errorf("log %q, %v", b, err)
	}
}

func TestLogLimitIsExact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w, err := OpenLog(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"12345", "67890", "x", "y"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("write %q: %d, %v", s, n, err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(b, []byte("1234567890\n[")) || bytes.Count(b, []byte("[")) != 1 {
		t.Errorf("log %q, %v", b, err)
	}
}
