package awsapi

import (
	"errors"
	"io"
	"net/http"
	"reflect"
)

// codec is one protocol, both ways round. A new protocol is a file with a type
// of this shape and a line in codecs.
type codec interface {
	// The server's half. decodeInput fills in, a pointer's target, and notes
	// absent members in f; its error is a body that cannot be read at all.
	decodeInput(q *incoming, op *operation, in reflect.Value, f *faults) error
	encodeOutput(op *operation, out reflect.Value, requestID string) (*message, error)
	encodeError(m *ServiceModel, e *Error, requestID string) *message

	// The client's half.
	encodeInput(op *operation, in reflect.Value) (*outgoing, error)
	decodeOutput(op *operation, a *message, out reflect.Value) error
	decodeError(m *ServiceModel, a *message) *Error

	// fault turns what the validation found into the service's error.
	fault(m *ServiceModel, f *faults) *Error
}

var codecs = map[string]codec{
	ProtocolJSON:     jsonCodec{},
	ProtocolRESTJSON: restCodec{jsonBody{}},
	ProtocolRESTXML:  restCodec{xmlBody{}},
	ProtocolQuery:    queryCodec{},
	ProtocolCBOR:     cborCodec{},
}

func (m *ServiceModel) codec() codec { return codecs[m.Protocol] }

// incoming is a request on its way to a codec: its body is either read, or a
// stream for the handler.
type incoming struct {
	header http.Header
	vars   map[string]string // URI labels
	query  []param
	form   []param // query protocol
	body   []byte
	stream io.Reader
	// hoisted says that headers may stand in the query string: presigned URLs.
	hoisted bool
}

// outgoing is a request as a codec wrote it.
type outgoing struct {
	method string
	path   string // escaped
	query  []param
	header http.Header
	body   []byte
	stream io.Reader
}

// message is an answer: written by a codec, or read for one.
type message struct {
	status int
	header http.Header
	body   []byte
	stream io.ReadCloser
}

func newMessage(status int, contentType string) *message {
	m := &message{status: status, header: http.Header{}}
	if contentType != "" {
		m.header.Set("Content-Type", contentType)
	}
	return m
}

// syntaxError is a body that is not of the protocol's language, or that has
// one type of value where the model wants another.
type syntaxError struct{ text string }

func (e *syntaxError) Error() string { return e.text }

// argumentError is a header, label or query parameter that cannot be parsed.
type argumentError struct {
	field *field
	value string
	cause error
}

func (e *argumentError) Error() string { return e.field.wire + ": " + e.cause.Error() }

func (e *argumentError) Unwrap() error { return e.cause }

// inputError turns a decoder's error into the service's.
func inputError(m *ServiceModel, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	xml := m.Protocol == ProtocolRESTXML
	var arg *argumentError
	switch {
	case xml && errors.As(err, &arg):
		return invalidArgument(arg.field, arg.value)
	case xml:
		return Errorf("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema").WithStatus(400)
	case m.Protocol == ProtocolQuery:
		return Errorf("MalformedInput", "%w", err).WithStatus(400)
	}
	return Errorf("SerializationException", "%w", err).WithStatus(400)
}
