package iam

import "sync"

// maxCached bounds each cache; what does not fit makes all of it go, which is rare and harmless.
const maxCached = 4096

// cache keeps what was read for deciding requests: access keys and compiled policies. Any change
// of any IAM record empties it: changes are rare, requests are not.
type cache struct {
	mu         sync.RWMutex
	generation int
	entries    map[string]any
}

func newCache() *cache { return &cache{entries: map[string]any{}} }

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	clear(c.entries)
}

// cached returns what is kept under key, or else loads it. A result that was loaded while a change
// came in is returned but not kept: it may be from before the change.
func cached[T any](c *cache, key string, load func() (T, error)) (T, error) {
	c.mu.RLock()
	v, ok := c.entries[key].(T)
	generation := c.generation
	c.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation == generation {
		if len(c.entries) >= maxCached {
			clear(c.entries)
		}
		c.entries[key] = v
	}
	return v, nil
}
