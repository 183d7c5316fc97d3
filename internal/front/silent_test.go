package front

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// closed tells whether the other end of a pipe is.
func closed(t *testing.T, end net.Conn) bool {
	t.Helper()
	if end.SetReadDeadline(time.Now().Add(50*time.Millisecond)) != nil {
		return true
	}
	_, err := end.Read(make([]byte, 1))
	timeout, ok := err.(net.Error) //nolint:errorlint // a pipe gives it bare
	return !ok || !timeout.Timeout()
}

func TestSilentConnections(t *testing.T) {
	var s silent
	fresh, freshEnd := net.Pipe()
	busy, busyEnd := net.Pipe()
	defer busy.Close()
	for _, c := range []net.Conn{fresh, busy} {
		s.follow(c, http.StateNew)
	}
	s.follow(busy, http.StateActive)
	s.Close()
	if !closed(t, freshEnd) {
		t.Error("a connection without a request stays open")
	}
	if closed(t, busyEnd) {
		t.Error("a connection with a request was closed")
	}
}
