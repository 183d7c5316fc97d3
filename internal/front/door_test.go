package front

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo answers with what it was asked.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	secure := ""
	if r.TLS != nil {
		secure = "securely "
	}
	fmt.Fprintf(w, "%s%s %s %s ", secure, r.Method, r.Host, r.URL)
	io.Copy(w, r.Body)
})

// opened is a door that serves, and what a test knows of it.
type opened struct {
	*Door
	dir, addr string
	ended     chan error
}

func open(t *testing.T, change ...func(*Options, *net.Listener)) *opened {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: t.TempDir(), Handler: echo}
	addr := l.Addr().String()
	for _, c := range change {
		c(&o, &l)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	at := &opened{Door: d, dir: o.Dir, addr: addr, ended: make(chan error, 1)}
	go func() { at.ended <- d.Serve(l) }()
	t.Cleanup(func() {
		if err := d.Stop(10 * time.Second); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if err := <-at.ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return at
}

// client trusts the door's authority, and uses it as its proxy where told to.
func (at *opened) client(t *testing.T, proxy bool, user ...string) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusts(t, at.dir).Roots}}
	if proxy {
		u := &url.URL{Scheme: "http", Host: at.addr}
		if len(user) > 0 {
			u.User = url.UserPassword(user[0], user[1])
		}
		transport.Proxy = http.ProxyURL(u)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func get(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(text)
}

// elsewhere dials one address whatever is asked for, and counts what is open.
type elsewhere struct {
	addr string
	open atomic.Int64
}

func (e *elsewhere) dial(_ context.Context, network, _ string) (net.Conn, error) {
	c, err := net.Dial(network, e.addr)
	if err == nil {
		e.open.Add(1)
		c = &counted{TCPConn: c.(*net.TCPConn), e: e}
	}
	return c, err
}

func (e *elsewhere) use(o *Options, _ *net.Listener) { o.Dial = e.dial }

type counted struct {
	*net.TCPConn
	e      *elsewhere
	closed atomic.Bool
}

func (c *counted) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.e.open.Add(-1)
	}
	return c.TCPConn.Close()
}

// eventually waits for what other goroutines do.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

func TestOnePort(t *testing.T) {
	at := open(t)
	_, port, _ := net.SplitHostPort(at.addr)
	for _, test := range []struct {
		url   string
		proxy bool
		want  string
	}{
		{"http://" + at.addr + "/a", false, "GET " + at.addr + " /a "},
		{"https://" + at.addr + "/a", false, "securely GET " + at.addr + " /a "},
		{"https://localhost:" + port + "/a", false, "securely GET localhost:" + port + " /a "},
		{"https://dogs.s3.amazonaws.com/a%20b?x=1", true, "securely GET dogs.s3.amazonaws.com /a%20b?x=1 "},
		{"https://sts.eu-central-1.amazonaws.com/", true, "securely GET sts.eu-central-1.amazonaws.com / "},
		{"http://dogs.s3.amazonaws.com/a%2Fb", true, "GET dogs.s3.amazonaws.com /a%2Fb "},
		{"http://s3.cn-north-1.amazonaws.com.cn/", true, "GET s3.cn-north-1.amazonaws.com.cn / "},
		{"https://lambda.us-east-1.api.aws/", true, "securely GET lambda.us-east-1.api.aws / "},
	} {
		if status, body := get(t, at.client(t, test.proxy), test.url); status != 200 || body != test.want {
			t.Errorf("%s: %d %s, want %s", test.url, status, body, test.want)
		}
	}
}

// TestTunnelHome: a client that leaves nothing out of its proxy reaches us by
// our own address too. (Go's leaves loopback addresses out, so this one talks
// by hand.)
func TestTunnelHome(t *testing.T) {
	at := open(t)
	c := at.connect(t, at.addr, "")
	secure := tls.Client(c, &tls.Config{RootCAs: trusts(t, at.dir).Roots, ServerName: "127.0.0.1"})
	io.WriteString(secure, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	text, err := io.ReadAll(secure)
	if err != nil || !strings.HasSuffix(string(text), "securely GET h / ") {
		t.Errorf("the answer is %q, %v", text, err)
	}
}

// TestPlainInTunnel: the first byte counts in a tunnel as well.
func TestPlainInTunnel(t *testing.T) {
	at := open(t)
	c := at.connect(t, "dogs.s3.amazonaws.com:80", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	text, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(text), "\r\n\r\nGET h / ") {
		t.Errorf("the answer is %q, %v", text, err)
	}
}

// connect asks for a tunnel. What the client says without waiting for the
// answer goes in one packet with the question.
func (at *opened) connect(t *testing.T, to, early string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", at.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n%s", to, to, early)
	answer := make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))
	if _, err := io.ReadFull(c, answer); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
		t.Fatalf("the proxy says %q, %v", answer, err)
	}
	return c
}

// TestForeignHosts: what is not ours passes as it is, certificates included.
func TestForeignHosts(t *testing.T) {
	secure := httptest.NewTLSServer(echo)
	defer secure.Close()
	plain := httptest.NewServer(echo)
	defer plain.Close()
	for _, test := range []struct {
		host *httptest.Server
		url  string
	}{{secure, "https://example.com/a?b"}, {plain, "http://example.com/a?b"}} {
		abroad := &elsewhere{addr: test.host.Listener.Addr().String()}
		at := open(t, abroad.use)
		c := at.client(t, true)
		if test.host == secure {
			c.Transport.(*http.Transport).TLSClientConfig.RootCAs = test.host.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		}
		status, body := get(t, c, test.url)
		if status != 200 || !strings.Contains(body, "GET example.com /a?b") {
			t.Errorf("%s: %d %s", test.url, status, body)
		}
		if abroad.open.Load() != 1 {
			t.Errorf("%s: %d connections to the host", test.url, abroad.open.Load())
		}
		c.CloseIdleConnections()
		if test.host == secure {
			eventually(t, "the host's connection is closed", func() bool { return abroad.open.Load() == 0 })
		}
	}
}

// TestHalfClose: the client has said all it has to say, and hears the answer.
func TestHalfClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			said, _ := io.ReadAll(c)
			c.Write(bytes.ToUpper(said))
			c.Close()
		}
	}()
	abroad := &elsewhere{addr: l.Addr().String()}
	at := open(t, abroad.use)
	c := at.connect(t, "shout.example.com:7", "hel")
	io.WriteString(c, "lo")
	c.(*net.TCPConn).CloseWrite()
	if said, err := io.ReadAll(c); err != nil || string(said) != "HELLO" {
		t.Errorf("%q, %v", said, err)
	}
	eventually(t, "the host's connection is closed", func() bool { return abroad.open.Load() == 0 })
}

// TestStopClosesTunnels: nobody waits for the end of a tunnel that may stand
// for hours.
func TestStopClosesTunnels(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	abroad := &elsewhere{addr: l.Addr().String()}
	at := open(t, abroad.use)
	c := at.connect(t, "silent.example.com:443", "")
	if err := at.Stop(time.Minute); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d bytes, %v from a tunnel of a closed door", n, err)
	}
	eventually(t, "the host's connection is closed", func() bool { return abroad.open.Load() == 0 })
}

// TestOwnAddressesAreNotForOthers talks by hand: Go's client never asks a proxy
// for a loopback address.
func TestOwnAddressesAreNotForOthers(t *testing.T) {
	at := open(t)
	for _, to := range []string{
		"169.254.169.254:80", "169.254.170.2:80", "[fd00:ec2::254]:80", "[::ffff:169.254.169.254]:80", "[fe80::1%25lo]:80",
		"0.0.0.0:22", "127.0.0.1:22", "127.1.2.3:22", "localhost:22", "[::1]:22", "[::]:22", "224.0.0.1:22",
	} {
		for _, line := range []string{"CONNECT " + to, "GET http://" + to + "/"} {
			c, err := net.Dial("tcp", at.addr)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", line, to)
			answer, _ := io.ReadAll(c)
			if !bytes.HasPrefix(answer, []byte("HTTP/1.1 502 ")) || !bytes.Contains(answer, []byte(errOwnAddress.Error())) {
				t.Errorf("%s: %s", line, answer)
			}
			c.Close()
		}
	}
}

// distant makes clients look as if they called from another machine.
type distant struct{ net.Listener }

func (l distant) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return distantConn{c}, err
}

type distantConn struct{ net.Conn }

func (distantConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 40000}
}

// TestNoOpenProxy: who calls from elsewhere needs the token to go elsewhere.
func TestNoOpenProxy(t *testing.T) {
	plain := httptest.NewServer(echo)
	defer plain.Close()
	abroad := &elsewhere{addr: plain.Listener.Addr().String()}
	at := open(t, abroad.use, func(_ *Options, l *net.Listener) { *l = distant{*l} })
	ways := map[string]string{"http://example.com/": "407", "https://example.com/": "Proxy Authentication Required"}
	for way, refusal := range ways {
		for name, c := range map[string]*http.Client{
			"nothing": at.client(t, true), "a wrong token": at.client(t, true, "musher", "x"), "no token": at.client(t, true, "musher", ""),
			"a wrong name": at.client(t, true, "admin", at.token),
		} {
			if status, body := get(t, c, way); !strings.Contains(fmt.Sprint(status, body), refusal) {
				t.Errorf("%s with %s: %d %s", way, name, status, body)
			}
		}
	}
	if status, body := get(t, at.client(t, true, "musher", at.token), "http://example.com/"); status != 200 {
		t.Errorf("with the token: %d %s", status, body)
	}
	// What is for us needs none: there signatures decide.
	if status, body := get(t, at.client(t, true), "https://sts.amazonaws.com/"); status != 200 {
		t.Errorf("what is ours: %d %s", status, body)
	}
	text, err := os.ReadFile(at.dir + "/proxy-token")
	if again, openErr := openToken(at.dir); err != nil || openErr != nil || again != at.token || strings.TrimSpace(string(text)) != at.token {
		t.Errorf("the token changed to %q (%v, %v)", again, err, openErr)
	}
}

func TestEmptyToken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/proxy-token", []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if token, err := openToken(dir); err != nil || len(token) < 20 {
		t.Errorf("the token is %q, %v", token, err)
	}
}

// TestLargeBodies go both ways, through TLS and without.
func TestLargeBodies(t *testing.T) {
	at := open(t)
	data := make([]byte, 8<<20)
	rand.Read(data)
	for _, url := range []string{"http://" + at.addr + "/", "https://" + at.addr + "/", "https://dogs.s3.amazonaws.com/"} {
		c := at.client(t, strings.Contains(url, "amazonaws"))
		resp, err := c.Post(url, "application/octet-stream", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.HasSuffix(got, data) {
			t.Errorf("%s: %d bytes came back, %v", url, len(got), err)
		}
	}
}

// TestFiles: the kernel copies files to clients without TLS, and we to others.
func TestFiles(t *testing.T) {
	path := t.TempDir() + "/f"
	data := make([]byte, 1<<20)
	rand.Read(data)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	at := open(t, func(o *Options, _ *net.Listener) {
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	})
	for _, scheme := range []string{"http://", "https://"} {
		if status, body := get(t, at.client(t, false), scheme+at.addr+"/"); status != 200 || body != string(data) {
			t.Errorf("%s: %d, %d bytes", scheme, status, len(body))
		}
	}
}

// TestStrangers: what neither speaks HTTP nor trusts us leaves the door open
// for others.
func TestStrangers(t *testing.T) {
	at := open(t)
	for name, words := range map[string]string{
		"nothing": "", "half a handshake": "\x16\x03\x01", "noise after the first byte": "\x16" + strings.Repeat("noise", 100),
		"no HTTP": "hello\r\n\r\n", "no port": "CONNECT example.com HTTP/1.1\r\n\r\n",
	} {
		c, err := net.Dial("tcp", at.addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, words)
		c.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(c) // it ends, one way or the other
		if bytes.Contains(answer, []byte(" 200 ")) {
			t.Errorf("%s: %q", name, answer)
		}
		c.Close()
	}
	c, err := tls.Dial("tcp", at.addr, &tls.Config{RootCAs: trusts(t, at.dir).Roots, ServerName: "unknown.example.com"})
	if err == nil {
		c.Close()
		t.Error("a foreign name was answered")
	}
	if status, _ := get(t, &http.Client{}, "https://"+at.addr); status != 0 {
		t.Error("a client that does not trust us is content")
	}
	if status, _ := get(t, at.client(t, false), "https://"+at.addr); status != 200 {
		t.Error("the door is shut for all")
	}
}

// TestTwoDoors have each their own authority.
func TestTwoDoors(t *testing.T) {
	one, other := open(t), open(t)
	if status, _ := get(t, one.client(t, false), "https://"+one.addr+"/"); status != 200 {
		t.Error(status)
	}
	if status, body := get(t, one.client(t, false), "https://"+other.addr+"/"); status != 0 || !strings.Contains(body, "certificate") {
		t.Errorf("the one's client trusts the other: %d %s", status, body)
	}
}
