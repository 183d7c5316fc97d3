package awsapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
)

// This file is what package awsclient needs of the codecs: the same plans,
// the other way round.

// maxAnswer bounds an answer that is not a stream.
const maxAnswer = 64 << 20

// Outgoing is a request before it is signed.
type Outgoing struct {
	Method string
	Path   string // escaped
	Query  string // escaped
	Header http.Header
	Body   []byte
	Stream io.Reader // in place of Body, for streaming operations
}

// EncodeRequest writes a call's request. The input is a pointer to the
// operation's input type; it is checked by the server, not here.
func EncodeRequest(m *ServiceModel, operation string, in any) (*Outgoing, error) {
	op := m.operation(operation)
	if op == nil {
		return nil, fmt.Errorf("awsapi: %s has no operation %q", m.Name, operation)
	}
	v := reflect.ValueOf(in)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem() != op.Input {
		return nil, fmt.Errorf("awsapi: %s takes *%v, not %T", operation, op.Input, in)
	}
	q, err := m.codec().encodeInput(op, v.Elem())
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for name, values := range q.header { // names as net/http will look them up
		header[http.CanonicalHeaderKey(name)] = values
	}
	return &Outgoing{
		Method: q.method, Path: q.path, Query: encodeQuery(q.query),
		Header: header, Body: q.body, Stream: q.stream,
	}, nil
}

func encodeQuery(query []param) string {
	var parts []string
	for _, p := range query {
		part := URIEncode(p.key, false)
		if p.value != "" {
			part += "=" + URIEncode(p.value, false)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "&")
}

// NeedsDigest tells whether the operation refuses bodies without a Content-MD5
// or x-amz-checksum header.
func NeedsDigest(m *ServiceModel, operation string) bool {
	op := m.operation(operation)
	return op != nil && op.ChecksumRequired
}

// DecodeResponse reads an answer into out, a pointer to the operation's output
// type. Where the service answered with an error it returns an *Error. The
// answer's body is closed, unless it became a stream in out.
func DecodeResponse(m *ServiceModel, operation string, r *http.Response, out any) error {
	op := m.operation(operation)
	if op == nil {
		r.Body.Close()
		return fmt.Errorf("awsapi: %s has no operation %q", m.Name, operation)
	}
	a := &message{status: r.StatusCode, header: r.Header, stream: r.Body}
	streams := op.out.payload != nil && op.out.payload.kind == kindStream
	if !streams || r.StatusCode >= 300 {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
		err = errors.Join(err, r.Body.Close())
		if err != nil {
			return fmt.Errorf("read answer to %s: %w", operation, err)
		}
		if len(body) > maxAnswer {
			return fmt.Errorf("answer to %s exceeds %d bytes", operation, maxAnswer)
		}
		a.body, a.stream = body, nil
	}
	if r.StatusCode >= 300 {
		e := m.codec().decodeError(m, a)
		if known := m.compiled().errors[e.Code]; known != nil {
			e.Code = known.Code
		}
		return e
	}
	if err := m.codec().decodeOutput(op, a, reflect.ValueOf(out).Elem()); err != nil {
		return fmt.Errorf("decode answer to %s: %w", operation, err)
	}
	return nil
}
