package hosting

import (
	"sync"
	"time"
)

// health is what this process has seen of the instances. It is not kept: after
// a restart they are asked again.
type health struct {
	mu sync.Mutex
	up map[string]bool
	// crashes since the instance was last healthy, and when to start it again.
	crashes map[string]int
	notYet  map[string]time.Time
}

func newHealth() health {
	return health{up: map[string]bool{}, crashes: map[string]int{}, notYet: map[string]time.Time{}}
}

func (h *health) healthy(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up[id]
}

func (h *health) set(id string, up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up[id] = up
	if up {
		delete(h.crashes, id)
		delete(h.notYet, id)
	}
}

// crashed counts an instance that ended by itself, and returns how often it
// did so in a row.
func (h *health) crashed(id string, now time.Time) int {
	const longest = time.Minute
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up[id] = false
	h.crashes[id]++
	h.notYet[id] = now.Add(min(longest, 250*time.Millisecond<<min(h.crashes[id], 10)))
	return h.crashes[id]
}

// wait tells how long an instance must not be started yet.
func (h *health) wait(id string, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, h.notYet[id].Sub(now))
}

func (h *health) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.up, id)
	delete(h.crashes, id)
	delete(h.notYet, id)
}
