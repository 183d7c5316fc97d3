package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
)

// Kinds of failure, for errors.Is.
var (
	// ErrForbiddenURL: the URL itself is not acceptable (scheme, userinfo, port).
	ErrForbiddenURL = errors.New("forbidden URL")
	// ErrForbiddenAddress: the host's address is not public and not listed.
	ErrForbiddenAddress = errors.New("forbidden address")
	// ErrTooLarge: the body exceeds the size limit.
	ErrTooLarge = errors.New("too large")
	// ErrTimeout: the time limit passed.
	ErrTimeout = errors.New("timed out")
	// ErrRedirects: more redirects than are followed.
	ErrRedirects = errors.New("too many redirects")
	// ErrStatus: the answer was not 200; Error.Status has the number.
	ErrStatus = errors.New("unexpected status")
	// ErrEncoding: the body is compressed in a way that was not asked for.
	ErrEncoding = errors.New("unsupported content encoding")
	// ErrUnreachable: no address, no connection, no TLS, or a broken answer.
	ErrUnreachable = errors.New("unreachable")
)

// Error is why a URL was not fetched.
type Error struct {
	Kind   error      // one of the above
	URL    string     // without query and userinfo, which may hold secrets
	Detail string     // what happened; fit for the client
	Hint   string     // what would help; may be empty
	Status int        // of the answer, with ErrStatus
	Addr   netip.Addr // the address refused, with ErrForbiddenAddress; for the log only
	Err    error      // what lies beneath; for the log only, as it may name addresses
}

func (e *Error) Error() string {
	s := fmt.Sprintf("fetch %s: %v: %s", e.URL, e.Kind, e.Detail)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// shown is a URL as errors may show it.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
