package front

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options of New. Dir and Handler are required.
type Options struct {
	Dir     string       // of the authority and the token; made where it is missing
	Handler http.Handler // answers what is for us
	Log     *slog.Logger // nil: none

	// Dial reaches the rest of the world; nil: TCP, but not to this machine's
	// own addresses nor to those of metadata services.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Door is the front of one port.
type Door struct {
	handler   http.Handler
	log       *slog.Logger
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	authority *authority
	token     string

	http    *http.Server
	tls     *tls.Config
	silent  silent
	inner   *inner
	foreign *httputil.ReverseProxy

	open context.Context // ends when the door closes
	shut context.CancelFunc
}

// New makes a door. It takes no connections until Serve.
func New(o Options) (*Door, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	d := &Door{handler: o.Handler, log: o.Log, dial: o.Dial}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.dial == nil {
		d.dial = dialAbroad
	}
	var err error
	if d.authority, err = openAuthority(o.Dir); err != nil {
		return nil, err
	}
	if d.token, err = openToken(o.Dir); err != nil {
		return nil, err
	}
	d.tls = &tls.Config{GetCertificate: d.certificate, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	d.inner = &inner{conns: make(chan net.Conn), done: make(chan struct{})}
	d.foreign = d.forwarder()
	d.open, d.shut = context.WithCancel(context.Background())
	d.http = &http.Server{
		ConnState: d.silent.follow, ConnContext: remember,
		Handler: http.HandlerFunc(d.answer), ReadHeaderTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
	}
	return d, nil
}

// Serve takes connections until Stop, and returns nil then.
func (d *Door) Serve(l net.Listener) error {
	d.inner.addr = l.Addr()
	var both errgroup.Group
	for _, from := range []net.Listener{listener{l, d}, d.inner} {
		both.Go(func() error {
			err := d.http.Serve(from)
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			d.http.Close() // ends the other one
			return err
		})
	}
	return both.Wait()
}

// Stop closes the tunnels to others at once, and gives requests to us a while
// to end.
func (d *Door) Stop(grace time.Duration) error {
	d.shut()
	d.silent.Close()
	defer d.foreign.Transport.(*http.Transport).CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if d.http.Shutdown(ctx) != nil {
		return d.http.Close() // some client keeps its request open
	}
	return nil
}

// conn is a connection on its way in; name is what the client called, if it
// told us before.
func (d *Door) conn(c net.Conn, name string) *conn {
	return &conn{Conn: c, name: name, config: d.tls, failed: d.noHandshake}
}

// certificate is a hook of crypto/tls. Clients that call an address name no
// host: they get what the tunnel was asked for, or the address they came to.
func (d *Door) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if c, ok := hello.Conn.(*rewound); ok && name == "" {
		name = c.name
	}
	if name == "" {
		name, _ = splitAddress(hello.Conn.LocalAddr().String())
	}
	return d.authority.certificate(name)
}

func (d *Door) noHandshake(remote net.Addr, err error) {
	d.log.Info("a client gave up its TLS connection (does it trust the server's ca.pem? `musher env --proxy` says how)", "remote", remote.String(), "error", err)
}

type connKey struct{}

// remember lets requests know the connection that they came on.
func remember(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// answer is what all requests go through.
func (d *Door) answer(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		r.TLS = c.state() // policies may ask for it
	}
	asProxy := r.Method == http.MethodConnect || r.URL.IsAbs()
	switch {
	case !asProxy:
		d.handler.ServeHTTP(w, r)
	case ours(r) && r.Method == http.MethodConnect:
		d.enter(w, r)
	case ours(r):
		r.URL.Scheme, r.URL.Host = "", ""
		d.handler.ServeHTTP(w, r)
	case !d.mayPass(r):
		w.Header().Set("Proxy-Authenticate", `Basic realm="musher"`)
		http.Error(w, "musher: clients on other machines need the proxy's token to reach other hosts\nhint: http://musher:TOKEN@HOST:PORT, with the token that stands in the server's folder, tls/proxy-token", http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		d.pass(w, r)
	default:
		d.foreign.ServeHTTP(w, r)
	}
}
