package awsclient

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/musher/musher/internal/awsapi"
)

// Source gives the credentials to sign with; it is asked before each attempt.
type Source func(ctx context.Context) (awsapi.Credentials, error)

// Client calls services at one endpoint as one caller. It is safe for use by
// several goroutines.
type Client struct {
	endpoint    string
	credentials Source
	region      string
	http        *http.Client

	// Attempts is how often a call is made at most: 4 unless changed.
	Attempts int
	// Backoff is the wait before the first retry, doubled for each further
	// one and jittered: 50 ms unless changed.
	Backoff time.Duration
}

// New returns a client of the services at endpoint, "http://127.0.0.1:4566".
// A nil HTTP client is http.DefaultClient.
func New(endpoint string, credentials awsapi.Credentials, region string, client *http.Client) *Client {
	return NewFrom(endpoint, func(context.Context) (awsapi.Credentials, error) { return credentials, nil }, region, client)
}

// NewFrom is New for credentials that change over time.
func NewFrom(endpoint string, credentials Source, region string, client *http.Client) *Client {
	if client == nil {
		client = http.DefaultClient
	}
	return &Client{
		endpoint: strings.TrimSuffix(endpoint, "/"), credentials: credentials, region: region, http: client,
		Attempts: 4, Backoff: 50 * time.Millisecond,
	}
}

// Do calls an operation. Out is its output type, in a pointer to its input
// type. The caller closes a streaming output's body.
func Do[Out any](ctx context.Context, c *Client, m *awsapi.ServiceModel, operation string, in any) (*Out, error) {
	out := new(Out)
	if err := c.call(ctx, m, operation, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Presign returns a URL that makes the call for whoever has it, for at most
// seven days. It suits operations of S3 without a body, or with a streaming
// one.
func (c *Client) Presign(m *awsapi.ServiceModel, operation string, in any, expires time.Duration) (string, error) {
	q, err := awsapi.EncodeRequest(m, operation, in)
	if err != nil {
		return "", err
	}
	r, err := c.request(context.Background(), q, nil)
	if err != nil {
		return "", err
	}
	r.Header.Del("Content-Type")
	credentials, err := c.credentials(context.Background())
	if err != nil {
		return "", err
	}
	awsapi.PresignV4(r, credentials, c.region, m, expires, time.Now())
	return r.URL.String(), nil
}

func (c *Client) call(ctx context.Context, m *awsapi.ServiceModel, operation string, in, out any) error {
	q, err := awsapi.EncodeRequest(m, operation, in)
	if err != nil {
		return err
	}
	b, err := newBody(m, operation, q)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	for attempt := 1; ; attempt++ {
		err = c.attempt(ctx, m, operation, q, b, out)
		if err == nil || attempt >= c.Attempts || !retryable(err) || !b.rewind() {
			break
		}
		if werr := c.wait(ctx, attempt); werr != nil {
			break
		}
	}
	var e *awsapi.Error
	if err != nil && !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return err
}

func (c *Client) attempt(ctx context.Context, m *awsapi.ServiceModel, operation string, q *awsapi.Outgoing, b *body, out any) error {
	r, err := c.request(ctx, q, b)
	if err != nil {
		return err
	}
	credentials, err := c.credentials(ctx)
	if err != nil {
		return err
	}
	awsapi.SignV4(r, credentials, c.region, m, b.hash, time.Now())
	answer, err := c.http.Do(r) //nolint:bodyclose // DecodeResponse closes it, or hands it on as a stream
	if err != nil {
		return err
	}
	return awsapi.DecodeResponse(m, operation, answer, out)
}

func (c *Client) request(ctx context.Context, q *awsapi.Outgoing, b *body) (*http.Request, error) {
	target := c.endpoint + q.Path
	if q.Query != "" {
		target += "?" + q.Query
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	r := (&http.Request{
		Method: q.Method, URL: u, Host: u.Host, Header: q.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if b == nil {
		return r, nil
	}
	r.Header.Del("Content-Length") // net/http writes it from the length below
	r.ContentLength = b.length
	r.Body = http.NoBody
	if b.length != 0 {
		r.Body = io.NopCloser(b.reader)
	}
	if b.md5 != "" {
		r.Header.Set("Content-Md5", b.md5)
	}
	return r, nil
}

// wait sleeps before a retry: the backoff, doubled each time, with jitter.
func (c *Client) wait(ctx context.Context, attempt int) error {
	most := c.Backoff << (attempt - 1)
	t := time.NewTimer(most/2 + rand.N(most/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// retryable tells whether the same call may well work a moment later.
func retryable(err error) bool {
	var e *awsapi.Error
	if errors.As(err, &e) {
		switch e.Code {
		case "Throttling", "ThrottlingException", "SlowDown", "RequestTimeout", "TooManyRequestsException":
			return true
		}
		return e.Status >= 500 && e.Status != http.StatusNotImplemented
	}
	var op *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &op) && op.Op == "dial"
}

// body is what a request sends, and its hash as the signature has it.
type body struct {
	reader io.Reader
	seeker io.Seeker // nil if the reader cannot be read twice
	start  int64     // where the seeker began
	length int64
	hash   string
	md5    string
}

func newBody(m *awsapi.ServiceModel, operation string, q *awsapi.Outgoing) (*body, error) {
	if q.Stream != nil {
		return streamBody(q)
	}
	r := bytes.NewReader(q.Body)
	sum := sha256.Sum256(q.Body)
	b := &body{reader: r, seeker: r, length: int64(len(q.Body)), hash: hex.EncodeToString(sum[:])}
	if awsapi.NeedsDigest(m, operation) {
		digest := md5.Sum(q.Body)
		b.md5 = base64.StdEncoding.EncodeToString(digest[:])
	}
	return b, nil
}

// streamBody finds a stream's length: by seeking, or from the ContentLength
// that the input carries.
func streamBody(q *awsapi.Outgoing) (*body, error) {
	b := &body{reader: q.Stream, length: -1, hash: "UNSIGNED-PAYLOAD"}
	if s, ok := q.Stream.(io.Seeker); ok {
		start, err := s.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		end, err := s.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, err
		}
		if _, err := s.Seek(start, io.SeekStart); err != nil {
			return nil, err
		}
		b.seeker, b.start, b.length = s, start, end-start
		return b, nil
	}
	if _, err := fmt.Sscan(q.Header.Get("Content-Length"), &b.length); err != nil {
		return nil, fmt.Errorf("a stream that cannot seek needs a ContentLength")
	}
	return b, nil
}

// rewind makes the body ready to be sent again, if it can.
func (b *body) rewind() bool {
	if b.seeker == nil {
		return false
	}
	_, err := b.seeker.Seek(b.start, io.SeekStart)
	return err == nil
}
