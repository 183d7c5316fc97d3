package front

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	// leafRest is how long a certificate that is shown is good for at least.
	leafRest = 30 * 24 * time.Hour
	// maxLeafs bounds the certificates that are kept; beyond it, they start
	// over. A client chooses the names.
	maxLeafs = 1024
	// clockSlack is how far a client's clock may be behind.
	clockSlack = 24 * time.Hour
)

// authority signs the certificates that the door shows.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	leaf *ecdsa.PrivateKey // one key for all of them
	now  func() time.Time

	mu    sync.Mutex
	leafs map[string]*tls.Certificate
}

// openAuthority reads the authority of a folder, or makes one that lasts ten
// years where there is none.
func openAuthority(dir string) (*authority, error) {
	a := &authority{now: time.Now, leafs: map[string]*tls.Certificate{}}
	err := a.read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = a.create(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authority in %s: %w", dir, err)
	}
	a.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return a, err
}

func (a *authority) read(dir string) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("the key is a %T", pair.PrivateKey)
	}
	a.cert, a.key = pair.Leaf, key
	return nil
}

// create makes the key and the certificate. The certificate is written last:
// without it, the next start begins anew.
func (a *authority) create(dir string) (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Musher " + serial().Text(36)[:6], Organization: []string{"Musher"}},
		NotBefore: a.now().Add(-clockSlack), NotAfter: a.now().Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:            x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomains: signable(), PermittedDNSDomainsCritical: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(dir, "ca.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// signable are the domains that the authority may sign for: Amazon's, and
// those by which a machine is called at home.
func signable() []string {
	names := append([]string{"aws", "localhost", "local", "internal", "test"}, Domains()...)
	if host, err := os.Hostname(); err == nil && isHostName(host) {
		names = append(names, strings.ToLower(host))
	}
	return names
}

// certificate returns the one to show for a name, which is a host name or an
// address.
func (a *authority) certificate(name string) (*tls.Certificate, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.leafs[name]; c != nil && a.now().Add(leafRest).Before(c.Leaf.NotAfter) {
		return c, nil
	}
	c, err := a.sign(name)
	if err != nil {
		return nil, err
	}
	if len(a.leafs) >= maxLeafs {
		clear(a.leafs)
	}
	a.leafs[name] = c
	return c, nil
}

func (a *authority) sign(name string) (*tls.Certificate, error) {
	template := &x509.Certificate{
		// A name as CommonName would be held against the domains of the
		// authority, even an address.
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Musher"},
		NotBefore: a.now().Add(-clockSlack), NotAfter: earlier(a.now().Add(leafLife), a.cert.NotAfter),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	switch ip := net.ParseIP(name); {
	case ip != nil:
		template.IPAddresses = []net.IP{ip, net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		template.DNSNames = []string{"localhost"}
	case a.maySign(name):
		template.DNSNames = []string{name}
	default:
		return nil, fmt.Errorf("the certificate authority cannot sign for %q (reach the server by an address, localhost or the machine's own name)", name)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leaf.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: a.leaf, Leaf: leaf}, err
}

func (a *authority) maySign(name string) bool {
	return isHostName(name) && slices.ContainsFunc(a.cert.PermittedDNSDomains, func(d string) bool { return within(name, d) })
}

// within tells whether a name is a domain or lies below it.
func within(name, domain string) bool { return name == domain || strings.HasSuffix(name, "."+domain) }

// isHostName tells whether a name has the form of one. Underscores are none of
// DNS, but of some machines.
func isHostName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126)) // never fails
	return n.SetBit(n, 126, 1)
}

// writeWhole writes a file that is there whole or not at all, also after a
// power failure.
func writeWhole(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer f.Close() // again, where all went well
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
