package front

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"testing"
)

func TestOurs(t *testing.T) {
	here := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: 4566}
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(here))
	for host, want := range map[string]bool{
		"sts.us-east-1.amazonaws.com:443":         true,
		"STS.Amazonaws.com.:443":                  true,
		"amazonaws.com:443":                       true,
		"amazonaws.com":                           true,
		"dogs.s3.eu-west-1.amazonaws.com:443":     true,
		"a.b.c.s3.amazonaws.com:443":              true,
		"s3-control.us-east-1.amazonaws.com:443":  true,
		"s3-fips.us-east-1.amazonaws.com:443":     true,
		"s3.cn-north-1.amazonaws.com.cn:443":      true,
		"sagemaker.us-east-1.api.aws:443":         true,
		"10.0.0.5:4566":                           true,
		"127.0.0.1:4566":                          true,
		"[::1]:4566":                              true,
		"localhost:4566":                          true,
		"10.0.0.5:22":                             false,
		"127.0.0.1":                               false,
		"10.0.0.6:4566":                           false,
		"localhost:8080":                          false,
		"aws.amazon.com:443":                      false,
		"amazonaws.com.example.org:443":           false,
		"notamazonaws.com:443":                    false,
		"packages.example.org:443":                false,
		"s3-us-west-1.amazonaws.com:443":          false,
		"dogs.s3-ap-southeast-2.amazonaws.com:80": false,
	} {
		r := &http.Request{URL: &url.URL{Host: host}}
		if got := ours(r.WithContext(ctx)); got != want {
			t.Errorf("%s is ours: %v", host, got)
		}
	}
}
