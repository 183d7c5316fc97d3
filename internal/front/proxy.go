package front

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	dialLimit = 20 * time.Second
	proxyUser = "musher"
)

// openToken reads the token of proxy users, or makes it at first start. An
// empty one would be everyone's.
func openToken(dir string) (string, error) {
	path := filepath.Join(dir, "proxy-token")
	text, err := os.ReadFile(path)
	if token := strings.TrimSpace(string(text)); token != "" || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	token := rand.Text()
	return token, writeWhole(path, []byte(token+"\n"), 0o600)
}

// mayPass tells whether a client may reach other hosts through us: everyone on
// this machine, and from elsewhere those who know the token. Else a server that
// listens on a network would be a proxy for everyone.
func (d *Door) mayPass(r *http.Request) bool {
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && from.Addr().Unmap().IsLoopback() {
		return true
	}
	user, token, ok := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
	return ok && user == proxyUser && subtle.ConstantTimeCompare([]byte(token), []byte(d.token)) == 1
}

// enter ends a tunnel here: what comes out of it is a new connection.
func (d *Door) enter(w http.ResponseWriter, r *http.Request) {
	c, err := established(w)
	if err != nil {
		d.log.Debug("a tunnel broke before it stood", "host", r.URL.Host, "error", err)
		return
	}
	host, _ := splitAddress(r.URL.Host)
	d.inner.give(d.conn(c, host))
}

// pass connects the client with another host.
func (d *Door) pass(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(d.open, cancel)()
	far, err := d.dial(ctx, "tcp", r.URL.Host)
	if err != nil {
		unreachable(w, r, err)
		return
	}
	near, err := established(w)
	if err != nil {
		far.Close()
		return
	}
	join(d.open, near, far)
}

// established takes the connection away from the HTTP server and tells the
// client that its tunnel stands.
func established(w http.ResponseWriter) (net.Conn, error) {
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if n := buffered.Reader.Buffered(); n > 0 {
		early, _ := buffered.Reader.Peek(n) // so much is there
		c = &rewound{Conn: c, read: bytes.NewReader(bytes.Clone(early))}
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// forwarder answers requests that name a foreign host in their first line, as
// clients of a proxy send them for plain HTTP.
func (d *Door) forwarder() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(*httputil.ProxyRequest) {}, // the URL is whole already
		Transport: &http.Transport{
			DialContext: d.dial, DisableCompression: true, MaxIdleConns: 32, IdleConnTimeout: time.Minute,
		},
		ErrorHandler:  unreachable,
		FlushInterval: -1,
	}
}

// unreachable says why a host cannot be reached through us.
func unreachable(w http.ResponseWriter, r *http.Request, err error) {
	hint := "does this machine reach it without the proxy?"
	if errors.Is(err, errOwnAddress) {
		hint = "put the host into NO_PROXY"
	}
	http.Error(w, fmt.Sprintf("musher: cannot reach %s: %v\nhint: %s", r.URL.Host, err, hint), http.StatusBadGateway)
}

// errOwnAddress is a host that a proxy must not reach for others: what listens
// on the loopback address, or gives this machine's credentials to who asks,
// takes its callers for local ones.
var errOwnAddress = errors.New("the address is this machine's own")

// dialAbroad connects with a host that is elsewhere. The address is checked when
// it is connected to, so that a name cannot change its meaning in between.
func dialAbroad(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialLimit, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err == nil && !abroad(to.Addr().Unmap()) {
			err = errOwnAddress
		}
		return err
	}}
	return dialer.DialContext(ctx, network, address)
}

func abroad(a netip.Addr) bool {
	// Amazon's metadata service has an address outside of the link as well.
	metadata := netip.MustParsePrefix("fd00:ec2::/32")
	return !a.IsLoopback() && !a.IsUnspecified() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !metadata.Contains(a)
}
