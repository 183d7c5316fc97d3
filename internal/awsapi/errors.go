package awsapi

import (
	"fmt"
	"net/http"
)

// Error is an error as a client of an AWS service sees it. Handlers return
// one from Errorf; anything else that they return becomes an internal failure
// whose cause only the log shows.
type Error struct {
	Code    string
	Message string
	Status  int          // 0: what the model, or else the service's custom, says
	Fields  []ErrorField // further members, as modelled
	Header  http.Header  // further headers of the answer, may be nil
	cause   error
}

// ErrorField is one further member of a modelled error.
type ErrorField struct {
	Name  string
	Value any // a string, number or bool
}

// Errorf makes an Error. The code is the modelled shape's name
// ("ResourceNotFound", "NoSuchEntityException") or the code on the wire
// ("NoSuchEntity"). A %w in the format keeps its cause for the log.
func Errorf(code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Message: err.Error()}
	if w, ok := err.(interface{ Unwrap() error }); ok {
		e.cause = w.Unwrap()
	}
	return e
}

// WithStatus sets the HTTP status, overriding the model's.
func (e *Error) WithStatus(status int) *Error {
	e.Status = status
	return e
}

// With adds a modelled member beside the message.
func (e *Error) With(name string, value any) *Error {
	e.Fields = append(e.Fields, ErrorField{name, value})
	return e
}

// WithHeader adds a header to the answer.
func (e *Error) WithHeader(name, value string) *Error {
	if e.Header == nil {
		e.Header = http.Header{}
	}
	e.Header.Set(name, value)
	return e
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func (e *Error) Unwrap() error { return e.cause }

// Field returns the further member called name, or nil.
func (e *Error) Field(name string) any {
	for _, f := range e.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}
