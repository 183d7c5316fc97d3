package awsapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// xmlBody reads and writes XML documents, for rest-xml bodies and for the
// answers of the query protocol.
type xmlBody struct{}

const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func (xmlBody) contentType(*ServiceModel) string { return "application/xml" }

func (xmlBody) decode(body []byte, root *field, p *structPlan, fields []*field, dst reflect.Value, f *faults) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return bindXMLStruct(fields, dst, &xmlNode{}, f)
	}
	n, err := parseXML(body)
	if err != nil {
		return err
	}
	if root != nil && n.name != root.wire {
		return &syntaxError{fmt.Sprintf("the document is a %s, not a %s", n.name, root.wire)}
	}
	return bindXMLStruct(fields, dst, n, f)
}

func (xmlBody) encode(op *operation, root *field, p *structPlan, fields []*field, v reflect.Value) []byte {
	name, ns := firstOf(op.ResultRoot, op.Name+"Result"), op.model.XMLNamespace
	if root != nil {
		name, ns = root.wire, firstOf(root.ns, ns)
	}
	b := append([]byte(xmlHead), '<')
	b = append(b, name...)
	if ns != "" {
		b = append(append(append(b, ` xmlns="`...), ns...), '"')
	}
	if op.Unwrapped {
		b = append(b, '>')
		if x, ok := follow(v.Field(fields[0].index)); ok {
			b = appendXMLText(b, string(appendText(nil, fields[0].shape, x, formatISO)))
		}
		return appendClose(b, name)
	}
	b = append(appendXMLAttributes(b, fields, v), '>')
	b = appendXMLStruct(b, fields, v)
	return appendClose(b, name)
}

// fault: S3 has codes of its own for what is wrong in a header or a document.
func (xmlBody) fault(m *ServiceModel, f *faults) *Error {
	x := f.list[0]
	if x.field != nil && x.field.where != inPayload && x.field.where != inBody {
		if x.rule == ruleEnum && strings.EqualFold(x.field.wire, "x-amz-storage-class") {
			return Errorf("InvalidStorageClass", "The storage class you specified is not valid").WithStatus(http.StatusBadRequest)
		}
		return invalidArgument(x.field, strings.Trim(x.value, "'"))
	}
	return Errorf("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema").WithStatus(http.StatusBadRequest)
}

func invalidArgument(f *field, value string) *Error {
	message := "Invalid Argument: " + f.wire
	if f.kind == kindInt {
		message = fmt.Sprintf("Provided %s not an integer or within integer range", f.wire)
	}
	return Errorf("InvalidArgument", "%s", message).WithStatus(http.StatusBadRequest).
		With("ArgumentName", f.wire).With("ArgumentValue", value)
}

// encodeError writes S3's form.
func (xmlBody) encodeError(m *ServiceModel, e *Error, requestID string) *message {
	a := newMessage(e.Status, "application/xml")
	b := append([]byte(xmlHead), "<Error>"...)
	b = appendXMLElement(b, "Code", e.Code)
	b = appendXMLElement(b, "Message", e.Message)
	for _, x := range e.Fields {
		b = appendXMLElement(b, x.Name, fmt.Sprint(x.Value))
	}
	b = appendXMLElement(b, "RequestId", requestID)
	b = appendXMLElement(b, "HostId", hostID(requestID))
	a.body = append(b, "</Error>"...)
	return a
}

// decodeError understands S3's form and the query protocol's.
func (xmlBody) decodeError(_ *ServiceModel, a *message) *Error {
	e := &Error{Status: a.status, Header: a.header}
	n, err := parseXML(a.body)
	if err != nil {
		e.Code = strings.ReplaceAll(http.StatusText(a.status), " ", "")
		e.Message = http.StatusText(a.status)
		return e
	}
	if inner := n.child("Error"); inner != nil {
		n = inner
	}
	for _, k := range n.kids {
		switch k.name {
		case "Code":
			e.Code = k.text
		case "Message":
			e.Message = k.text
		case "Type", "RequestId", "HostId":
		default:
			e.Fields = append(e.Fields, ErrorField{k.name, k.text})
		}
	}
	return e
}

// xmlNode is an element. Text counts only where there are no children.
type xmlNode struct {
	name  string
	attrs []xml.Attr
	text  string
	kids  []*xmlNode
}

func (n *xmlNode) child(name string) *xmlNode {
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

// maxXMLDepth bounds how deep a document may nest: no model goes beyond ten.
const maxXMLDepth = 64

// parseXML builds the tree of a document. Document type declarations are
// refused; entities beyond XML's own five are unknown to encoding/xml.
func parseXML(body []byte) (*xmlNode, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	root := &xmlNode{}
	stack := []*xmlNode{root}
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, &syntaxError{"the body is not XML: " + err.Error()}
		}
		top := stack[len(stack)-1]
		switch t := token.(type) {
		case xml.StartElement:
			if len(stack) > maxXMLDepth {
				return nil, &syntaxError{"the document nests too deep"}
			}
			n := &xmlNode{name: t.Name.Local, attrs: t.Copy().Attr}
			top.kids = append(top.kids, n)
			stack = append(stack, n)
		case xml.EndElement:
			if len(stack) == 1 || top.name != t.Name.Local {
				return nil, &syntaxError{"an element ends that did not begin"}
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) == 1 && len(bytes.TrimSpace(t)) > 0 {
				return nil, &syntaxError{"there is text outside of the document"}
			}
			top.text += string(t)
		case xml.Directive:
			return nil, &syntaxError{"the document has a directive"}
		}
	}
	if len(stack) != 1 || len(root.kids) != 1 {
		return nil, &syntaxError{"the body is not one whole XML document"}
	}
	return root.kids[0], nil
}

func bindXMLStruct(fields []*field, dst reflect.Value, n *xmlNode, f *faults) error {
	for _, m := range fields {
		found, err := bindXMLField(m, dst, n, f)
		if err != nil {
			return err
		}
		if !found && m.required && plain(m) {
			f.missing(m)
		}
	}
	return nil
}

func bindXMLField(m *field, dst reflect.Value, n *xmlNode, f *faults) (found bool, err error) {
	f.enter(m)
	defer f.leave()
	if m.attr {
		_, local, ok := strings.Cut(m.wire, ":")
		if !ok {
			local = m.wire
		}
		for _, a := range n.attrs {
			if a.Name.Local == local && a.Name.Space != "xmlns" {
				return true, bindXMLText(m.shape, allocate(dst.Field(m.index)), a.Value)
			}
		}
		return false, nil
	}
	name := m.flatName()
	var matches []*xmlNode
	for _, k := range n.kids {
		if k.name == name {
			matches = append(matches, k)
		}
	}
	if len(matches) == 0 {
		return false, nil
	}
	v := allocate(dst.Field(m.index))
	switch {
	case m.kind == kindList && m.flat:
		return true, bindXMLItems(m.shape, v, matches, f)
	case m.kind == kindMap && m.flat:
		return true, bindXMLEntries(m.shape, v, matches, f)
	}
	return true, bindXML(m.shape, v, matches[0], f)
}

func bindXML(s *shape, dst reflect.Value, n *xmlNode, f *faults) error {
	switch s.kind {
	case kindStruct:
		return bindXMLStruct(s.fields.fields, dst, n, f)
	case kindList:
		want := s.elem.name
		if want == "" {
			want = "member"
		}
		var items []*xmlNode
		for _, k := range n.kids {
			if k.name == want {
				items = append(items, k)
			}
		}
		return bindXMLItems(s, dst, items, f)
	case kindMap:
		return bindXMLEntries(s, dst, n.kids, f)
	}
	if len(n.kids) > 0 {
		return &syntaxError{fmt.Sprintf("%s has elements where a value is expected", n.name)}
	}
	return bindXMLText(s, dst, n.text)
}

func bindXMLText(s *shape, dst reflect.Value, text string) error {
	if err := setText(s, dst, text); err != nil {
		return &syntaxError{err.Error()}
	}
	return nil
}

func bindXMLItems(s *shape, dst reflect.Value, items []*xmlNode, f *faults) error {
	dst.Set(reflect.MakeSlice(dst.Type(), len(items), len(items)))
	for i, item := range items {
		f.push(strconv.Itoa(i+1), "member")
		if err := bindXML(s.elem, allocate(dst.Index(i)), item, f); err != nil {
			return err
		}
		f.pop(2)
	}
	return nil
}

func bindXMLEntries(s *shape, dst reflect.Value, entries []*xmlNode, f *faults) error {
	dst.Set(reflect.MakeMapWithSize(dst.Type(), len(entries)))
	keyName, valueName := entryNames(s)
	for _, n := range entries {
		k, v := n.child(keyName), n.child(valueName)
		if k == nil || v == nil {
			return &syntaxError{"a map has an entry without a key or a value"}
		}
		value := reflect.New(dst.Type().Elem()).Elem()
		f.push(k.text, "member")
		if err := bindXML(s.elem, allocate(value), v, f); err != nil {
			return err
		}
		f.pop(2)
		dst.SetMapIndex(reflect.ValueOf(k.text), value)
	}
	return nil
}

func entryNames(s *shape) (key, value string) {
	key, value = s.key.name, s.elem.name
	if key == "" {
		key = "key"
	}
	if value == "" {
		value = "value"
	}
	return key, value
}

func appendXMLStruct(b []byte, fields []*field, v reflect.Value) []byte {
	for _, m := range fields {
		if m.attr {
			continue
		}
		x, ok := follow(v.Field(m.index))
		if !ok && !(m.required && m.kind == kindList && !m.flat) {
			continue
		}
		name := m.flatName()
		switch {
		case m.flat && m.kind == kindList:
			for i := range x.Len() {
				b = appendXML(b, name, m.elem, x.Index(i))
			}
		case m.flat && m.kind == kindMap:
			b = appendXMLEntries(b, name, m.shape, x)
		default:
			b = appendXML(b, name, m.shape, x)
		}
	}
	return b
}

func appendXMLAttributes(b []byte, fields []*field, v reflect.Value) []byte {
	for _, m := range fields {
		if !m.attr {
			continue
		}
		if x, ok := follow(v.Field(m.index)); ok {
			b = append(append(append(b, ' '), m.wire...), `="`...)
			b = appendXMLText(b, string(appendText(nil, m.shape, x, formatISO)))
			b = append(b, '"')
		}
	}
	return b
}

// appendXML writes one element. A nil structure in a list becomes an empty one.
func appendXML(b []byte, name string, s *shape, v reflect.Value) []byte {
	v, ok := follow(v)
	b = append(append(b, '<'), name...)
	if s.ns != "" {
		b = append(b, " xmlns"...)
		if s.prefix != "" {
			b = append(append(b, ':'), s.prefix...)
		}
		b = append(append(append(b, `="`...), s.ns...), '"')
	}
	if s.kind == kindStruct && ok {
		b = appendXMLAttributes(b, s.fields.fields, v)
	}
	b = append(b, '>')
	if !ok {
		return appendClose(b, name)
	}
	switch s.kind {
	case kindStruct:
		b = appendXMLStruct(b, s.fields.fields, v)
	case kindList:
		item := s.elem.name
		if item == "" {
			item = "member"
		}
		for i := range v.Len() {
			b = appendXML(b, item, s.elem, v.Index(i))
		}
	case kindMap:
		b = appendXMLEntries(b, "entry", s, v)
	case kindString:
		b = appendXMLText(b, v.String())
	default:
		b = appendText(b, s, v, formatISO)
	}
	return appendClose(b, name)
}

func appendXMLEntries(b []byte, name string, s *shape, v reflect.Value) []byte {
	keyName, valueName := entryNames(s)
	for _, k := range sortedKeys(v) {
		b = append(append(append(b, '<'), name...), '>')
		b = appendXML(b, keyName, s.key, k)
		b = appendXML(b, valueName, s.elem, v.MapIndex(k))
		b = appendClose(b, name)
	}
	return b
}

func appendClose(b []byte, name string) []byte {
	return append(append(append(b, "</"...), name...), '>')
}

func appendXMLElement(b []byte, name, text string) []byte {
	b = append(append(append(b, '<'), name...), '>')
	return appendClose(appendXMLText(b, text), name)
}

// appendXMLText escapes text. Control characters become references: XML 1.0
// has no way to write them, S3 does the same, and clients that meet such keys
// ask for encoding-type=url.
func appendXMLText(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '&':
			b = append(b, "&amp;"...)
		case c == '<':
			b = append(b, "&lt;"...)
		case c == '>':
			b = append(b, "&gt;"...)
		case c == '"':
			b = append(b, "&quot;"...)
		case c < ' ' && c != '\n' && c != '\t':
			b = append(b, "&#x"...)
			b = strconv.AppendUint(b, uint64(c), 16)
			b = append(b, ';')
		default:
			b = append(b, c)
		}
	}
	return b
}
