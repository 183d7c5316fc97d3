package front

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// Domains are Amazon's, below which the APIs are: the door takes their hosts
// for its own.
func Domains() []string { return []string{"amazonaws.com", "amazonaws.com.cn", "api.aws"} }

// ours tells whether what a proxy's client asks for is this server.
func ours(r *http.Request) bool {
	host, port := splitAddress(r.URL.Host)
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if slices.ContainsFunc(Domains(), func(d string) bool { return within(host, d) }) {
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
