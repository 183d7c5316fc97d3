package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExceptions(t *testing.T) {
	const always = "localhost,127.0.0.1,::1,169.254.169.254"
	for environment, want := range map[string]string{
		"":                                   always,
		"localhost, .lan ,10.0.0.0/8":        always + ",.lan,10.0.0.0/8",
		always + ",.lan," + always + ",.lan": always + ",.lan",
		"*":                                  always,
		".amazonaws.com,s3.amazonaws.com":    always,
		"*.api.aws,com,.aws,aws":             always,
		"xamazonaws.com,amazonaws.com.org":   always + ",xamazonaws.com,amazonaws.com.org",
	} {
		if got := exceptions(environment); got != want {
			t.Errorf("%q: %s, want %s", environment, got, want)
		}
	}
}

func TestProxyURL(t *testing.T) {
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "tls", "proxy-token"), []byte("ABC\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:4566": "http://127.0.0.1:4566",
		"http://[::1]:4566":     "http://[::1]:4566",
		"http://10.0.0.5:4566":  "http://musher:ABC@10.0.0.5:4566",
	} {
		if got, err := proxyURL(endpoint, data); err != nil || got != want {
			t.Errorf("%s: %s, %v", endpoint, got, err)
		}
	}
}

// TestBundle: a second `musher env`, in the environment that the first one
// made, finds the same certificates.
func TestBundle(t *testing.T) {
	data := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots, ca, bundle := write("roots.pem", "roots"), write("ca.pem", "ours\n"), filepath.Join(data, "ca-bundle.pem")
	for _, name := range bundleVariables {
		t.Setenv(name, "")
	}
	t.Setenv("SSL_CERT_FILE", roots)
	var notes strings.Builder
	g := &globals{err: &notes}
	for range 2 {
		if err := writeBundle(g, bundle, ca); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(bundle); err != nil || string(text) != "roots\nours\n" || notes.Len() > 0 {
			t.Errorf("the bundle is %q, %v; %s", text, err, &notes)
		}
		t.Setenv("SSL_CERT_FILE", bundle)
	}
	if err := writeBundle(g, bundle, filepath.Join(data, "none")); err == nil {
		t.Error("a server without a certificate")
	}
}
