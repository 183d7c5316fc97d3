package awsapi

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// vectorTime is when testdata/sigv4_vectors.py signs.
var vectorTime = time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)

type vector struct {
	Name, Service, Method, URL, Body string
	Headers                          map[string]string
}

func (v vector) request(t testing.TB) *http.Request {
	t.Helper()
	body, err := hex.DecodeString(v.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(v.Method, v.URL, bytes.NewReader(body))
	r.Host = "127.0.0.1:4566"
	for k, x := range v.Headers {
		r.Header.Set(k, x)
	}
	return r
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/sigv4.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// modelOf is the least model that a signature needs to know.
func modelOf(service string) *ServiceModel {
	protocol := map[string]string{"s3": ProtocolRESTXML, "iam": ProtocolQuery, "sts": ProtocolQuery, "sagemaker": ProtocolJSON}[service]
	return &ServiceModel{Name: service, SigningName: service, Protocol: protocol}
}

type oneKey struct{}

func (oneKey) Credentials(_ context.Context, id, token string) (string, *Caller, error) {
	if id != exampleKey {
		return "", nil, Errorf("InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	return exampleSecret, &Caller{Kind: Root, ARN: "arn:aws:iam::123456789012:root"}, nil
}

type allowAll struct{}

func (allowAll) Authorize(context.Context, *Caller, []Permission) error { return nil }

func testGateway(now time.Time) *Gateway {
	return NewGateway(Config{Authenticator: oneKey{}, Authorizer: allowAll{}, Now: func() time.Time { return now }})
}

// authenticateVector runs only the signature's part of the chain.
func authenticateVector(t testing.TB, g *Gateway, v vector, r *http.Request) error {
	t.Helper()
	c := &call{r: r, ctx: t.Context(), req: &Request{}, model: modelOf(v.Service), query: parseQuery(r.URL.RawQuery)}
	sig, err := parseSignature(r, c.query)
	if err != nil {
		return err
	}
	c.sig = sig
	c.op = &operation{OperationModel: &OperationModel{Name: "X", Checksummed: true}}
	if e := g.authenticate(c); e != nil {
		return e
	}
	return nil
}

func TestSignaturesOfBotocore(t *testing.T) {
	g := testGateway(vectorTime.Add(time.Minute))
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if err := authenticateVector(t, g, v, v.request(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Whatever is changed of a signed request, the signature must not hold.
func TestTamperedRequestsAreRefused(t *testing.T) {
	g := testGateway(vectorTime)
	for _, v := range vectors(t) {
		v2 := strings.HasPrefix(v.Name, "v2")
		tampered := map[string]func(r *http.Request){
			"method": func(r *http.Request) { r.Method = "PATCH" },
			"path":   func(r *http.Request) { r.URL.Path += "x"; r.URL.RawPath = "" },
		}
		if !v2 {
			tampered["host"] = func(r *http.Request) { r.Host = "other" }
			tampered["query"] = func(r *http.Request) { r.URL.RawQuery += "&x=y" }
		}
		if v.Service == "s3" {
			tampered["added header"] = func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }
		}
		for what, f := range tampered {
			r := v.request(t)
			f(r)
			err := authenticateVector(t, g, v, r)
			e, ok := err.(*Error)
			if !ok || e.Code != "SignatureDoesNotMatch" && e.Code != "AccessDenied" {
				t.Errorf("%s with another %s: %v", v.Name, what, err)
			}
		}
	}
}

func TestSignaturesHaveTheirTime(t *testing.T) {
	tests := []struct {
		vector string
		after  time.Duration
		code   string
	}{
		{"s3 get", 14 * time.Minute, ""},
		{"s3 get", 16 * time.Minute, "RequestTimeTooSkewed"},
		{"s3 get", -16 * time.Minute, "RequestTimeTooSkewed"},
		{"sagemaker", 4 * time.Minute, ""},
		{"sagemaker", 6 * time.Minute, "SignatureDoesNotMatch"},
		{"iam", -6 * time.Minute, "SignatureDoesNotMatch"},
		{"s3 presigned", 59 * time.Minute, ""},
		{"s3 presigned", 61 * time.Minute, "AccessDenied"},
		{"s3 presigned", -16 * time.Minute, "AccessDenied"},
		{"sts presigned", 61 * time.Minute, "AccessDenied"},
		{"v2 presigned", 59 * time.Minute, ""},
		{"v2 presigned", 61 * time.Minute, "AccessDenied"},
		{"v2 header", 16 * time.Minute, "RequestTimeTooSkewed"},
	}
	all := map[string]vector{}
	for _, v := range vectors(t) {
		all[v.Name] = v
	}
	for _, test := range tests {
		v := all[test.vector]
		err := authenticateVector(t, testGateway(vectorTime.Add(test.after)), v, v.request(t))
		code := ""
		if e, ok := err.(*Error); ok {
			code = e.Code
		}
		if code != test.code {
			t.Errorf("%s after %v: %v, want %q", test.vector, test.after, err, test.code)
		}
	}
}

// SignV4 and PresignV4 must make what this package and botocore accept; for
// the latter, the vectors were signed by botocore with the same inputs.
func TestSignAndVerify(t *testing.T) {
	creds := Credentials{AccessKeyID: exampleKey, SecretAccessKey: exampleSecret, Token: "t"}
	g := testGateway(vectorTime)
	for _, service := range []string{"s3", "sagemaker", "iam"} {
		r := httptest.NewRequest("GET", "http://h/bucket/a%20b//c?x=%2F&y", nil)
		r.Header.Set("X-Amz-Meta-A", " b   c")
		SignV4(r, creds, "r", modelOf(service), emptyHash, vectorTime)
		if err := authenticateVector(t, g, vector{Service: service}, r); err != nil {
			t.Errorf("signed for %s: %v", service, err)
		}
	}
	r := httptest.NewRequest("GET", "http://h/bucket/a%20b//c?x=%2F&y", nil)
	PresignV4(r, creds, "r", modelOf("s3"), time.Hour, vectorTime)
	if err := authenticateVector(t, g, vector{Service: "s3"}, r); err != nil {
		t.Errorf("presigned: %v", err)
	}
}

func TestSignerMatchesBotocore(t *testing.T) {
	for _, v := range vectors(t) {
		if strings.Contains(v.Name, "v2") || strings.Contains(v.Name, "presigned") {
			continue
		}
		r := v.request(t)
		want := r.Header.Get("Authorization")
		r.Header.Del("Authorization")
		payload := r.Header.Get("X-Amz-Content-Sha256")
		if payload == "" {
			payload = hexSHA256(t, v.Body)
		}
		SignV4(r, Credentials{exampleKey, exampleSecret, r.Header.Get("X-Amz-Security-Token")}, "eu-west-1", modelOf(v.Service), payload, vectorTime)
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", v.Name, got, want)
		}
	}
}

func TestBadAuthorization(t *testing.T) {
	tests := []struct{ header, url, code string }{
		{"Basic abc", "/", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256", "/", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=x", "/", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 Credential=a/20261122/r/s3/aws4_request, SignedHeaders=host", "/", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 Credential=a/20261122/r/s3/aws4_request, Signature=x", "/", "IncompleteSignature"},
		{"AWS4-HMAC-SHA256 Credential=a/20261122/r/s3/aws4_request, SignedHeaders=host, Signature=x", "/", "IncompleteSignature"}, // no date
		{"", "/?X-Amz-Algorithm=AWS4-HMAC-SHA1", "AuthorizationQueryParametersError"},
		{"", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256", "AuthorizationQueryParametersError"},
		{"", "/?AWSAccessKeyId=a&Signature=b&Expires=soon", "AccessDenied"},
		{strings.Repeat("x", 10000), "/", "IncompleteSignature"},
	}
	for _, test := range tests {
		r := httptest.NewRequest("GET", test.url, nil)
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		_, err := parseSignature(r, parseQuery(r.URL.RawQuery))
		if err == nil || err.Code != test.code {
			t.Errorf("%.60s %s: %v, want %s", test.header, test.url, err, test.code)
		}
	}
}

func TestKeyCacheIsBounded(t *testing.T) {
	var c keyCache
	for i := range 3 * maxKeys {
		c.get(keyID{secret: itoa(int64(i))})
	}
	if len(c.keys) > maxKeys {
		t.Errorf("%d keys are kept", len(c.keys))
	}
	want := deriveKey(keyID{"s", "d", "r", "x"})
	for range 2 {
		if !bytes.Equal(c.get(keyID{"s", "d", "r", "x"}), want) {
			t.Error("another key came out of the cache")
		}
	}
}

func BenchmarkVerifyV4(b *testing.B) {
	for _, name := range []string{"s3 put", "sagemaker"} {
		b.Run(name, func(b *testing.B) {
			for _, v := range vectors(b) {
				if v.Name != name {
					continue
				}
				r := v.request(b)
				m := modelOf(v.Service)
				payload := r.Header.Get("X-Amz-Content-Sha256")
				if payload == "" {
					payload = hexSHA256(b, v.Body)
				}
				var cache keyCache
				b.ReportAllocs()
				for b.Loop() {
					query := parseQuery(r.URL.RawQuery)
					sig, err := parseSignature(r, query)
					if err != nil {
						b.Fatal(err)
					}
					key := cache.get(keyID{exampleSecret, sig.day, sig.region, sig.service})
					if err := sig.verifyV4(m, r, query, payload, key); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func FuzzParseSignature(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=a/20261122/r/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20261122T010203Z", "")
	f.Add("AWS a:b", "", "")
	f.Add("", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/20261122/r/s3/aws4_request&X-Amz-Date=20261122T010203Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1&X-Amz-Signature=0")
	g := testGateway(vectorTime)
	f.Fuzz(func(t *testing.T, header, date, query string) {
		r := httptest.NewRequest("GET", "http://h/b/k", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", header)
		r.Header.Set("X-Amz-Date", date)
		if err := authenticateVector(t, g, vector{Service: "s3"}, r); err == nil && header+query != "" {
			t.Errorf("a made-up signature was accepted: %q %q", header, query)
		}
	})
}
