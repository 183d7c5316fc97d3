package modelserver

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/internal/serve"
)

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(path); err == nil || !strings.Contains(err.Error(), "another process serves there") {
		t.Errorf("a socket in use: %v", err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	l, err := listen(path)
	if err != nil {
		t.Fatalf("a socket that a dead process left: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode: %v, %v", info.Mode(), err)
	}
	l.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is there after Close")
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(path); err == nil || !strings.Contains(err.Error(), "something else is there") {
		t.Errorf("a file in the way: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("the file in the way was touched")
	}
	if _, err := listen(filepath.Join(path, "x", "s")); err == nil {
		t.Error("a folder that is not there passes")
	}
}

// Paths that do not fit a socket's address work, and the router finds them.
func TestLongSocketPath(t *testing.T) {
	for name, from := range map[string]func(dir string) string{
		"near the working folder": func(dir string) string { return dir },
		"far from it":             func(string) string { return "/" },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Chdir(from(dir))
			path := filepath.Join(dir, "s")
			for range 2 { // the second one replaces a stale socket
				l, err := listen(path)
				if err != nil {
					t.Fatal(err)
				}
				front := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
				go front.Serve(l) //nolint:errcheck // it ends with Close
				if err := serve.NewRouter(serve.Options{}).Ping(context.Background(), serve.Instance{Socket: path}); err == nil || !strings.Contains(err.Error(), "404") {
					t.Errorf("the router's ping: %v", err)
				}
				l.(*listener).Listener.Close() // leaves the file
			}
		})
	}
}
