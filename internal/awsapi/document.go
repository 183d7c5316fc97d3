package awsapi

import (
	"reflect"
	"strconv"
	"strings"
)

// This file reads documents: trees of objects, lists and scalars that a parser
// has made. What is a scalar, each language of documents knows itself.

// notation is a language of documents.
type notation interface {
	// bind sets a scalar from what the parser has made of it.
	bind(s *shape, dst reflect.Value, x any) error
	// unexpected is the error for a value where a collection of another sort
	// must be.
	unexpected(x any) error
}

func bindStruct(n notation, fields []*field, dst reflect.Value, doc map[string]any, f *faults) error {
	for _, m := range fields {
		x := doc[m.wire]
		if x == nil {
			if m.required && plain(m) {
				f.missing(m)
			}
			continue
		}
		f.enter(m)
		if err := bindValue(n, m.shape, allocate(dst.Field(m.index)), x, f); err != nil {
			return err
		}
		f.leave()
	}
	return nil
}

func bindValue(n notation, s *shape, dst reflect.Value, x any, f *faults) error {
	switch s.kind {
	case kindStruct:
		doc, ok := x.(map[string]any)
		if !ok {
			return n.unexpected(x)
		}
		return bindStruct(n, s.fields.fields, dst, doc, f)
	case kindList:
		return bindList(n, s, dst, x, f)
	case kindMap:
		return bindMap(n, s, dst, x, f)
	}
	return n.bind(s, dst, x)
}

func bindList(n notation, s *shape, dst reflect.Value, x any, f *faults) error {
	items, ok := x.([]any)
	if !ok {
		return n.unexpected(x)
	}
	dst.Set(reflect.MakeSlice(dst.Type(), len(items), len(items)))
	for i, item := range items {
		if item == nil {
			continue // a nil structure is found by the validation
		}
		f.push(strconv.Itoa(i+1), "member")
		if err := bindValue(n, s.elem, allocate(dst.Index(i)), item, f); err != nil {
			return err
		}
		f.pop(2)
	}
	return nil
}

func bindMap(n notation, s *shape, dst reflect.Value, x any, f *faults) error {
	entries, ok := x.(map[string]any)
	if !ok {
		return n.unexpected(x)
	}
	dst.Set(reflect.MakeMapWithSize(dst.Type(), len(entries)))
	for k, item := range entries {
		if item == nil {
			continue
		}
		value := reflect.New(dst.Type().Elem()).Elem()
		f.push(k, "member")
		if err := bindValue(n, s.elem, allocate(value), item, f); err != nil {
			return err
		}
		f.pop(2)
		dst.SetMapIndex(reflect.ValueOf(k), value)
	}
	return nil
}

// documentError reads an error's members. The code is taken from them where
// no header has told it, and freed from its namespace.
func documentError(a *message, code string, members map[string]any) *Error {
	for _, k := range []string{"__type", "code", "Code"} {
		if s, ok := members[k].(string); ok && code == "" {
			code = s
		}
	}
	code, _, _ = strings.Cut(code, ":")
	if _, after, ok := strings.Cut(code, "#"); ok {
		code = after
	}
	e := &Error{Code: code, Status: a.status, Header: a.header}
	for k, v := range members {
		switch strings.ToLower(k) {
		case "__type", "code":
		case "message":
			e.Message, _ = v.(string)
		default:
			e.Fields = append(e.Fields, ErrorField{k, v})
		}
	}
	return e
}
