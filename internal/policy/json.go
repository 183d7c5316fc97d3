package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// maxDocument is the largest text that any AWS service takes as a policy (a bucket policy), in bytes.
	maxDocument = 20 << 10
	// maxDepth is far above what the grammar nests (document, list, statement, condition, operator, list).
	maxDepth = 16
)

type valueKind uint8

const (
	nullValue valueKind = iota
	textValue
	numberValue
	boolValue
	listValue
	objectValue
)

// value is a JSON value that remembers the order of an object's members. encoding/json's own maps
// would silently keep the last of two members with one name, which in a policy can hide a Deny.
type value struct {
	kind  valueKind
	text  string   // of a string, number or boolean
	names []string // of an object's members
	items []value  // of a list, or of an object's members
}

// readJSON reads one whole JSON value.
func readJSON(text []byte) (value, error) {
	if len(text) > maxDocument {
		return value{}, &Error{Msg: fmt.Sprintf("The policy is %d bytes long; at most %d are allowed.", len(text), maxDocument)}
	}
	r := jsonReader{text: text, dec: json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	v, err := r.value("", maxDepth)
	if err != nil {
		return value{}, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return value{}, r.fail("", "more text after the end of the document")
	}
	return v, nil
}

type jsonReader struct {
	text []byte
	dec  *json.Decoder
}

// fail reports what is wrong near the reader's position.
func (r *jsonReader) fail(path, msg string) error {
	read := r.text[:min(int(r.dec.InputOffset()), len(r.text))]
	return &Error{Path: path, Line: 1 + bytes.Count(read, []byte("\n")), Msg: "Syntax errors in policy: " + msg + "."}
}

func (r *jsonReader) token(path string) (json.Token, error) {
	tok, err := r.dec.Token()
	switch {
	case err == nil:
		return tok, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.fail(path, "the text ends too early")
	default:
		return nil, r.fail(path, err.Error())
	}
}

func (r *jsonReader) value(path string, depth int) (value, error) {
	if depth == 0 {
		return value{}, r.fail(path, "nested too deeply")
	}
	tok, err := r.token(path)
	if err != nil {
		return value{}, err
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '{' {
			return r.object(path, depth)
		}
		return r.list(path, depth)
	case string:
		return value{kind: textValue, text: t}, nil
	case json.Number:
		return value{kind: numberValue, text: t.String()}, nil
	case bool:
		return value{kind: boolValue, text: fmt.Sprint(t)}, nil
	default:
		return value{kind: nullValue}, nil
	}
}

func (r *jsonReader) list(path string, depth int) (value, error) {
	list := value{kind: listValue}
	for r.dec.More() {
		item, err := r.value(index(path, len(list.items)), depth-1)
		if err != nil {
			return value{}, err
		}
		list.items = append(list.items, item)
	}
	_, err := r.token(path)
	return list, err
}

func (r *jsonReader) object(path string, depth int) (value, error) {
	object := value{kind: objectValue}
	for r.dec.More() {
		tok, err := r.token(path)
		if err != nil {
			return value{}, err
		}
		name, ok := tok.(string)
		if !ok {
			return value{}, r.fail(path, "a member's name is missing")
		}
		if _, twice := object.member(name); twice {
			return value{}, r.fail(member(path, name), "the member stands here twice")
		}
		item, err := r.value(member(path, name), depth-1)
		if err != nil {
			return value{}, err
		}
		object.names = append(object.names, name)
		object.items = append(object.items, item)
	}
	_, err := r.token(path)
	return object, err
}

// member returns an object's member by its exact name.
func (v value) member(name string) (value, bool) {
	for i, n := range v.names {
		if n == name {
			return v.items[i], true
		}
	}
	return value{}, false
}

// oneOrMore returns a list's items, or the value itself as the only one: the grammar lets a list
// of one be written without its brackets.
func (v value) oneOrMore() []value {
	if v.kind == listValue {
		return v.items
	}
	return []value{v}
}

func member(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
