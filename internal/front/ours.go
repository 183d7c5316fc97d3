package front

import (
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Domains are Amazon's, below which the APIs are: the door takes their hosts
// for its own.
func Domains() []string { return []string{"amazonaws.com", "amazonaws.com.cn", "api.aws"} }

// dashed are names of S3 in an old form. No client of today makes them, but
// links to public data sets have them: they stay what they are.
var dashed = regexp.MustCompile(`(^|\.)s3-[a-z]{2}-[a-z-]+-[0-9]\.amazonaws\.com$`) //nolint:gochecknoglobals // a constant

// isCloud tells whether a host is one of Amazon's that we answer for.
func isCloud(host string) bool {
	return slices.ContainsFunc(Domains(), func(d string) bool { return within(host, d) }) && !dashed.MatchString(host)
}

// ours tells whether what a proxy's client asks for is this server.
func ours(r *http.Request) bool {
	host, port := splitAddress(r.URL.Host)
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if isCloud(host) {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	here, ourPort := splitAddress(local.String())
	ip := net.ParseIP(host)
	return port == ourPort && (host == "localhost" || ip != nil && (ip.IsLoopback() || ip.Equal(net.ParseIP(here))))
}

// splitAddress splits HOST:PORT, where the port may be missing.
func splitAddress(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return strings.Trim(address, "[]"), ""
	}
	return host, port
}
