package awsapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// jsonCodec is json 1.0 and 1.1: every call is a POST to / whose X-Amz-Target
// names the operation.
type jsonCodec struct{}

func (jsonCodec) decodeInput(q *incoming, op *operation, in reflect.Value, f *faults) error {
	return jsonBody{}.decode(q.body, nil, op.in, op.in.fields, in, f)
}

func (jsonCodec) encodeOutput(op *operation, out reflect.Value, _ string) (*message, error) {
	a := newMessage(op.Status, jsonType(op.model))
	a.body = appendJSONStruct(nil, op.out.fields, out)
	return a, nil
}

func (jsonCodec) encodeError(m *ServiceModel, e *Error, _ string) *message {
	return jsonError(m, e, jsonType(m))
}

func (jsonCodec) encodeInput(op *operation, in reflect.Value) (*outgoing, error) {
	q := &outgoing{method: "POST", path: "/", header: map[string][]string{}}
	q.header.Set("Content-Type", jsonType(op.model))
	q.header.Set("X-Amz-Target", op.model.TargetPrefix+"."+op.Name)
	q.body = appendJSONStruct(nil, op.in.fields, in)
	return q, nil
}

func (jsonCodec) decodeOutput(op *operation, a *message, out reflect.Value) error {
	return jsonBody{}.decode(a.body, nil, op.out, op.out.fields, out, &faults{})
}

func (jsonCodec) decodeError(m *ServiceModel, a *message) *Error { return readJSONError(a) }

func (jsonCodec) fault(m *ServiceModel, f *faults) *Error { return validationError(m, f) }

func jsonType(m *ServiceModel) string {
	if m.JSONVersion == "" {
		return "application/x-amz-json-1.0"
	}
	return "application/x-amz-json-" + m.JSONVersion
}

// jsonError writes the code in both places where clients look for it, and the
// message in both spellings: models and SDKs do not agree on one.
func jsonError(m *ServiceModel, e *Error, contentType string) *message {
	a := newMessage(e.Status, contentType)
	a.header.Set("X-Amzn-ErrorType", e.Code)
	b := append([]byte(`{"__type":`), appendJSONString(nil, e.Code)...)
	b = append(b, `,"message":`...)
	b = appendJSONString(b, e.Message)
	b = append(b, `,"Message":`...)
	b = appendJSONString(b, e.Message)
	for _, x := range e.Fields {
		value, err := json.Marshal(x.Value)
		if err != nil {
			continue
		}
		b = append(b, ',')
		b = appendJSONString(b, x.Name)
		b = append(b, ':')
		b = append(b, value...)
	}
	a.body = append(b, '}')
	return a
}

func readJSONError(a *message) *Error {
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	_ = d.Decode(&members) // an answer that is not JSON still has a status
	return documentError(a, a.header.Get("X-Amzn-ErrorType"), members)
}

// jsonBody reads and writes JSON documents; rest.go uses it for bodies.
type jsonBody struct{}

func (jsonBody) contentType(m *ServiceModel) string { return "application/json" }

// decode fills the fields given from a document. The root is not used: JSON
// documents have no name.
func (jsonBody) decode(body []byte, _ *field, p *structPlan, fields []*field, dst reflect.Value, f *faults) error {
	doc, err := parseJSON(body)
	if err != nil {
		return err
	}
	return bindStruct(jsonScalars{}, fields, dst, doc, f)
}

func (jsonBody) encode(_ *operation, _ *field, p *structPlan, fields []*field, v reflect.Value) []byte {
	return appendJSONStruct(nil, fields, v)
}

func (jsonBody) encodeError(m *ServiceModel, e *Error, _ string) *message {
	return jsonError(m, e, "application/json")
}

func (jsonBody) decodeError(m *ServiceModel, a *message) *Error { return readJSONError(a) }

func (jsonBody) fault(m *ServiceModel, f *faults) *Error { return validationError(m, f) }

// parseJSON parses one object. An empty body is an empty object: clients send
// it for operations without input.
func parseJSON(body []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	if !utf8.Valid(body) {
		return nil, &syntaxError{"the body is not UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, &syntaxError{"the body is not JSON: " + err.Error()}
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &syntaxError{"the body has something after its JSON object"}
	}
	if doc == nil {
		return nil, nil
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return nil, &syntaxError{"the body is not a JSON object"}
	}
	return object, nil
}

// The services name the token that they found, not the type.
func jsonToken(x any) string {
	switch v := x.(type) {
	case string:
		return "STRING_VALUE"
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return "DECIMAL_VALUE"
		}
		return "NUMBER_VALUE"
	case bool:
		return strings.ToUpper(strconv.FormatBool(v)) + "_VALUE"
	case []any:
		return "START_ARRAY"
	}
	return "START_OBJECT"
}

func jsonMismatch(x any, want string) error {
	switch x.(type) {
	case map[string]any:
		return &syntaxError{"Start of structure or map found where not expected."}
	case []any:
		return &syntaxError{"Start of list found where not expected."}
	}
	return &syntaxError{jsonToken(x) + " can not be converted to " + want}
}

// jsonScalars is the notation of JSON.
type jsonScalars struct{}

func (jsonScalars) unexpected(x any) error {
	return &syntaxError{"Unexpected token received from parser: " + jsonToken(x)}
}

func (jsonScalars) bind(s *shape, dst reflect.Value, x any) error {
	switch s.kind {
	case kindString:
		text, ok := x.(string)
		if !ok {
			return jsonMismatch(x, "a String")
		}
		dst.SetString(text)
	case kindBool:
		b, ok := x.(bool)
		if !ok {
			return jsonMismatch(x, "a Boolean")
		}
		dst.SetBool(b)
	case kindInt:
		return bindJSONInt(s, dst, x)
	case kindFloat:
		return bindJSONFloat(dst, x)
	case kindTime:
		return bindJSONTime(dst, x)
	case kindBlob:
		text, ok := x.(string)
		if !ok {
			return jsonMismatch(x, "a Blob")
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return &syntaxError{"a blob is not base64: " + err.Error()}
		}
		dst.SetBytes(b)
	default:
		return fmt.Errorf("a stream cannot be inside JSON")
	}
	return nil
}

func bindJSONInt(s *shape, dst reflect.Value, x any) error {
	names := map[int]string{8: "a Byte", 16: "a Short", 32: "an Integer", 64: "a Long"}
	n, ok := x.(json.Number)
	if !ok {
		return jsonMismatch(x, names[s.bits])
	}
	i, err := strconv.ParseInt(string(n), 10, s.bits)
	if err != nil {
		// 1e3 and 5.0 are integers too.
		f, ferr := n.Float64()
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) >= math.Ldexp(1, min(s.bits-1, 53)) {
			return jsonMismatch(x, names[s.bits])
		}
		i = int64(f)
	}
	dst.SetInt(i)
	return nil
}

func bindJSONFloat(dst reflect.Value, x any) error {
	var text string
	switch v := x.(type) {
	case json.Number:
		text = string(v)
	case string:
		if v != "NaN" && v != "Infinity" && v != "-Infinity" {
			return jsonMismatch(x, "a Float")
		}
		text = v
	default:
		return jsonMismatch(x, "a Float")
	}
	f, err := parseFloat(text)
	if err != nil {
		return &syntaxError{err.Error()}
	}
	dst.SetFloat(f)
	return nil
}

func bindJSONTime(dst reflect.Value, x any) error {
	var text string
	switch v := x.(type) {
	case json.Number:
		text = string(v)
	case string:
		text = v
	default:
		return jsonMismatch(x, "a Timestamp")
	}
	t, err := parseTime(text)
	if err != nil {
		return &syntaxError{err.Error()}
	}
	dst.Set(reflect.ValueOf(t))
	return nil
}

// appendJSONStruct writes the fields given as an object. Absent members are
// left out, save required collections, which clients expect to find.
func appendJSONStruct(b []byte, fields []*field, v reflect.Value) []byte {
	b = append(b, '{')
	first := true
	for _, m := range fields {
		x, ok := follow(v.Field(m.index))
		if !ok && !(m.required && (m.kind == kindList || m.kind == kindMap)) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendJSONString(b, m.wire)
		b = append(b, ':')
		b = appendJSON(b, m.shape, x)
	}
	return append(b, '}')
}

func appendJSON(b []byte, s *shape, v reflect.Value) []byte {
	switch s.kind {
	case kindStruct:
		return appendJSONStruct(b, s.fields.fields, v)
	case kindList:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONItem(b, s.elem, v.Index(i))
		}
		return append(b, ']')
	case kindMap:
		b = append(b, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, k.String())
			b = append(b, ':')
			b = appendJSONItem(b, s.elem, v.MapIndex(k))
		}
		return append(b, '}')
	case kindString:
		return appendJSONString(b, v.String())
	case kindFloat:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return appendJSONString(b, string(appendFloat(nil, f, s.bits)))
		}
		start := len(b)
		b = appendFloat(b, v.Float(), s.bits)
		if !bytes.ContainsAny(b[start:], ".e") {
			b = append(b, ".0"...) // or Python would take it for an int
		}
		return b
	case kindTime:
		if s.time == "" || s.time == formatUnix {
			return appendEpoch(b, v.Interface().(time.Time))
		}
		return appendJSONString(b, string(appendText(nil, s, v, s.time)))
	case kindBlob:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes())
		return append(b, '"')
	}
	return appendText(b, s, v, formatUnix)
}

func appendJSONItem(b []byte, s *shape, v reflect.Value) []byte {
	x, ok := follow(v)
	if !ok && s.kind == kindStruct {
		return append(b, "null"...)
	}
	return appendJSON(b, s, x)
}

// appendJSONString writes a string; bytes that are not UTF-8 become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			b = appendEscape(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			start = i + 1
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
}
