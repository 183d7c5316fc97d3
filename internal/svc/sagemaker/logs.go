package sagemaker

import (
	"io"
	"os"
	"strings"
	"syscall"
)

// LastLines returns the end of a log, most bytes at the most, from the start
// of a line where there is one; empty where there is no log.
func LastLines(path string, most int64) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(most, info.Size()))
	n, _ := file.ReadAt(buf, info.Size()-int64(len(buf))) //nolint:errcheck // what was read is all there is to tell
	text := strings.ToValidUTF8(string(buf[:n]), "")
	if _, rest, ok := strings.Cut(text, "\n"); ok && int64(n) < info.Size() {
		text = rest
	}
	return strings.TrimSpace(text)
}

// ReadOwn reads the start, most bytes, of a file that a job wrote below dir; it
// may as well be a link to somewhere else, or a pipe. Empty where there is none.
func ReadOwn(dir, name string, most int64) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ""
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(text), "")
}

// Cut shortens a FailureReason to what the API may carry.
func Cut(reason string) string {
	const most = 1024
	reason = strings.ToValidUTF8(reason, "�")
	if runes := []rune(reason); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return reason
}
