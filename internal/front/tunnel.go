package front

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// idleLimit is how long a tunnel stands on which nobody says anything.
const idleLimit = 10 * time.Minute

// join copies bytes both ways until both ends have said all they have to say,
// one of them breaks, both are silent for long, or open ends. Then both
// connections are closed.
func join(open context.Context, near, far net.Conn) {
	shut := func() {
		near.Close()
		far.Close()
	}
	defer shut()
	defer context.AfterFunc(open, shut)()
	silence := time.AfterFunc(idleLimit, shut)
	defer silence.Stop()
	heard := func() { silence.Reset(idleLimit) }
	var ways sync.WaitGroup
	for _, way := range []struct{ to, from net.Conn }{{near, far}, {far, near}} {
		ways.Go(func() {
			if !pump(way.to, way.from, heard) {
				shut() // the other way has nobody to talk to
			}
		})
	}
	ways.Wait()
}

// pump copies one way. It reports whether the sender has come to its end; the
// receiver is told then.
func pump(to, from net.Conn, heard func()) bool {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		heard()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return false
			}
		}
		if err != nil {
			return errors.Is(err, io.EOF) && closeWrite(to) == nil
		}
	}
}

// closeWrite tells the other end that nothing more will come.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
