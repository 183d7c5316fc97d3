package front

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
)

// handshake is the first byte of a TLS connection, and of no HTTP request.
const handshake = 0x16

// conn learns from its first byte whether the client speaks TLS. It decides in
// the first Read, so that a client that says nothing holds up nobody.
type conn struct {
	net.Conn
	name   string // what the client called; empty: nobody said
	config *tls.Config
	failed func(remote net.Addr, err error) // told of a handshake that fails

	begun  bool // only Read looks at it, and reads come one after the other
	secure atomic.Pointer[tls.Conn]
}

func (c *conn) Read(p []byte) (int, error) {
	if t := c.secure.Load(); t != nil {
		return t.Read(p)
	}
	n, err := c.Conn.Read(p)
	if n == 0 || c.begun {
		return n, err
	}
	c.begun = true
	if p[0] != handshake {
		return n, err
	}
	t := tls.Server(&rewound{Conn: c.Conn, read: bytes.NewReader(bytes.Clone(p[:n])), name: c.name}, c.config)
	c.secure.Store(t)
	if err := t.Handshake(); err != nil {
		c.failed(c.RemoteAddr(), err)
		return 0, err
	}
	return t.Read(p)
}

// state is what net/http would know of a TLS connection; nil for a plain one.
func (c *conn) state() *tls.ConnectionState {
	t := c.secure.Load()
	if t == nil {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

func (c *conn) Write(p []byte) (int, error) { return c.layer().Write(p) }

func (c *conn) Close() error { return c.layer().Close() }

// CloseWrite ends what we send, and leaves the other direction open.
func (c *conn) CloseWrite() error { return closeWrite(c.layer()) }

// ReadFrom lets the kernel copy files to clients that speak no TLS.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.layer(), r) }

func (c *conn) layer() net.Conn {
	if t := c.secure.Load(); t != nil {
		return t
	}
	return c.Conn
}

// rewound is a connection of which something has been read already.
type rewound struct {
	net.Conn
	read *bytes.Reader
	name string // as of conn
}

func (c *rewound) Read(p []byte) (int, error) {
	if c.read.Len() > 0 {
		return c.read.Read(p)
	}
	return c.Conn.Read(p)
}

// CloseWrite passes the wish on.
func (c *rewound) CloseWrite() error { return closeWrite(c.Conn) }

// listener makes conns of what another one accepts.
type listener struct {
	net.Listener
	door *Door
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.door.conn(c, ""), nil
}

// inner is the listener of connections that come out of tunnels.
type inner struct {
	conns chan net.Conn
	done  chan struct{}
	addr  net.Addr
}

func (l *inner) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// give hands over a connection, or closes it where nobody takes any.
func (l *inner) give(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	}
}

// Close is called by the http.Server, once.
func (l *inner) Close() error { close(l.done); return nil }

func (l *inner) Addr() net.Addr { return l.addr }
