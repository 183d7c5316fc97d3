package front

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a, err := openAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// trusts is what a client checks that trusts the authority of a folder.
func trusts(t *testing.T, dir string) x509.VerifyOptions {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("ca.pem holds no certificate")
	}
	return x509.VerifyOptions{Roots: roots}
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t, dir)
	client := trusts(t, dir)
	for _, name := range []string{
		"sts.us-east-1.amazonaws.com", "dogs.s3.amazonaws.com", "my.dogs.s3.eu-west-1.amazonaws.com", "STS.amazonaws.com.",
		"s3.cn-north-1.amazonaws.com.cn", "lambda.us-east-1.api.aws", "nb.notebook.us-east-1.sagemaker.aws",
		"localhost", "gpu-box.local", "host.docker.internal", "127.0.0.1", "192.168.1.7", "::1",
	} {
		c, err := a.certificate(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		client.DNSName = name
		if _, err := c.Leaf.Verify(client); err != nil {
			t.Errorf("%s: a client says: %v", name, err)
		}
	}
	for _, name := range []string{"", "example.com", "amazonaws.com.example.com", "xamazonaws.com", "a b.amazonaws.com", "*.amazonaws.com", ".amazonaws.com", "com"} {
		if _, err := a.certificate(name); err == nil {
			t.Errorf("a certificate for %q", name)
		}
	}
}

// TestStolenKey: whoever has the authority's key can't play a foreign host to
// clients that trust it.
func TestStolenKey(t *testing.T) {
	dir := t.TempDir()
	a := newAuthority(t, dir)
	template := &x509.Certificate{SerialNumber: serial(), DNSNames: []string{"bank.example.com"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leaf.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	client := trusts(t, dir)
	client.DNSName = "bank.example.com"
	if _, err := forged.Verify(client); err == nil {
		t.Error("a client takes it")
	}
}

// TestAuthorityStays: clients need to be told once.
func TestAuthorityStays(t *testing.T) {
	dir := t.TempDir()
	first, second := newAuthority(t, dir), newAuthority(t, dir)
	if !first.cert.Equal(second.cert) {
		t.Error("the second start has another certificate")
	}
	if left := time.Until(first.cert.NotAfter); left < caLife-48*time.Hour {
		t.Errorf("it is good for %v", left)
	}
	if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v", info.Mode(), err)
	}
	// The process died before it had written the certificate.
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if third := newAuthority(t, dir); third.cert.Equal(first.cert) {
		t.Error("the certificate came back")
	}
	// A file that is there but damaged is for a person to look at.
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openAuthority(dir); err == nil {
		t.Error("a damaged certificate was taken, or replaced")
	}
}

func TestCertificatesAreKept(t *testing.T) {
	a := newAuthority(t, t.TempDir())
	name := func(i int) string { return fmt.Sprintf("b%d.s3.amazonaws.com", i) }
	first, err := a.certificate(name(0))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.certificate(name(0)); err != nil || again != first {
		t.Errorf("the certificate was made anew: %v", err)
	}
	now := time.Now().Add(leafLife - leafRest + time.Hour)
	a.now = func() time.Time { return now }
	if again, err := a.certificate(name(0)); err != nil || again == first {
		t.Errorf("a certificate that ends soon is shown: %v", err)
	}
	// Signing is what takes time; the cache is filled by hand.
	for i := range maxLeafs {
		a.leafs[name(i)] = first
	}
	if _, err := a.certificate(name(maxLeafs)); err != nil || len(a.leafs) > maxLeafs {
		t.Errorf("%d certificates are kept: %v", len(a.leafs), err)
	}
}

// TestLeafEndsWithAuthority: no certificate outlives what it hangs on.
func TestLeafEndsWithAuthority(t *testing.T) {
	a := newAuthority(t, t.TempDir())
	now := a.cert.NotAfter.Add(-time.Hour)
	a.now = func() time.Time { return now }
	c, err := a.certificate("localhost")
	if err != nil || c.Leaf.NotAfter.After(a.cert.NotAfter) {
		t.Errorf("it is good until %v, %v", c.Leaf.NotAfter, err)
	}
}

func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		if _, err := openAuthority(b.TempDir()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeaf(b *testing.B) {
	a, err := openAuthority(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	if a.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := a.sign("sts.us-east-1.amazonaws.com"); err != nil {
			b.Fatal(err)
		}
	}
}
