package modelserver

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/serve/fetch"
)

// maxFetches bounds the URLs that are read at the same time, and with them the
// memory that their bodies take before it is counted.
const maxFetches = 32

// sources reads photos by URL.
type sources struct {
	fetcher  *fetch.Fetcher
	slots    chan struct{}
	objects  Objects
	endpoint *url.URL // of Musher's own buckets; nil: none is known
	own      *http.Client
}

func newSources(c Config) (*sources, error) {
	s := &sources{slots: make(chan struct{}, maxFetches), objects: c.Objects}
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("the endpoint %q is no URL", c.Endpoint)
		}
		s.endpoint = u
		s.own = ownClient(u)
	}
	o := c.fetchOptions()
	o.Own = s.openOwn
	s.fetcher = fetch.New(o)
	return s, nil
}

// ownClient connects to the endpoint, whatever name a URL has for it: a
// presigned URL must be sent with the host name that it was signed for.
func ownClient(endpoint *url.URL) *http.Client {
	address := net.JoinHostPort(endpoint.Hostname(), portOf(endpoint))
	return &http.Client{
		Transport: &http.Transport{
			Proxy: nil,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
			MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get reads the photo behind a URL.
func (s *sources) get(ctx context.Context, rawURL string) (body []byte, contentType string, err error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	return s.fetcher.Get(ctx, escapeKey(rawURL))
}

func (s *sources) close() {
	s.fetcher.Close()
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
}

// escapeKey makes a URL of an S3 URI, in which a key stands as it is: "%" and
// "?" are letters like others there.
func escapeKey(uri string) string {
	rest, ok := strings.CutPrefix(uri, "s3://")
	if !ok {
		return uri
	}
	bucket, key, _ := strings.Cut(rest, "/")
	return (&url.URL{Scheme: "s3", Host: bucket, Path: "/" + key}).String()
}

// openOwn is asked by the fetcher about every URL that a client gives.
func (s *sources) openOwn(u *url.URL) (fetch.Opener, bool) {
	if u.Scheme == "s3" {
		return s.object(u.Host, strings.TrimPrefix(u.Path, "/")), true
	}
	bucket, ok := s.isOwn(u)
	if !ok {
		return nil, false
	}
	if presigned(u.Query()) {
		return func(ctx context.Context) (io.ReadCloser, string, error) { return s.openPresigned(ctx, u) }, true
	}
	key := strings.TrimPrefix(u.Path, "/")
	if bucket == "" {
		bucket, key, _ = strings.Cut(key, "/")
	}
	return s.object(bucket, key), true
}

// isOwn says whether a URL leads to Musher's own endpoint, and which bucket
// stands in its host name, if any.
func (s *sources) isOwn(u *url.URL) (bucket string, ok bool) {
	if s.endpoint == nil || u.Scheme != "http" && u.Scheme != "https" || portOf(u) != portOf(s.endpoint) {
		return "", false
	}
	host, own := strings.ToLower(u.Hostname()), strings.ToLower(s.endpoint.Hostname())
	if host == own {
		return "", true
	}
	if !loopback(own) {
		return "", false
	}
	if inner, ok := strings.CutSuffix(host, ".localhost"); ok {
		if inner == "s3" {
			return "", true
		}
		return strings.TrimSuffix(inner, ".s3"), true
	}
	return "", loopback(host)
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// presigned knows both kinds of signature that a URL may carry.
func presigned(q url.Values) bool {
	return q.Has("X-Amz-Signature") || q.Has("Signature") && q.Has("AWSAccessKeyId")
}

// object opens an object with the execution role.
func (s *sources) object(bucket, key string) fetch.Opener {
	return func(ctx context.Context) (io.ReadCloser, string, error) {
		if bucket == "" || key == "" {
			return nil, "", problemf(http.StatusBadRequest, "the URL names no object").withHint("s3://bucket/key")
		}
		if s.objects == nil {
			return nil, "", problemf(http.StatusBadRequest, "no bucket can be read: the model server has no endpoint")
		}
		body, contentType, err := s.objects.Get(ctx, bucket, key)
		if err != nil {
			return nil, "", explainObject(bucket, key, err)
		}
		return body, contentType, nil
	}
}

func explainObject(bucket, key string, err error) error {
	p := &problem{status: http.StatusFailedDependency, cause: err, text: fmt.Sprintf("s3://%s/%s could not be read", bucket, key)}
	var e *awsapi.Error
	if errors.As(err, &e) {
		p.text += ": " + e.Error()
		if e.Code == "AccessDenied" {
			p.hint = "the endpoint reads with its execution role; allow the role s3:GetObject, or give a presigned URL"
		}
	}
	return p
}

// openPresigned follows a presigned URL of our own, with no other right than it has.
func (s *sources) openPresigned(ctx context.Context, u *url.URL) (io.ReadCloser, string, error) {
	to := *u
	to.Scheme, to.User, to.Fragment = s.endpoint.Scheme, nil, ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, "", problemf(http.StatusBadRequest, "the presigned URL makes no request")
	}
	resp, err := s.own.Do(req)
	if err != nil {
		return nil, "", &problem{status: http.StatusFailedDependency, text: "the bucket of the presigned URL does not answer", cause: err}
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, "", refusal(resp)
	}
	return resp.Body, resp.Header.Get("Content-Type"), nil
}

// refusal reads the bucket's error.
func refusal(resp *http.Response) error {
	var e struct{ Code, Message string }
	if xml.NewDecoder(io.LimitReader(resp.Body, 8<<10)).Decode(&e) != nil || e.Code == "" {
		return problemf(http.StatusFailedDependency, "the presigned URL was answered with %d", resp.StatusCode)
	}
	return problemf(http.StatusFailedDependency, "the presigned URL was refused: %s: %s", e.Code, e.Message)
}
