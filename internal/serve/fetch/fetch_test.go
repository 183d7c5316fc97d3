package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loopback is what most tests list, so that their servers can be reached.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func newFetcher(t *testing.T, o Options) *Fetcher {
	t.Helper()
	f := New(o)
	t.Cleanup(f.Close)
	return f
}

// want checks an error's kind, that it is an *Error, and what it says.
func want(t *testing.T, err, kind error, says string) *Error {
	t.Helper()
	var e *Error
	if !errors.Is(err, kind) || !errors.As(err, &e) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("error %q does not say %q", err, says)
	}
	return e
}

func portOf(t *testing.T, s *httptest.Server) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestGet(t *testing.T) {
	var seen http.Header
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.Header().Set("Content-Type", "image/jpeg")
		fmt.Fprint(w, "photo")
	})
	f := newFetcher(t, Options{AllowCIDRs: loopback})
	b, contentType, err := f.Get(t.Context(), s.URL+"/dog.jpg?X-Amz-Signature=abc#part")
	if err != nil || string(b) != "photo" || contentType != "image/jpeg" {
		t.Fatalf("%q %q %v", b, contentType, err)
	}
	for _, h := range []string{"Cookie", "Authorization", "Referer"} {
		if seen.Get(h) != "" {
			t.Errorf("%s: %s was sent", h, seen.Get(h))
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "photo") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // a refused handshake is what the test wants
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	trusting := newFetcher(t, Options{AllowCIDRs: loopback, TLS: &tls.Config{RootCAs: roots}})
	if b, _, err := trusting.Get(t.Context(), s.URL); err != nil || string(b) != "photo" {
		t.Errorf("%q %v", b, err)
	}
	_, _, err := newFetcher(t, Options{AllowCIDRs: loopback}).Get(t.Context(), s.URL)
	want(t, err, ErrUnreachable, "certificate is not trusted")
}

func TestForbiddenURLs(t *testing.T) {
	f := newFetcher(t, Options{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		t.Error("a forbidden URL's name was looked up")
		return nil, errors.New("no")
	}})
	for raw, says := range map[string]string{
		"":                          `scheme ""`,
		"dog.jpg":                   `scheme ""`,
		"file:///etc/passwd":        `scheme "file"`,
		"ftp://example.com/x":       `scheme "ftp"`,
		"gopher://example.com/x":    `scheme "gopher"`,
		"s3://bucket/key":           `scheme "s3"`,
		"http:///x":                 "names no host",
		"http://:80/x":              "names no host",
		"http://user@example.com/":  "user name",
		"http://u:p@example.com/":   "user name",
		"http://example.com:22/":    "port 22",
		"http://example.com:25/":    "port 25",
		"http://example.com:0/":     "port 0",
		"http://example.com:70000/": "port 70000",
		"http://exa mple.com/":      "cannot be parsed",
		"http://[::1/":              "cannot be parsed",
	} {
		_, _, err := f.Get(t.Context(), raw)
		e := want(t, err, ErrForbiddenURL, says)
		if strings.Contains(e.Error(), "u:p") {
			t.Errorf("%s: the error shows the password", raw)
		}
	}
}

func TestForbiddenAddresses(t *testing.T) {
	f := newFetcher(t, Options{})
	for _, host := range []string{
		"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
		"168.63.129.16", "100.100.100.200", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.0.192",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::1]",
		"[2002:7f00:1::]", "[2001:0:1::1]", "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]",
		"[ff02::1]", "[2001:db8::1]", "[100::1]", "[5f00::1]", "[4000::1]",
	} {
		_, _, err := f.Get(t.Context(), "http://"+host+":8080/x?secret=1")
		e := want(t, err, ErrForbiddenAddress, "only the operator can allow it")
		if !e.Addr.IsValid() || strings.Contains(e.Error(), "secret") {
			t.Errorf("%s: %+v", host, e)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.167.1.1", "198.20.0.1",
		"223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "2400::1"} {
		if what := notPublic(netip.MustParseAddr(a)); what != "" {
			t.Errorf("%s counts as %s", a, what)
		}
	}
}

// names is a resolver that knows some names.
func names(m map[string]string) func(context.Context, string) ([]netip.Addr, error) {
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		host = canonical(host)
		if m[host] == "" {
			return nil, fmt.Errorf("no such host: %s", host)
		}
		var out []netip.Addr
		for _, a := range strings.Fields(m[host]) {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
}

func TestNames(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })
	port := portOf(t, s)
	f := newFetcher(t, Options{
		AllowHosts: []string{"Photos.Internal", "*.corp.example"},
		Resolve: names(map[string]string{
			"photos.internal": "127.0.0.1", "a.corp.example": "127.0.0.1", "corp.example": "127.0.0.1",
			"evil.example": "127.0.0.1", "meta.example": "169.254.169.254", "notcorp.example": "127.0.0.1",
			"mapped.example": "::ffff:127.0.0.1", "mixed.example": "::1 10.0.0.1",
		}),
	})
	for host, kind := range map[string]error{
		"photos.internal":  nil,
		"PHOTOS.internal.": nil,
		"a.corp.example":   nil,
		"corp.example":     ErrForbiddenAddress, // "*." means below
		"notcorp.example":  ErrForbiddenAddress,
		"evil.example":     ErrForbiddenAddress,
		"meta.example":     ErrForbiddenAddress,
		"mapped.example":   ErrForbiddenAddress,
		"mixed.example":    ErrForbiddenAddress,
		"unknown.example":  ErrUnreachable,
	} {
		_, _, err := f.Get(t.Context(), "http://"+host+":"+port)
		if kind == nil && err != nil || !errors.Is(err, kind) {
			t.Errorf("%s: error %v, want %v", host, err, kind)
		}
	}
}

// TestOddSpellingsReachTheCheck: some resolvers read 127.1 or 2130706433 as an
// address; what they make of it is checked like any other.
func TestOddSpellingsReachTheCheck(t *testing.T) {
	f := newFetcher(t, Options{Resolve: names(map[string]string{"127.1": "127.0.0.1", "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1", "0177.0.0.1": "127.0.0.1"})})
	for _, host := range []string{"127.1", "2130706433", "0x7f000001", "0177.0.0.1"} {
		_, _, err := f.Get(t.Context(), "http://"+host+":8080/")
		want(t, err, ErrForbiddenAddress, "loopback")
	}
}

// TestRebinding: a name that is harmless when first looked up and loopback later.
// Every connection has its own look-up, and what was looked up is what is dialled.
func TestRebinding(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, "reached")
	})
	port := portOf(t, s)
	var lookups atomic.Int32
	f := newFetcher(t, Options{
		AllowCIDRs: loopback,
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			if lookups.Add(1) == 1 {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil // listed: stands for a public one
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil // not listed
		},
	})
	if _, _, err := f.Get(t.Context(), "http://rebind.example:"+port); err != nil {
		t.Fatal(err)
	}
	if n := lookups.Load(); n != 1 {
		t.Errorf("%d look-ups for one connection", n)
	}
	_, _, err := f.Get(t.Context(), "http://rebind.example:"+port)
	want(t, err, ErrForbiddenAddress, "loopback")
}

// TestTheSocketIsChecked: the dialer's own check does not depend on ours.
func TestTheSocketIsChecked(t *testing.T) {
	f := newFetcher(t, Options{})
	for address, ok := range map[string]bool{"8.8.8.8:80": true, "127.0.0.1:80": false, "[::1]:80": false, "[::ffff:10.0.0.1]:80": false, "nonsense": false} {
		if err := checkSocket(address, f.checkAddr); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestNextAddress: an allowed address behind a forbidden one is used.
func TestNextAddress(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "photo") })
	f := newFetcher(t, Options{AllowCIDRs: loopback, Resolve: names(map[string]string{"two.example": "10.0.0.1 127.0.0.1"})})
	if b, _, err := f.Get(t.Context(), "http://two.example:"+portOf(t, s)); err != nil || string(b) != "photo" {
		t.Errorf("%q %v", b, err)
	}
}

func TestRedirects(t *testing.T) {
	var referers []string
	var mu sync.Mutex
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		referers = append(referers, r.Header.Get("Referer"))
		mu.Unlock()
		switch p := r.URL.Path; {
		case p == "/photo":
			fmt.Fprint(w, "photo")
		case strings.HasPrefix(p, "/hops/"):
			n := len(p) - len("/hops/")
			if n == 0 {
				http.Redirect(w, r, "/photo", http.StatusFound)
				return
			}
			http.Redirect(w, r, p[:len(p)-1], http.StatusFound)
		default:
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
		}
	})
	f := newFetcher(t, Options{AllowCIDRs: loopback, Own: func(u *url.URL) (Opener, bool) {
		if u.Scheme != "s3" && u.Host != "own.example" {
			return nil, false
		}
		return func(context.Context) (io.ReadCloser, string, error) {
			return io.NopCloser(strings.NewReader("own")), "", nil
		}, true
	}})
	to := func(target string) string { return s.URL + "/go?to=" + url.QueryEscape(target) }

	if b, _, err := f.Get(t.Context(), s.URL+"/hops/xxxx"); err != nil || string(b) != "photo" { // 5 redirects
		t.Errorf("%q %v", b, err)
	}
	_, _, err := f.Get(t.Context(), s.URL+"/hops/xxxxx")
	want(t, err, ErrRedirects, "at most 5")

	for target, kind := range map[string]error{
		"http://169.254.169.254/latest/meta-data/":                     ErrForbiddenAddress,
		"http://127.0.0.2:" + portOf(t, s) + "/":                       ErrForbiddenAddress,
		"http://[::1]:8080/":                                           ErrForbiddenAddress,
		"file:///etc/passwd":                                           ErrForbiddenURL,
		"s3://bucket/key":                                              ErrForbiddenURL, // Own is not asked about redirects
		strings.Replace(s.URL, "http://", "http://user:pw@", 1) + "/x": ErrForbiddenURL,
		"http://example.com:22/":                                       ErrForbiddenURL,
	} {
		_, _, err := f.Get(t.Context(), to(target))
		e := want(t, err, kind, "")
		if strings.Contains(e.Error(), "pw") {
			t.Errorf("%v shows a password", e)
		}
	}
	for _, r := range referers {
		if r != "" {
			t.Errorf("Referer %q was sent", r)
		}
	}
}

func TestSizes(t *testing.T) {
	gz := func(n int) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, n))
		_ = z.Close()
		return b.Bytes()
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/exact":
			_, _ = w.Write(make([]byte, 1000))
		case "/declared":
			_, _ = w.Write(make([]byte, 1001))
		case "/chunked":
			for range 100 {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gz(900))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gz(200_000)) // some 200 bytes
		case "/br":
			w.Header().Set("Content-Encoding", "br")
		case "/liar":
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "no gzip at all, not even nearly")
		case "/short":
			w.Header().Set("Content-Length", "500")
			fmt.Fprint(w, "only this")
		}
	})
	f := newFetcher(t, Options{MaxBytes: 1000, AllowCIDRs: loopback})
	for path, size := range map[string]int{"/exact": 1000, "/gzip": 900} {
		if b, _, err := f.Get(t.Context(), s.URL+path); err != nil || len(b) != size {
			t.Errorf("%s: %d bytes, %v", path, len(b), err)
		}
	}
	for path, c := range map[string]struct {
		kind error
		says string
	}{
		"/declared": {ErrTooLarge, "has 1001 bytes; at most 1000"},
		"/chunked":  {ErrTooLarge, "goes on; at most 1000"},
		"/bomb":     {ErrTooLarge, "at most 1000"},
		"/br":       {ErrEncoding, `"br"`},
		"/liar":     {ErrUnreachable, "no gzip"},
		"/short":    {ErrUnreachable, "ended in the middle"},
	} {
		_, _, err := f.Get(t.Context(), s.URL+path)
		want(t, err, c.kind, c.says)
	}
}

func TestStatus(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	_, _, err := newFetcher(t, Options{AllowCIDRs: loopback}).Get(t.Context(), s.URL+"/gone.jpg")
	if e := want(t, err, ErrStatus, "404"); e.Status != 404 || e.URL != s.URL+"/gone.jpg" {
		t.Errorf("%+v", e)
	}
}

func TestNobodyListens(t *testing.T) {
	s := serve(t, nil)
	s.Close()
	_, _, err := newFetcher(t, Options{AllowCIDRs: loopback}).Get(t.Context(), s.URL)
	want(t, err, ErrUnreachable, "refused")
}

func TestSlowServers(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			fmt.Fprint(w, "begins")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	f := newFetcher(t, Options{AllowCIDRs: loopback, Timeout: 50 * time.Millisecond})
	for _, path := range []string{"/body", "/headers"} {
		_, _, err := f.Get(t.Context(), s.URL+path)
		want(t, err, ErrTimeout, "not complete after 50ms")
	}
}

func TestSlowNames(t *testing.T) {
	f := newFetcher(t, Options{Timeout: 20 * time.Millisecond, Resolve: func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	_, _, err := f.Get(t.Context(), "http://slow.example/")
	want(t, err, ErrTimeout, "")
}

func TestTheCallerGivesUp(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, _, err := newFetcher(t, Options{AllowCIDRs: loopback}).Get(ctx, s.URL)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) {
		t.Errorf("error %v", err)
	}
}

func TestProxiesAreIgnored(t *testing.T) {
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	f := newFetcher(t, Options{Resolve: names(map[string]string{"internal.example": "10.0.0.1"})})
	_, _, err := f.Get(t.Context(), "http://internal.example/")
	want(t, err, ErrForbiddenAddress, "private")
}

func TestOwn(t *testing.T) {
	denied := errors.New("AccessDenied: the role may not read bucket/secret")
	f := newFetcher(t, Options{MaxBytes: 10, Timeout: 50 * time.Millisecond, Own: func(u *url.URL) (Opener, bool) {
		if u.Scheme != "s3" && u.Host != "127.0.0.1:4566" {
			return nil, false
		}
		return func(ctx context.Context) (io.ReadCloser, string, error) {
			switch u.Path {
			case "/secret":
				return nil, "", denied
			case "/huge":
				return io.NopCloser(io.LimitReader(zeros{}, 1<<40)), "", nil
			case "/stuck":
				r, _ := io.Pipe() // knows nothing of ctx
				return r, "", nil
			}
			return io.NopCloser(strings.NewReader(u.Host + u.Path)), "image/png", nil
		}, true
	}})
	b, contentType, err := f.Get(t.Context(), "s3://b/dog")
	if err != nil || string(b) != "b/dog" || contentType != "image/png" {
		t.Errorf("%q %q %v", b, contentType, err)
	}
	_, _, err = f.Get(t.Context(), "http://127.0.0.1:4566/secret?X-Amz-Signature=abc")
	want(t, err, denied, "AccessDenied: the role")
	if strings.Contains(err.Error(), "Signature") {
		t.Errorf("%v shows the signature", err)
	}
	_, _, err = f.Get(t.Context(), "s3://b/huge")
	want(t, err, ErrTooLarge, "at most 10 bytes")
	_, _, err = f.Get(t.Context(), "s3://b/stuck")
	want(t, err, ErrTimeout, "")
	_, _, err = f.Get(t.Context(), "http://127.0.0.1:4567/")
	want(t, err, ErrForbiddenAddress, "loopback")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzAddress compares the table with the standard library's own ideas, and with
// the IPv4 address that an IPv6 one may carry.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:a00:1::", "2001:4860:4860::8888", "fe80::1%eth0", "8.8.8.8"} {
		f.Add(netip.MustParseAddr(s).AsSlice())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok || notPublic(a) != "" {
			return
		}
		if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || !a.IsGlobalUnicast() || a.Is4In6() {
			t.Errorf("%v counts as public", a)
		}
		if zoned := a.WithZone("eth0"); a.Is6() && notPublic(zoned) != "" {
			t.Errorf("%v is judged by its zone", zoned)
		}
		if a.Is4() && notPublic(netip.AddrFrom16(a.As16())) == "" {
			t.Errorf("%v counts as public when mapped", a)
		}
		if v6 := a.As16(); a.Is6() && v6[0] == 0x20 && v6[1] == 0x02 {
			t.Errorf("%v is 6to4", a)
		}
	})
}

// FuzzGet: no URL reaches anything when only forbidden addresses are there.
func FuzzGet(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1/", "http://[::ffff:7f00:1]:8080/", "http://0x7f.1/", "https://a@b/", "http://[fe80::1%25lo]/"} {
		f.Add(s)
	}
	fetcher := New(Options{Timeout: time.Second, Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
	f.Fuzz(func(t *testing.T, raw string) {
		if u, err := url.Parse(raw); err == nil {
			if a, err := netip.ParseAddr(u.Hostname()); err == nil && notPublic(a) == "" {
				return // a public address: not to be dialled by a test
			}
		}
		if _, _, err := fetcher.Get(t.Context(), raw); !errors.Is(err, ErrForbiddenURL) && !errors.Is(err, ErrForbiddenAddress) && !errors.Is(err, ErrUnreachable) {
			t.Errorf("%q: %v", raw, err)
		}
	})
}
