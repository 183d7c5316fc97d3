package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/musher/musher/internal/front"
)

// bundleVariables name the file of trusted certificates, each for some clients:
// Amazon's, Python's requests, curl, and what uses OpenSSL or Go.
var bundleVariables = []string{"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"} //nolint:gochecknoglobals // a constant

// noTelemetry is a configuration of the SageMaker SDK. The SDK reports to an
// address of its makers otherwise, which here is nobody's business.
const noTelemetry = `SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
`

// proxied are the variables that lead clients through the server. Plain HTTP
// goes its own way: no client of Amazon's uses it unless it is told to, and
// much else does, within a machine.
func (c envCommand) proxied(g *globals, conn connection) ([]variable, error) {
	proxy, err := proxyURL(conn.Endpoint, c.Data)
	if err != nil {
		return nil, err
	}
	bundle, sdk := filepath.Join(c.Data, "ca-bundle.pem"), filepath.Join(c.Data, "sagemaker.yaml")
	if !c.Unset {
		if err := writeBundle(g, bundle, filepath.Join(c.Data, "tls", "ca.pem")); err != nil {
			return nil, err
		}
		if err := replaceFile(sdk, []byte(noTelemetry)); err != nil {
			return nil, err
		}
	}
	direct := exceptions(os.Getenv("NO_PROXY") + "," + os.Getenv("no_proxy"))
	vars := []variable{
		{"AWS_ENDPOINT_URL", ""}, // it would win over the proxy
		{"HTTPS_PROXY", proxy}, {"https_proxy", proxy},
		{"NO_PROXY", direct}, {"no_proxy", direct},
		{"SAGEMAKER_USER_CONFIG_OVERRIDE", sdk},
	}
	for _, name := range bundleVariables {
		vars = append(vars, variable{name, bundle})
	}
	return vars, nil
}

// proxyURL is the server's address, with the token that clients from elsewhere
// must show.
func proxyURL(endpoint, data string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() {
		return endpoint, nil
	}
	token, err := os.ReadFile(filepath.Join(data, "tls", "proxy-token"))
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword("musher", strings.TrimSpace(string(token)))
	return u.String(), nil
}

// exceptions are the hosts that clients call directly: this machine, the
// metadata service, and what the environment excepts already, but for Amazon's
// own names.
func exceptions(environment string) string {
	direct := []string{"localhost", "127.0.0.1", "::1", "169.254.169.254"}
	for host := range strings.SplitSeq(environment, ",") {
		host = strings.TrimSpace(host)
		if host != "" && !coversAmazon(host) && !slices.Contains(direct, host) {
			direct = append(direct, host)
		}
	}
	return strings.Join(direct, ",")
}

// coversAmazon tells whether an exception keeps calls to Amazon from the proxy.
func coversAmazon(exception string) bool {
	name := strings.TrimLeft(strings.ToLower(exception), "*.")
	for _, domain := range front.Domains() {
		if name == "" || name == domain || strings.HasSuffix(name, "."+domain) || strings.HasSuffix(domain, "."+name) {
			return true
		}
	}
	return false
}

// writeBundle writes a file of the certificates that this machine trusts, and
// the server's: the clients' other connections pass the proxy untouched.
func writeBundle(g *globals, path, ca string) error {
	own, err := os.ReadFile(ca)
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(errors.New("the server of this folder has not made its certificate yet"), "start it again with this version of musher")
	}
	if err != nil {
		return err
	}
	trusted, err := trustedHere()
	if err != nil {
		return err
	}
	if trusted == nil {
		fmt.Fprintln(g.err, "musher: this machine's list of certificates is not where such lists are; the bundle has the server's only\nhint: name the list in SSL_CERT_FILE")
	}
	// In an environment that `musher env` has made, the list is the bundle.
	trusted = bytes.TrimRight(bytes.TrimSuffix(trusted, own), "\n")
	return replaceFile(path, slices.Concat(trusted, []byte("\n"), own))
}

// trustedHere reads the certificates that the environment names, or else the
// machine's; nil where there are none.
func trustedHere() ([]byte, error) {
	var places []string
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		if file := os.Getenv(name); file != "" {
			places = append(places, file)
		}
	}
	places = append(places,
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, Amazon Linux
		"/etc/ssl/ca-bundle.pem",             // SUSE
		"/etc/ssl/cert.pem",                  // macOS, BSD
	)
	for _, place := range places {
		text, err := os.ReadFile(place)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return text, err
	}
	return nil, nil
}

// replaceFile writes a file that others may be reading.
func replaceFile(path string, data []byte) error {
	half := path + ".new"
	if err := os.WriteFile(half, data, 0o600); err != nil {
		return err
	}
	return os.Rename(half, path)
}
