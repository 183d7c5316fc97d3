package modelserver

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Which URLs are Musher's own, and what stands in them.
func TestIsOwn(t *testing.T) {
	for _, c := range []struct {
		endpoint, url, bucket string
		own                   bool
	}{
		{"http://127.0.0.1:4566", "http://127.0.0.1:4566/b/k", "", true},
		{"http://127.0.0.1:4566", "http://localhost:4566/b/k", "", true},
		{"http://127.0.0.1:4566", "http://LOCALHOST:4566/b/k", "", true},
		{"http://127.0.0.1:4566", "http://[::1]:4566/b/k", "", true},
		{"http://127.0.0.1:4566", "https://localhost:4566/b/k", "", true},
		{"http://127.0.0.1:4566", "http://photos.localhost:4566/k", "photos", true},
		{"http://127.0.0.1:4566", "http://a.photos.s3.localhost:4566/k", "a.photos", true},
		{"http://127.0.0.1:4566", "http://s3.localhost:4566/b/k", "", true},
		{"http://127.0.0.1:4566", "http://127.0.0.1:4567/b/k", "", false},
		{"http://127.0.0.1:4566", "http://127.0.0.1/b/k", "", false},
		{"http://127.0.0.1:4566", "ftp://127.0.0.1:4566/b/k", "", false},
		{"http://127.0.0.1:4566", "http://10.0.0.1:4566/b/k", "", false},
		{"http://127.0.0.1:4566", "http://localhost.example:4566/b/k", "", false},
		{"http://musher.lan:4566", "http://musher.lan:4566/b/k", "", true},
		{"http://musher.lan:4566", "http://localhost:4566/b/k", "", false},
		{"http://musher.lan:4566", "http://b.localhost:4566/k", "", false},
		{"http://musher.lan", "http://musher.lan:80/b/k", "", true},
		{"", "http://127.0.0.1:4566/b/k", "", false},
	} {
		s, err := newSources(Config{Endpoint: c.endpoint})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if bucket, own := s.isOwn(u); own != c.own || bucket != c.bucket {
			t.Errorf("%s from %q: own %v, bucket %q, want %v, %q", c.url, c.endpoint, own, bucket, c.own, c.bucket)
		}
		s.close()
	}
	for _, bad := range []string{"127.0.0.1:4566", "http://", "://"} {
		if _, err := newSources(Config{Endpoint: bad}); err == nil {
			t.Errorf("the endpoint %q passes", bad)
		}
	}
}

// A presigned URL is followed as it is: with its host name, its query, and no
// redirect; what the bucket has against it is told.
func TestPresigned(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch {
		case r.Header.Get("Authorization") != "":
			t.Error("a presigned request was signed once more")
		case q.Get("X-Amz-Signature") == "moved":
			http.Redirect(w, r, "/b/other", http.StatusFound)
		case q.Get("X-Amz-Signature") == "late":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`)
		case q.Get("X-Amz-Signature") == "odd":
			w.WriteHeader(http.StatusTeapot)
		default:
			w.Header().Set("Content-Type", "image/x")
			fmt.Fprintf(w, "%s %s %s", r.Host[:strings.LastIndex(r.Host, ":")], r.URL.EscapedPath(), r.URL.RawQuery)
		}
	}))
	defer endpoint.Close()
	s, err := newSources(Config{Endpoint: endpoint.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	port := portOf(s.endpoint)
	for _, c := range []struct{ url, body, fails string }{
		{"http://localhost:" + port + "/b/a%20k?X-Amz-Signature=ok&x=%2F", "localhost /b/a%20k X-Amz-Signature=ok&x=%2F", ""},
		{"http://b.localhost:" + port + "/k?X-Amz-Signature=ok", "b.localhost /k X-Amz-Signature=ok", ""},
		{endpoint.URL + "/b/k?AWSAccessKeyId=A&Signature=s&Expires=1", "127.0.0.1 /b/k AWSAccessKeyId=A&Signature=s&Expires=1", ""},
		{endpoint.URL + "/b/k?X-Amz-Signature=late", "", "AccessDenied: Request has expired"},
		{endpoint.URL + "/b/k?X-Amz-Signature=odd", "", "answered with 418"},
		{endpoint.URL + "/b/k?X-Amz-Signature=moved", "", "answered with 302"},
		{endpoint.URL + "/b/k", "", "no bucket can be read"}, // no signature: needs the role
	} {
		body, contentType, err := s.get(t.Context(), c.url)
		if c.fails != "" {
			if err == nil || !strings.Contains(explain(err).text, c.fails) {
				t.Errorf("%s: %v, want %q", c.url, err, c.fails)
			}
			continue
		}
		if err != nil || string(body) != c.body || contentType != "image/x" {
			t.Errorf("%s: %q %q %v, want %q", c.url, body, contentType, err, c.body)
		}
	}
	endpoint.Close()
	if _, _, err := s.get(t.Context(), endpoint.URL+"/b/k?X-Amz-Signature=ok"); err == nil || explain(err).status != http.StatusFailedDependency {
		t.Errorf("when nobody answers: %v", err)
	}
}

// Other hosts go through the guard, with the operator's exceptions.
func TestFetchFrom(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, strings.Repeat("x", 50))
	}))
	defer web.Close()
	named := strings.Replace(web.URL, "127.0.0.1", "localhost", 1)
	for _, c := range []struct {
		from   []string
		url    string
		status int
	}{
		{nil, web.URL, 400},
		{[]string{"10.0.0.0/8", ""}, web.URL, 400},
		{[]string{" 127.0.0.1 "}, web.URL, 200},
		{[]string{"127.0.0.0/8", "::1"}, web.URL, 200},
		{[]string{"127.0.0.5/8"}, web.URL, 200}, // host bits do not matter
		{[]string{"localhost"}, web.URL, 400},
		{[]string{"localhost"}, named, 200},
		{[]string{"127.0.0.1"}, web.URL + "/gone", 424},
	} {
		s, err := newSources(Config{FetchFrom: c.from, MaxBody: 100})
		if err != nil {
			t.Fatal(err)
		}
		status := http.StatusOK
		if _, _, err := s.get(t.Context(), c.url); err != nil {
			status = explain(err).status
		}
		if status != c.status {
			t.Errorf("%s with %q listed: %d, want %d", c.url, c.from, status, c.status)
		}
		s.close()
	}
	small, err := newSources(Config{FetchFrom: []string{"127.0.0.1"}, MaxBody: 49})
	if err != nil {
		t.Fatal(err)
	}
	defer small.close()
	if _, _, err := small.get(t.Context(), web.URL); err == nil || explain(err).status != http.StatusRequestEntityTooLarge {
		t.Errorf("more than MaxBody: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := small.get(gone, web.URL); err == nil || explain(err).status != statusGone {
		t.Errorf("a client that has gone: %v", err)
	}
}
