package awsapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"
)

// toy is a service with one operation of every sort, for tests of the codecs.
// Its types are written as the generator writes them.

type EchoInput struct {
	Name    string            `aws:"Name,required,min=2,max=8" pattern:"[a-z_]+"`
	Count   *int64            `aws:"Count,min=1,max=10,int32"`
	Ratio   *float64          `aws:"Ratio"`
	On      *bool             `aws:"On"`
	When    *time.Time        `aws:"When"`
	Day     *time.Time        `aws:"Day,time=iso8601"`
	Data    []byte            `aws:"Data"`
	Color   *string           `aws:"Color" enum:"Color"`
	Words   []string          `aws:"Words,max=3" item.aws:",min=1,max=5" item.pattern:"[a-z]+"`
	Flat    []string          `aws:"Flat,flat"`
	Sizes   map[string]int64  `aws:"Sizes,max=2" key.aws:",max=3" item.aws:",max=9,int32"`
	Parts   []*Part           `aws:"Parts"`
	Secret  *string           `aws:"Secret,max=3,secret"`
	Renamed *string           `aws:"other-name,member=Renamed"`
	Pairs   map[string]string `aws:"Pairs,flat" key.aws:"k" item.aws:"v"`
}

type Part struct {
	ID   string  `aws:"ID,required,min=1"`
	Next *Part   `aws:"Next"`
	Kids []*Part `aws:"Kids"`
}

type EchoOutput struct {
	Echo  *EchoInput `aws:"Echo"`
	Parts []*Part    `aws:"Parts,required"`
	At    time.Time  `aws:"At,required"`
}

type StoreInput struct {
	Box     string            `aws:"Box,required,in=uri"`
	Path    string            `aws:"Path,required,in=uri"`
	Limit   *int64            `aws:"limit,member=Limit,in=query,int32"`
	Tags    []string          `aws:"tag,member=Tags,in=query"`
	Since   *time.Time        `aws:"X-Since,member=Since,in=header"`
	Meta    map[string]string `aws:"x-meta-,member=Meta,in=headers"`
	Color   *string           `aws:"x-color,member=Color,in=header" enum:"Color"`
	Content []byte            `aws:"Content,in=payload"`
}

type StoreOutput struct {
	Status  *int64            `aws:"Status,in=status"`
	ETag    *string           `aws:"ETag,in=header"`
	Meta    map[string]string `aws:"x-meta-,member=Meta,in=headers"`
	Message *string           `aws:"Message"`
}

type DescribeInput struct {
	Box  string `aws:"Box,required,in=uri"`
	Doc  *Part  `aws:"Doc,in=payload"`
	Part string `aws:"part,member=Part,required,in=query"`
}

type EmptyOutput struct{}

func toyModel(protocol string) *ServiceModel {
	return &ServiceModel{
		Name: "toy", SigningName: "toy", Endpoint: "toy", Protocol: protocol, JSONVersion: "1.1", TargetPrefix: "Toy", APIVersion: "2026-01-01",
		XMLNamespace: "urn:toy",
		Operations: []OperationModel{
			{Name: "Echo", Method: "POST", URI: "/", Status: 200, Input: reflect.TypeFor[EchoInput](), Output: reflect.TypeFor[EchoOutput](), Errors: []string{"OutOfToysException"}},
			{Name: "Store", Method: "PUT", URI: "/{Box}/{Path+}", Status: 201, Input: reflect.TypeFor[StoreInput](), Output: reflect.TypeFor[StoreOutput]()},
			{Name: "Describe", Method: "PUT", URI: "/{Box}?doc", Status: 200, Input: reflect.TypeFor[DescribeInput](), Output: reflect.TypeFor[EmptyOutput]()},
		},
		Unsupported: []OperationName{{Name: "Destroy", Method: "DELETE", URI: "/{Box}"}},
		Errors: []ErrorModel{
			{Shape: "OutOfToysException", Code: "OutOfToys", Status: 409},
		},
		Enums: map[string][]string{"Color": {"red", "green"}},
	}
}

// toyService answers Echo with what it was sent.
func toyService(protocol string) *Service {
	s := NewService(toyModel(protocol))
	Handle(s, "Echo", func(ctx context.Context, in *EchoInput) (*EchoOutput, error) {
		switch in.Name {
		case "panic":
			panic("oh")
		case "broken":
			return nil, fmt.Errorf("secret path /etc: %w", io.ErrUnexpectedEOF)
		case "outof":
			return nil, Errorf("OutOfToysException", "no more %q", "<toys>").With("Left", 0)
		}
		return &EchoOutput{Echo: in, At: vectorTime}, nil
	}, Access(func(r *Request, in *EchoInput) []Permission {
		return []Permission{{Action: "toy:Echo", Resource: "arn:toy:" + in.Name}}
	}))
	Handle(s, "Store", func(ctx context.Context, in *StoreInput) (*StoreOutput, error) {
		return &StoreOutput{Meta: in.Meta, ETag: ptr(in.Box + "|" + in.Path), Message: ptr(string(in.Content)), Status: ptr(int64(202))}, nil
	})
	return s
}

func ptr[T any](v T) *T { return &v }

// denyNamed refuses Echo of one name.
type denyNamed struct{}

func (denyNamed) Authorize(_ context.Context, c *Caller, ps []Permission) error {
	for _, p := range ps {
		if p.Resource == "arn:toy:denied" {
			return Errorf("AccessDenied", "User: %s is not authorized to perform: %s on resource: %s", c.ARN, p.Action, p.Resource)
		}
	}
	return nil
}

// toyServer serves a protocol; send signs and sends a request.
func toyServer(t testing.TB, protocol string) (g *Gateway, send func(method, target string, header http.Header, body string) *httptest.ResponseRecorder) {
	t.Helper()
	g = NewGateway(Config{
		Account: "123456789012", Authenticator: oneKey{}, Authorizer: denyNamed{}, MaxBody: 4096,
		Now: func() time.Time { return vectorTime },
	}, toyService(protocol))
	return g, func(method, target string, header http.Header, body string) *httptest.ResponseRecorder {
		t.Helper()
		r := signedRequest(t, "toy", method, target, header, body)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w
	}
}

func newBodyOf(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
