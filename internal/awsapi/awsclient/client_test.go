package awsclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/awsapi/awsclient"
)

type PutInput struct {
	Bucket string    `aws:"Bucket,required,in=uri"`
	Key    string    `aws:"Key,required,in=uri"`
	Length *int64    `aws:"Content-Length,member=Length,in=header"`
	Body   io.Reader `aws:"Body,in=payload"`
}

type PutOutput struct {
	ETag *string `aws:"ETag,in=header"`
}

type GetInput struct {
	Bucket string `aws:"Bucket,required,in=uri"`
	Key    string `aws:"Key,required,in=uri"`
}

type GetOutput struct {
	Body io.ReadCloser `aws:"Body,in=payload"`
}

var model = &awsapi.ServiceModel{
	Name: "s3", SigningName: "s3", Endpoint: "s3", Protocol: awsapi.ProtocolRESTXML,
	Operations: []awsapi.OperationModel{
		{Name: "Put", Method: "PUT", URI: "/{Bucket}/{Key+}", Status: 200, Input: reflect.TypeFor[PutInput](), Output: reflect.TypeFor[PutOutput]()},
		{Name: "Get", Method: "GET", URI: "/{Bucket}/{Key+}", Status: 200, Input: reflect.TypeFor[GetInput](), Output: reflect.TypeFor[GetOutput]()},
	},
}

type auth struct{}

func (auth) Credentials(_ context.Context, id, token string) (string, *awsapi.Caller, error) {
	return "secret", &awsapi.Caller{AccessKeyID: id}, nil
}

func (auth) Authorize(context.Context, *awsapi.Caller, []awsapi.Permission) error { return nil }

// server answers gets with what was put; fail is asked first.
func server(t *testing.T, fail func(calls int64) error) (*awsclient.Client, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	stored := make(chan []byte, 1)
	s := awsapi.NewService(model)
	awsapi.Handle(s, "Put", func(ctx context.Context, in *PutInput) (*PutOutput, error) {
		b, err := io.ReadAll(in.Body)
		if err == nil {
			err = fail(calls.Add(1))
		}
		if err != nil {
			return nil, err
		}
		stored <- append([]byte(in.Key+":"), b...)
		return &PutOutput{ETag: &in.Key}, nil
	})
	awsapi.Handle(s, "Get", func(ctx context.Context, in *GetInput) (*GetOutput, error) {
		if err := fail(calls.Add(1)); err != nil {
			return nil, err
		}
		return &GetOutput{Body: io.NopCloser(bytes.NewReader(<-stored))}, nil
	})
	h := httptest.NewServer(awsapi.NewGateway(awsapi.Config{Authenticator: auth{}, Authorizer: auth{}}, s))
	t.Cleanup(h.Close)
	c := awsclient.New(h.URL+"/", awsapi.Credentials{AccessKeyID: "k", SecretAccessKey: "secret"}, "r", nil)
	c.Backoff = time.Millisecond
	return c, &calls
}

func fine(int64) error { return nil }

func TestStreams(t *testing.T) {
	c, _ := server(t, fine)
	length := int64(5)
	for what, in := range map[string]*PutInput{
		"seekable": {Body: strings.NewReader("hello")},
		"stream":   {Body: io.MultiReader(strings.NewReader("hel"), strings.NewReader("lo")), Length: &length},
	} {
		in.Bucket, in.Key = "b", "a//ü +%2F"
		put, err := awsclient.Do[PutOutput](t.Context(), c, model, "Put", in)
		if err != nil || *put.ETag == "" {
			t.Fatalf("%s: %v", what, err)
		}
		get, err := awsclient.Do[GetOutput](t.Context(), c, model, "Get", &GetInput{Bucket: "b", Key: "k"})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		b, err := io.ReadAll(get.Body)
		if err := errors.Join(err, get.Body.Close()); err != nil || string(b) != in.Key+":hello" {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
	_, err := awsclient.Do[PutOutput](t.Context(), c, model, "Put", &PutInput{Bucket: "b", Key: "k", Body: io.MultiReader()})
	if err == nil || !strings.Contains(err.Error(), "ContentLength") {
		t.Errorf("a stream of unknown length: %v", err)
	}
	_, err = awsclient.Do[PutOutput](t.Context(), c, model, "Put", &PutInput{Bucket: "b"})
	if err == nil || !strings.Contains(err.Error(), "Key") {
		t.Errorf("no key: %v", err)
	}
}

func TestRetries(t *testing.T) {
	slow := func(until int64) func(int64) error {
		return func(n int64) error {
			if n < until {
				return awsapi.Errorf("SlowDown", "Please reduce your request rate.")
			}
			return nil
		}
	}
	length := int64(1)
	tests := []struct {
		what  string
		fail  func(int64) error
		body  io.Reader
		calls int64
		code  string
	}{
		{"throttled twice", slow(3), strings.NewReader("x"), 3, ""},
		{"throttled for ever", slow(100), strings.NewReader("x"), 4, "SlowDown"},
		{"cannot send again", slow(3), io.MultiReader(strings.NewReader("x")), 1, "SlowDown"},
		{"the caller's fault", func(int64) error { return awsapi.Errorf("NoSuchBucket", "no") }, strings.NewReader("x"), 1, "NoSuchBucket"},
		{"not implemented", func(int64) error { return awsapi.Errorf("NotImplemented", "no") }, strings.NewReader("x"), 1, "NotImplemented"},
	}
	for _, test := range tests {
		c, calls := server(t, test.fail)
		_, err := awsclient.Do[PutOutput](t.Context(), c, model, "Put", &PutInput{Bucket: "b", Key: "k", Body: test.body, Length: &length})
		var e *awsapi.Error
		code := ""
		if errors.As(err, &e) {
			code = e.Code
		}
		if calls.Load() != test.calls || code != test.code {
			t.Errorf("%s: %d calls, %v", test.what, calls.Load(), err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := awsclient.New("http://"+address, awsapi.Credentials{}, "r", nil)
	c.Backoff = time.Millisecond
	if _, err := awsclient.Do[GetOutput](t.Context(), c, model, "Get", &GetInput{Bucket: "b", Key: "k"}); err == nil || !strings.Contains(err.Error(), "Get: ") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Backoff = time.Hour
	if _, err := awsclient.Do[GetOutput](ctx, c, model, "Get", &GetInput{Bucket: "b", Key: "k"}); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

func TestPresign(t *testing.T) {
	c, _ := server(t, fine)
	put, err := c.Presign(model, "Put", &PutInput{Bucket: "b", Key: "a b"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("PUT", put, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := http.DefaultClient.Do(r); err != nil || a.StatusCode != 200 {
		t.Fatalf("%v %v", a, err)
	}
	get, err := c.Presign(model, "Get", &GetInput{Bucket: "b", Key: "k"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.Get(get)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if b, _ := io.ReadAll(a.Body); string(b) != "a b:hello" {
		t.Errorf("%s", b)
	}
	if a, err := http.Get(strings.Replace(get, "/k?", "/other?", 1)); err != nil || a.StatusCode != 403 {
		t.Errorf("another key: %v %v", a, err)
	}
}
