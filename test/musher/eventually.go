package musher

import (
	"os"
	"testing"
	"time"
)

// Eventually asks until is reports true, and fails the test after a generous
// time. what says what was waited for.
func Eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	EventuallyIn(tb, generous, what, is)
}

// EventuallyIn is Eventually with a time of its own.
func EventuallyIn(tb testing.TB, most time.Duration, what string, is func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(most); ; time.Sleep(15 * time.Millisecond) {
		if is() {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("after %v still not: %s", most, what)
		}
	}
}

// Skip skips the test, but fails it where MUSHER_TEST_STRICT says that this
// machine was set up to run everything.
func Skip(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("MUSHER_TEST_STRICT") != "" {
		tb.Fatalf("MUSHER_TEST_STRICT is set: "+format, args...)
	}
	tb.Skipf(format, args...)
}
