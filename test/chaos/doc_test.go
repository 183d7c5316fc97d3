// Package chaos kills the server (SIGKILL) in the middle of its work, starts
// it again, and looks at what must hold: nothing that was acknowledged is
// gone, and everything that was under way is as it was or goes on.
//
// The moments are random; MUSHER_CHAOS_SEED repeats a run, MUSHER_CHAOS_ROUNDS
// sets how often each test kills.
package chaos

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// moments gives random delays, the same for the same seed.
type moments struct{ rng *rand.Rand }

func newMoments(t *testing.T) moments {
	t.Helper()
	seed := number("MUSHER_CHAOS_SEED", 1)
	t.Logf("MUSHER_CHAOS_SEED=%d", seed)
	return moments{rand.New(rand.NewPCG(uint64(seed), 0))} //nolint:gosec // it shall be repeatable
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// rounds is how often a test kills the server.
func rounds(usual int) int { return number("MUSHER_CHAOS_ROUNDS", usual) }

// wait sleeps for a random part of most.
func (m moments) wait(most time.Duration) {
	time.Sleep(time.Duration(m.rng.Int64N(int64(most))))
}
