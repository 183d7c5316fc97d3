package sagemaker

import "sync"

// Noted remembers what was said once and need not be said again.
type Noted struct{ seen sync.Map }

// First tells whether key is new.
func (n *Noted) First(key string) bool {
	_, old := n.seen.LoadOrStore(key, true)
	return !old
}

// Or is what p points to, or the default.
func Or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
