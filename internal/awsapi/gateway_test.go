package awsapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// A small S3, with what the gateway treats as S3's: streams, resources, HEAD.

type PutInput struct {
	Bucket string    `aws:"Bucket,required,in=uri"`
	Key    string    `aws:"Key,required,in=uri"`
	Length *int64    `aws:"Content-Length,member=Length,in=header"`
	Body   io.Reader `aws:"Body,in=payload"`
}

type GetInput struct {
	Bucket string `aws:"Bucket,required,in=uri"`
	Key    string `aws:"Key,required,in=uri"`
}

type GetOutput struct {
	Length *int64        `aws:"Content-Length,member=Length,in=header"`
	Range  *string       `aws:"Content-Range,member=Range,in=header"`
	Body   io.ReadCloser `aws:"Body,in=payload"`
}

type PartInput struct {
	Bucket   string `aws:"Bucket,required,in=uri"`
	Key      string `aws:"Key,required,in=uri"`
	UploadId string `aws:"uploadId,member=UploadId,required,in=query"`
}

type DeleteInput struct {
	Bucket string `aws:"Bucket,required,in=uri"`
	Delete *Part  `aws:"Delete,required,in=payload"`
}

func bucketModel() *ServiceModel {
	op := func(name, method, uri string, in, out reflect.Type) OperationModel {
		return OperationModel{Name: name, Method: method, URI: uri, Status: 200, Input: in, Output: out}
	}
	empty := reflect.TypeFor[EmptyOutput]()
	m := &ServiceModel{
		Name: "s3", SigningName: "s3", Endpoint: "s3", Protocol: ProtocolRESTXML,
		Operations: []OperationModel{
			op("Put", "PUT", "/{Bucket}/{Key+}", reflect.TypeFor[PutInput](), empty),
			op("Get", "GET", "/{Bucket}/{Key+}", reflect.TypeFor[GetInput](), reflect.TypeFor[GetOutput]()),
			op("Head", "HEAD", "/{Bucket}/{Key+}", reflect.TypeFor[GetInput](), empty),
			op("Part", "PUT", "/{Bucket}/{Key+}?part", reflect.TypeFor[PartInput](), empty),
			op("Delete", "POST", "/{Bucket}?delete", reflect.TypeFor[DeleteInput](), empty),
		},
		Unsupported: []OperationName{{Name: "GetAcl", Method: "GET", URI: "/{Bucket}/{Key+}?acl"}},
		Errors:      []ErrorModel{{Shape: "NoSuchKey", Code: "NoSuchKey", Status: 404}},
	}
	m.Operations[0].Checksummed, m.Operations[4].Checksummed, m.Operations[4].ChecksumRequired = true, true, true
	return m
}

// bucketServer stores one thing at a time; stored tells what, and whether.
type bucketServer struct {
	*Gateway
	mu       sync.Mutex
	stored   map[string]string
	observed []string
	caller   *Caller
}

func newBucketServer(t testing.TB) *bucketServer {
	s := &bucketServer{stored: map[string]string{}}
	svc := NewService(bucketModel())
	Handle(svc, "Put", func(ctx context.Context, in *PutInput) (*EmptyOutput, error) {
		b, err := io.ReadAll(in.Body)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stored[in.Bucket+"|"+in.Key] = string(b)
		s.caller = RequestFrom(ctx).Caller
		return nil, nil
	})
	Handle(svc, "Get", func(ctx context.Context, in *GetInput) (*GetOutput, error) {
		switch in.Key {
		case "part":
			return &GetOutput{Body: io.NopCloser(strings.NewReader("34")), Length: ptr(int64(2)), Range: ptr("bytes 3-4/9")}, nil
		case "breaks":
			r := io.MultiReader(strings.NewReader("some"), &failingReader{})
			return &GetOutput{Body: io.NopCloser(r), Length: ptr(int64(100))}, nil
		}
		return nil, Errorf("NoSuchKey", "The specified key does not exist.")
	})
	Handle(svc, "Head", func(ctx context.Context, in *GetInput) (*EmptyOutput, error) {
		return nil, Errorf("NoSuchKey", "The specified key does not exist.")
	})
	Handle(svc, "Delete", func(ctx context.Context, in *DeleteInput) (*EmptyOutput, error) { return nil, nil })
	s.Gateway = NewGateway(Config{
		Account: "1", Authenticator: oneKey{}, Authorizer: allowAll{}, Now: func() time.Time { return vectorTime },
		Observe: func(r *Request, status int, code string, d time.Duration) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.observed = append(s.observed, fmt.Sprintf("%s %d %s", r.Operation, status, code))
		},
	}, svc)
	return s
}

type failingReader struct{}

func (*failingReader) Read([]byte) (int, error) { return 0, errors.New("the disk failed") }

func (s *bucketServer) send(t testing.TB, method, target, host, payload string, header map[string]string, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = host
	for k, v := range header {
		r.Header.Set(k, v)
	}
	SignV4(r, Credentials{exampleKey, exampleSecret, ""}, "r", s.services[0].model, payload, vectorTime)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestBucketsInHostNames(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1:4566": "", "localhost:4566": "", "[::1]:4566": "", "musher": "", "10.0.0.1": "",
		"s3.amazonaws.com": "", "s3.eu-west-1.amazonaws.com": "", "s3-eu-west-1.amazonaws.com": "", "s3.localhost:1": "",
		"s3.dualstack.eu-west-1.amazonaws.com": "",
		"b.s3.cn-north-1.amazonaws.com.cn":     "b", "s3.cn-north-1.amazonaws.com.cn": "", "s3-b.s3.amazonaws.com": "s3-b",
		"s3.b.s3.eu-west-1.amazonaws.com": "s3.b", "b.s3-c.s3.eu-west-1.amazonaws.com": "b.s3-c", "b.s3.c.s3-eu-west-1.amazonaws.com": "b.s3.c",
		"b.s3.dualstack.eu-west-1.amazonaws.com": "b", "b.s3x.s3.amazonaws.com": "b.s3x",
		"s3-b.localhost": "s3-b", "sts.s3x.amazonaws.com": "",
		"b.localhost:4566": "b", "b.s3.localhost": "b", "b.c.s3.localhost": "b.c", "B.localhost.": "b",
		"b.s3.amazonaws.com": "b", "b.s3.eu-west-1.amazonaws.com:443": "b", "b.s3-eu-west-1.amazonaws.com": "b",
		"my.s3.bucket.s3.amazonaws.com": "my.s3.bucket", "iam.amazonaws.com": "",
	} {
		if got := bucketOf(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

func TestKeysArriveAsSent(t *testing.T) {
	for target, want := range map[string]string{
		"/b/k": "b|k", "/b/a//b": "b|a//b", "/b/k/": "b|k/", "/b//": "b|/", "/b/%2F": "b|/", "/b/a%2Fb": "b|a/b",
		"/b/..": "b|..", "/b/./x/../y": "b|./x/../y", "/b/a%252F": "b|a%2F", "/b/a+b": "b|a+b", "/b/%F0%9F%98%80": "b|😀",
		"/b/k?x-id=Put": "b|k", "/b/%00": "b|\x00", "/b/q%3Fx": "b|q?x",
	} {
		s := newBucketServer(t)
		w := s.send(t, "PUT", target, "127.0.0.1", unsignedPayload, nil, "data")
		if w.Code != 200 || s.stored[want] != "data" {
			t.Errorf("%s: %d %s, stored %q", target, w.Code, w.Body, s.stored)
		}
		s = newBucketServer(t)
		hosted := strings.TrimPrefix(target, "/b")
		w = s.send(t, "PUT", hosted, "b.localhost:4566", unsignedPayload, nil, "data")
		if w.Code != 200 || s.stored[want] != "data" {
			t.Errorf("%s virtual-hosted: %d %s, stored %q", target, w.Code, w.Body, s.stored)
		}
	}
}

func TestBucketRequests(t *testing.T) {
	tests := []struct {
		what, method, target, payload string
		header                        map[string]string
		body                          string
		status                        int
		text                          string
	}{
		{"part", "GET", "/b/part", emptyHash, nil, "", 206, "34"},
		{"not found", "GET", "/b/k", emptyHash, nil, "", 404, "<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Resource>/b/k</Resource>"},
		{"not found, no body", "HEAD", "/b/k", emptyHash, nil, "", 404, ""},
		{"unsupported", "GET", "/b/k?acl", emptyHash, nil, "", 501, "Musher does not support s3:GetAcl yet"},
		{"a key of another operation", "PUT", "/b/k?uploadId=x", emptyHash, nil, "", 400, "<ArgumentName>uploadId</ArgumentName>"},
		{"half of the keys", "PUT", "/b/k?part", emptyHash, nil, "", 400, "InvalidArgument"},
		{"no such method", "PATCH", "/b/k", emptyHash, nil, "", 405, "MethodNotAllowed"},
		{"body is not what was signed", "PUT", "/b/k", emptyHash, nil, "x", 400, "XAmzContentSHA256Mismatch"},
		{"no hash in the hash", "PUT", "/b/k", "abc", nil, "x", 400, "<ArgumentName>x-amz-content-sha256</ArgumentName>"},
		{"chunked without length", "PUT", "/b/k", streamingUnsignedTrailer, nil, "0\r\n\r\n", 411, "MissingContentLength"},
		{"checksum", "PUT", "/b/k", unsignedPayload, map[string]string{"X-Amz-Checksum-Crc32": "AAAAAA=="}, "x", 400, "BadDigest"},
		{"checksum that cannot be", "PUT", "/b/k", unsignedPayload, map[string]string{"X-Amz-Checksum-Crc32": "AA=="}, "x", 400, "InvalidRequest"},
		{"checksum missing", "POST", "/b?delete", unsignedPayload, nil, "<Delete><ID>1</ID></Delete>", 400, "Content-MD5"},
		{"checksum present", "POST", "/b?delete", unsignedPayload, map[string]string{"X-Amz-Checksum-Crc32": checksum("crc32", []byte("<Delete><ID>1</ID></Delete>"))}, "<Delete><ID>1</ID></Delete>", 200, ""},
		{"another document", "POST", "/b?delete", unsignedPayload, map[string]string{"X-Amz-Checksum-Crc32": checksum("crc32", []byte("<Create/>"))}, "<Create/>", 400, "MalformedXML"},
		{"no document", "POST", "/b?delete", unsignedPayload, map[string]string{"X-Amz-Checksum-Crc32": "AAAAAA=="}, "", 400, "MalformedXML"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			s := newBucketServer(t)
			w := s.send(t, test.method, test.target, "127.0.0.1", test.payload, test.header, test.body)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.text) || test.text == "" && w.Body.Len() > 0 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if len(s.stored) > 0 {
				t.Errorf("stored %q", s.stored)
			}
			if len(s.observed) != 1 || !strings.Contains(s.observed[0], fmt.Sprint(test.status)) {
				t.Errorf("observed %q", s.observed)
			}
			if w.Header().Get("X-Amz-Request-Id") == "" || w.Header().Get("X-Amz-Id-2") == "" {
				t.Errorf("header %q", w.Header())
			}
		})
	}
}

// A connection that ends inside the body: nothing is stored, and the client
// would be told that its body is not whole.
func TestShortBody(t *testing.T) {
	s := newBucketServer(t)
	server := httptest.NewServer(s)
	defer server.Close()
	r := httptest.NewRequest("PUT", "/b/k", nil)
	r.Host = "127.0.0.1"
	SignV4(r, Credentials{exampleKey, exampleSecret, ""}, "r", s.services[0].model, unsignedPayload, vectorTime)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n")
	if err := r.Header.Write(conn); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "\r\nonly this")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 400 || !strings.Contains(string(body), "IncompleteBody") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.stored) > 0 {
		t.Errorf("stored %q", s.stored)
	}
}

// A stream that fails midway must not look like a whole one.
func TestBrokenStreamBreaksTheConnection(t *testing.T) {
	s := newBucketServer(t)
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.Start()
	defer server.Close()
	r, err := http.NewRequest("GET", server.URL+"/b/breaks", nil)
	if err != nil {
		t.Fatal(err)
	}
	SignV4(r, Credentials{exampleKey, exampleSecret, ""}, "r", s.services[0].model, emptyHash, vectorTime)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return // broken before the header was out: as good
	}
	defer answer.Body.Close()
	if b, err := io.ReadAll(answer.Body); err == nil {
		t.Errorf("the broken body was whole: %q", b)
	}
}

func TestContinueIsAskedForOnlyWhenWanted(t *testing.T) {
	s := newBucketServer(t)
	server := httptest.NewServer(s)
	defer server.Close()
	for _, secret := range []string{exampleSecret, "wrong"} {
		r := httptest.NewRequest("PUT", "/b/k", nil)
		r.Host = "127.0.0.1"
		SignV4(r, Credentials{exampleKey, secret, ""}, "r", s.services[0].model, unsignedPayload, vectorTime)
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n")
		if err := r.Header.Write(conn); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "\r\n")
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{exampleSecret: "100", "wrong": "403"}[secret]; !strings.Contains(line, want) {
			t.Errorf("with secret %q: %s", secret, line)
		}
	}
}

func TestInvoke(t *testing.T) {
	g, _ := toyServer(t, ProtocolJSON)
	caller := &Caller{Kind: Machine, ARN: "arn:machine"}
	out, err := Invoke[EchoOutput](t.Context(), g, caller, "toy", "Echo", &EchoInput{Name: "ab"})
	if err != nil || out.Echo.Name != "ab" {
		t.Fatalf("%v, %v", out, err)
	}
	tests := []struct {
		op   string
		in   any
		code string
		text string
	}{
		{"Echo", &EchoInput{Name: "a"}, "ValidationException", "at 'name'"},
		{"Echo", &EchoInput{Name: "denied"}, "AccessDeniedException", "User: arn:machine is not authorized to perform: toy:Echo"},
		{"Echo", &EchoInput{Name: "outof"}, "OutOfToysException", "no more"},
		{"Store", &StoreInput{Box: "b"}, "ValidationException", "Value null at 'path'"},
		{"Echo", &StoreInput{}, "", "takes"},
		{"Describe", &DescribeInput{}, "", "nothing handles"},
		{"Nothing", &DescribeInput{}, "", "nothing handles"},
	}
	for _, test := range tests {
		_, err := Invoke[EchoOutput](t.Context(), g, caller, "toy", test.op, test.in)
		var e *Error
		code := ""
		if errors.As(err, &e) {
			code = e.Code
		}
		if err == nil || code != test.code || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s %+v: %v", test.op, test.in, err)
		}
	}
}

func TestHandlePanicsOnWrongWiring(t *testing.T) {
	h := func(context.Context, *EchoInput) (*EchoOutput, error) { return nil, nil }
	for what, f := range map[string]func(*Service){
		"unknown operation": func(s *Service) { Handle(s, "Nothing", h) },
		"other types":       func(s *Service) { Handle(s, "Store", h) },
		"twice":             func(s *Service) { Handle(s, "Echo", h); Handle(s, "Echo", h) },
		"other access type": func(s *Service) {
			Handle(s, "Echo", h, Access(func(*Request, *StoreInput) []Permission { return nil }))
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f(NewService(toyModel(ProtocolJSON)))
		}()
	}
}

// Unsigned requests are refused in the form of the service they seem to mean.
func TestUnsignedRequests(t *testing.T) {
	bucket := newBucketServer(t)
	services := []*Service{toyService(ProtocolQuery), bucket.services[0]}
	g := NewGateway(Config{Authenticator: oneKey{}, Authorizer: allowAll{}}, services...)
	for _, test := range []struct {
		method, target, host, contentType, body string
		status                                  int
		text                                    string
	}{
		{"GET", "/b/k", "127.0.0.1", "", "", 403, "<Code>AccessDenied</Code>"},
		{"POST", "/", "127.0.0.1", "application/x-www-form-urlencoded", "Action=Echo", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"GET", "/?Action=Echo", "127.0.0.1", "", "", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"GET", "/", "toy.eu-west-1.amazonaws.com", "", "", 403, "<Code>MissingAuthenticationToken</Code>"},
		{"GET", "/", "s3.localhost", "", "", 403, "<Code>AccessDenied</Code>"},
	} {
		r := httptest.NewRequest(test.method, test.target, strings.NewReader(test.body))
		r.Host = test.host
		r.Header.Set("Content-Type", test.contentType)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.text) {
			t.Errorf("%s %s%s: %d %s", test.method, test.host, test.target, w.Code, w.Body)
		}
	}
}

func TestLogHasTheRequestID(t *testing.T) {
	var log strings.Builder
	g := NewGateway(Config{
		Authenticator: oneKey{}, Authorizer: allowAll{}, Now: func() time.Time { return vectorTime },
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	}, toyService(ProtocolJSON))
	w := httptest.NewRecorder()
	g.ServeHTTP(w, signedRequest(t, "toy", "POST", "/", jsonHeader, `{"Name":"broken"}`))
	id := w.Header().Get("X-Amzn-Requestid")
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "/etc") || !strings.Contains(w.Body.String(), id) {
		t.Errorf("%s\n%s", log.String(), w.Body)
	}
	for _, line := range lines {
		if !strings.Contains(line, "request_id="+id) {
			t.Errorf("no request id in %s", line)
		}
	}
}

func TestErrorf(t *testing.T) {
	e := Errorf("X", "it broke: %w", io.EOF).WithStatus(418).With("K", 1).WithHeader("H", "v")
	if !errors.Is(e, io.EOF) || e.Message != "it broke: EOF" || e.Status != 418 || e.Field("K") != 1 || e.Field("L") != nil || e.Header.Get("h") != "v" {
		t.Errorf("%#v", e)
	}
}

func TestCompilePattern(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{`[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`, []string{"a", "a-b"}, []string{"", "a_b", "-a", "ab\n"}},
		{`^[a-z]+$`, []string{"a"}, []string{"a1"}},
		{`[\u0020-\u00FF]+`, []string{"a ü"}, []string{"\t", "日"}},
		{`[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*`, []string{"a\t日", "😀", "\U0010FFFF"}, []string{"\n", "\uFFFF"}},
		{`\p{ASCII}*`, []string{"", "a\x00"}, []string{"ü"}},
		{`\A\S[\p{Print}]*\z`, []string{"a b"}, []string{" a", "a\n"}},
		{`arn:[\p{Alnum}\-]+:x`, []string{"arn:a-1:x"}, []string{"arn:ü:x"}},
		{`[\S]{1,2048}`, []string{"a"}, []string{"", "a b"}},
		{`(?!\s*$).+`, []string{" a"}, []string{"", "  "}},
		{`/(?!.*\.\.)[a-zA-Z0-9/_.\-]+`, []string{"/a.b/c.", "/.a", "/."}, []string{"/a..b", "/..", "/", "a"}},
		{`([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)`, []string{"a", "a-b"}, []string{"a-", "-a", ""}},
		{`a{2}{`, nil, nil},
	}
	for _, test := range tests {
		re, err := CompilePattern(test.pattern)
		if err != nil {
			if test.yes != nil {
				t.Errorf("%s: %v", test.pattern, err)
			}
			continue
		}
		for _, s := range test.yes {
			if !re.MatchString(s) {
				t.Errorf("%s refuses %q", test.pattern, s)
			}
		}
		for _, s := range test.no {
			if re.MatchString(s) {
				t.Errorf("%s takes %q", test.pattern, s)
			}
		}
	}
	if _, err := CompilePattern(`(?=x)y`); err == nil {
		t.Error("a pattern that looks ahead was compiled")
	}
}
