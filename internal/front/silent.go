package front

import (
	"net"
	"net/http"
	"sync"
)

// silent are the connections on which no request has come yet. Clients open
// some in advance, and http.Server.Shutdown waits five seconds for each.
type silent struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// follow is a ConnState hook.
func (s *silent) follow(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state != http.StateNew {
		delete(s.conns, conn)
		return
	}
	if s.conns == nil {
		s.conns = map[net.Conn]bool{}
	}
	s.conns[conn] = true
}

// Close closes them.
func (s *silent) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close() //nolint:errcheck // nobody has said anything on it
	}
}
