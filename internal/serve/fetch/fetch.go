package fetch

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say what may be fetched. The zero value allows the public Internet.
type Options struct {
	MaxBytes int64         // of a body; default 20 MiB
	Timeout  time.Duration // for all of a Get; default 10 s

	// AllowHosts lists hosts that may be fetched from whatever their addresses and
	// ports are: "photos.internal", "*.corp.example" (its subdomains), "10.1.2.3".
	AllowHosts []string
	// AllowCIDRs lists addresses that may be fetched from although not public.
	AllowCIDRs []netip.Prefix

	// Own, if it knows a URL, answers it itself: s3://bucket/key, or URLs of the
	// caller's own endpoint. It is asked about the URL given to Get, before any check
	// and for any scheme, and never about where a redirect leads. The limits of size
	// and time hold for what it opens.
	Own func(u *url.URL) (Opener, bool)

	// Resolve looks a name up. Default: the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// TLS is for servers whose certificates the system does not trust.
	TLS *tls.Config
}

// Opener gives the body behind a URL, and its content type.
type Opener func(ctx context.Context) (body io.ReadCloser, contentType string, err error)

const (
	defaultMaxBytes = 20 << 20
	defaultTimeout  = 10 * time.Second
	maxRedirects    = 5
	maxHeader       = 64 << 10
)

// Fetcher fetches URLs. It is safe for concurrent use.
type Fetcher struct {
	o      Options
	client *http.Client
}

// New gives a Fetcher.
func New(o Options) *Fetcher {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	f := &Fetcher{o: o}
	f.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // on purpose, see doc.go
			DialContext:            f.dial,
			TLSClientConfig:        o.TLS,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // body decompresses, within the limit
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConns:           16,
			IdleConnTimeout:        30 * time.Second,
		},
		CheckRedirect: f.redirect,
	}
	return f
}

// Close gives idle connections back. Gets under way go on.
func (f *Fetcher) Close() { f.client.CloseIdleConnections() }

// Get fetches a URL: its body and the content type that the server gave. The error
// is an *Error, or ctx's where the caller gave up.
func (f *Fetcher) Get(ctx context.Context, rawURL string) (body []byte, contentType string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, "", &Error{Kind: ErrForbiddenURL, URL: "?", Detail: "it cannot be parsed", Err: err}
	}
	limited, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	body, contentType, err = f.get(limited, u)
	if err != nil {
		return nil, "", f.explain(ctx, limited, u, err)
	}
	return body, contentType, nil
}

func (f *Fetcher) get(ctx context.Context, u *url.URL) ([]byte, string, error) {
	if f.o.Own != nil {
		if open, ok := f.o.Own(u); ok {
			return f.own(ctx, open)
		}
	}
	if err := f.checkURL(u); err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", &Error{Kind: ErrForbiddenURL, Detail: "it makes no request", Err: err}
	}
	req.Header.Set("Accept", "image/*, */*;q=0.5")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "musher")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", &Error{Kind: ErrStatus, Status: resp.StatusCode, Detail: "the server answered " + strconv.Itoa(resp.StatusCode)}
	}
	if resp.ContentLength > f.o.MaxBytes {
		return nil, "", f.tooLarge(fmt.Sprintf("the body has %d bytes", resp.ContentLength))
	}
	b, err := f.body(resp)
	return b, resp.Header.Get("Content-Type"), err
}

// own reads what the caller's own client opened.
func (f *Fetcher) own(ctx context.Context, open Opener) ([]byte, string, error) {
	r, contentType, err := open(ctx)
	if err != nil {
		return nil, "", &Error{Kind: ErrUnreachable, Detail: err.Error(), Err: err}
	}
	defer r.Close()
	// A reader that knows nothing of ctx is made to stop by closing it.
	defer context.AfterFunc(ctx, func() { r.Close() })()
	b, err := f.read(r)
	return b, contentType, err
}

// body reads an answer's body, decompressing gzip: some servers send it unasked.
func (f *Fetcher) body(resp *http.Response) ([]byte, error) {
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return f.read(resp.Body)
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(io.LimitReader(resp.Body, f.o.MaxBytes))
		if err != nil {
			return nil, err
		}
		return f.read(z)
	default:
		return nil, &Error{Kind: ErrEncoding, Detail: fmt.Sprintf("the body is encoded as %.40q", encoding)}
	}
}

// read reads at most MaxBytes.
func (f *Fetcher) read(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, f.o.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > f.o.MaxBytes {
		return nil, f.tooLarge("the body goes on")
	}
	return b, nil
}

func (f *Fetcher) tooLarge(detail string) error {
	return &Error{Kind: ErrTooLarge, Detail: fmt.Sprintf("%s; at most %d bytes are fetched", detail, f.o.MaxBytes)}
}

// redirect judges where a redirect leads; the address is judged when it is dialled.
func (f *Fetcher) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &Error{Kind: ErrRedirects, Detail: fmt.Sprintf("at most %d are followed", maxRedirects)}
	}
	req.Header.Del("Referer")
	return f.checkURL(req.URL)
}

// checkURL judges what can be judged without looking names up.
func (f *Fetcher) checkURL(u *url.URL) error {
	refuse := func(detail, hint string) error {
		return &Error{Kind: ErrForbiddenURL, URL: shown(u), Detail: detail, Hint: hint}
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse(fmt.Sprintf("scheme %.20q", u.Scheme), "http and https are fetched")
	case u.User != nil:
		return refuse("it carries a user name", "use a presigned URL instead")
	case u.Hostname() == "":
		return refuse("it names no host", "")
	}
	if port := u.Port(); port != "" && !f.hostListed(u.Hostname()) {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n != 80 && n != 443 && n < 1024 {
			return refuse("port "+port, "80, 443 and ports from 1024 on are fetched from")
		}
	}
	return nil
}

// hostListed says whether the operator lists a host by name.
func (f *Fetcher) hostListed(host string) bool {
	host = canonical(host)
	for _, listed := range f.o.AllowHosts {
		listed = canonical(listed)
		suffix, wild := strings.CutPrefix(listed, "*")
		if host == listed || wild && strings.HasPrefix(suffix, ".") && strings.HasSuffix(host, suffix) && len(host) > len(suffix) {
			return true
		}
	}
	return false
}

func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// checkAddr judges an address.
func (f *Fetcher) checkAddr(a netip.Addr) error {
	what := notPublic(a)
	if what == "" {
		return nil
	}
	for _, p := range f.o.AllowCIDRs {
		if p.Contains(a) || p.Contains(a.WithZone("")) {
			return nil
		}
	}
	return &Error{Kind: ErrForbiddenAddress, Detail: "the host's address is " + what,
		Hint: "only the operator can allow it, by listing the host or the address", Addr: a}
}

// dial connects to the first address of a host that is allowed and answers.
func (f *Fetcher) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	addrs, err := f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	check := f.checkAddr
	if f.hostListed(host) {
		check = func(netip.Addr) error { return nil }
	}
	dialer := net.Dialer{
		// One dead address of several must not use up all the time.
		Timeout: f.o.Timeout / 2,
		// The last word: the address that the socket is about to be connected to.
		Control: func(_, address string, _ syscall.RawConn) error { return checkSocket(address, check) },
	}
	err = &Error{Kind: ErrUnreachable, Detail: "the host has no address"}
	for _, a := range addrs {
		if err = check(a); err != nil {
			continue
		}
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// checkSocket applies check to an "address:port" as the dialer gives it.
func checkSocket(address string, check func(netip.Addr) error) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &Error{Kind: ErrForbiddenAddress, Detail: "the host's address cannot be read", Err: err}
	}
	return check(ap.Addr())
}

// lookup gives a host's addresses: itself where it is one.
func (f *Fetcher) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := f.o.Resolve(ctx, host)
	if err != nil {
		return nil, &Error{Kind: ErrUnreachable, Detail: "the host's name is not known", Err: err}
	}
	plain := make([]netip.Addr, len(addrs))
	for i, a := range addrs {
		plain[i] = a.Unmap() // resolvers may give IPv4 answers in mapped form
	}
	return plain, nil
}

// explain makes an *Error out of whatever went wrong with u.
func (f *Fetcher) explain(caller, limited context.Context, u *url.URL, err error) error {
	if caller.Err() != nil {
		return fmt.Errorf("fetch %s: %w", shown(u), context.Cause(caller))
	}
	if limited.Err() != nil {
		return &Error{Kind: ErrTimeout, URL: shown(u), Detail: fmt.Sprintf("not complete after %v", f.o.Timeout), Err: err}
	}
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Kind: ErrUnreachable, URL: shown(u), Detail: plainly(err), Err: err}
	}
	out := *e
	if out.URL == "" {
		out.URL = shown(u)
	}
	return &out
}

// plainly says what kind of failure it was without naming addresses.
func plainly(err error) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return "the server's certificate is not trusted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "the connection ended in the middle"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return "the body is no gzip, as it says"
	}
	return "no connection, or a broken answer"
}
