package server

import (
	"io"
	"net/http"
)

// handler puts the server's own addresses before the AWS APIs. Neither path
// can be a bucket's: a bucket's name has three characters at least, but
// /metrics and /healthz are taken from whoever names a bucket so.
func (s *Server) handler() http.Handler {
	metrics := s.metrics.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/healthz" && r.Header.Get("Authorization") == "":
			s.healthz(w, r)
		case r.Method == http.MethodGet && r.URL.Path == "/metrics" && r.Header.Get("Authorization") == "":
			metrics.ServeHTTP(w, r)
		case r.Method == http.MethodGet && r.URL.Path == credentialsPath:
			s.roles.ServeHTTP(w, r)
		default:
			s.gateway.ServeHTTP(w, r)
		}
	})
}

// healthz answers 200 while the database takes reads.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if err := s.db.Ping(r.Context()); err != nil {
		http.Error(w, "the database does not answer: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n") //nolint:errcheck // the client has gone
}
