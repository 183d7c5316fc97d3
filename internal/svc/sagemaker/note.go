package sagemaker

import (
	"log/slog"
	"sync"
	"time"
)

// Noted remembers what was said once and need not be said again.
type Noted struct{ seen sync.Map }

// First tells whether key is new.
func (n *Noted) First(key string) bool {
	_, old := n.seen.LoadOrStore(key, true)
	return !old
}

// Ignored logs, once each, the fields of an operation's request that are set
// and change nothing here.
func (n *Noted) Ignored(log *slog.Logger, operation string, set map[string]bool) {
	for field, is := range set {
		if is && n.First(operation+"."+field) {
			log.Warn("a field of the request is kept but not acted on", "operation", operation, "field", field)
		}
	}
}

// Or is what p points to, or the default.
func Or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

// NotEmpty is s for an answer, and nil where there is nothing to tell.
func NotEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// NotZero is t for an answer, and nil where there is nothing to tell.
func NotZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
