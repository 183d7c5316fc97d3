package front

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// Pipes can't be closed in one direction only: an end closes both. That a
// bubble ends says that no goroutine is left.

func TestTunnelEnds(t *testing.T) {
	for name, end := range map[string]func(client, host net.Conn, shut context.CancelFunc){
		"the client hangs up": func(client, _ net.Conn, _ context.CancelFunc) { client.Close() },
		"the host hangs up":   func(_, host net.Conn, _ context.CancelFunc) { host.Close() },
		"the door closes":     func(_, _ net.Conn, shut context.CancelFunc) { shut() },
		"nobody says anything": func(_, _ net.Conn, _ context.CancelFunc) {
			time.Sleep(idleLimit + time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, near := net.Pipe()
				far, host := net.Pipe()
				open, shut := context.WithCancel(t.Context())
				defer shut()
				joined := make(chan struct{})
				go func() { join(open, near, far); close(joined) }()
				say(t, client, host, "hello")
				say(t, host, client, "good day")
				end(client, host, shut)
				<-joined
				for _, c := range []net.Conn{client, host} {
					if _, err := c.Read(make([]byte, 1)); err == nil {
						t.Error("an end is still connected")
					}
				}
			})
		})
	}
}

// TestTunnelStands: a word now and then keeps a tunnel open.
func TestTunnelStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := net.Pipe()
		far, host := net.Pipe()
		joined := make(chan struct{})
		go func() { join(t.Context(), near, far); close(joined) }()
		for range 5 {
			time.Sleep(idleLimit - time.Second)
			say(t, host, client, "still here")
		}
		client.Close()
		<-joined
	})
}

func say(t *testing.T, from, to net.Conn, words string) {
	t.Helper()
	go io.WriteString(from, words)
	got := make([]byte, len(words))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != words {
		t.Errorf("%q arrived as %q, %v", words, got, err)
	}
}
