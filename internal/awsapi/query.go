package awsapi

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// queryCodec is the query protocol: a form comes in, XML goes out.
type queryCodec struct{}

func (queryCodec) decodeInput(q *incoming, op *operation, in reflect.Value, f *faults) error {
	root, err := parseForm(q.form)
	if err != nil {
		return err
	}
	return bindFormStruct(op.in, in, root, f)
}

func (queryCodec) encodeOutput(op *operation, out reflect.Value, requestID string) (*message, error) {
	a := newMessage(op.Status, "text/xml")
	b := fmt.Appendf(nil, `<%sResponse xmlns="%s"><%sResult>`, op.Name, op.model.XMLNamespace, op.Name)
	if len(op.out.fields) == 0 {
		b = fmt.Appendf(nil, `<%sResponse xmlns="%s">`, op.Name, op.model.XMLNamespace)
	} else {
		b = appendClose(appendXMLStruct(b, op.out.fields, out), op.Name+"Result")
	}
	b = append(b, "<ResponseMetadata>"...)
	b = appendXMLElement(b, "RequestId", requestID)
	b = append(b, "</ResponseMetadata>"...)
	a.body = appendClose(b, op.Name+"Response")
	return a, nil
}

func (queryCodec) encodeError(m *ServiceModel, e *Error, requestID string) *message {
	a := newMessage(e.Status, "text/xml")
	b := fmt.Appendf(nil, `<ErrorResponse xmlns="%s"><Error>`, m.XMLNamespace)
	b = appendXMLElement(b, "Type", side(e.Status))
	b = appendXMLElement(b, "Code", e.Code)
	b = appendXMLElement(b, "Message", e.Message)
	for _, x := range e.Fields {
		b = appendXMLElement(b, x.Name, fmt.Sprint(x.Value))
	}
	b = append(b, "</Error>"...)
	b = appendXMLElement(b, "RequestId", requestID)
	a.body = append(b, "</ErrorResponse>"...)
	return a
}

func (queryCodec) fault(m *ServiceModel, f *faults) *Error { return validationError(m, f) }

func (queryCodec) encodeInput(op *operation, in reflect.Value) (*outgoing, error) {
	q := &outgoing{method: "POST", path: "/", header: http.Header{}}
	q.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	w := &formWriter{}
	w.add("Action", op.Name)
	w.add("Version", op.model.APIVersion)
	w.structure("", op.in.fields, in)
	q.body = w.b
	return q, nil
}

func (queryCodec) decodeOutput(op *operation, a *message, out reflect.Value) error {
	if len(a.body) == 0 {
		return nil
	}
	n, err := parseXML(a.body)
	if err != nil {
		return err
	}
	if result := n.child(op.Name + "Result"); result != nil {
		n = result
	}
	return bindXMLStruct(op.out.fields, out, n, &faults{})
}

func (queryCodec) decodeError(m *ServiceModel, a *message) *Error { return xmlBody{}.decodeError(m, a) }

// formNode is a form's keys, taken apart at their dots.
type formNode struct {
	value string
	set   bool
	kids  map[string]*formNode
}

// maxFormDepth bounds the dots of one key, and so the depth of the tree.
const maxFormDepth = 64

func parseForm(form []param) (*formNode, error) {
	root := &formNode{}
	for _, p := range form {
		parts := strings.Split(p.key, ".")
		if len(parts) > maxFormDepth {
			return nil, &syntaxError{"a parameter nests too deep"}
		}
		n := root
		for _, part := range parts {
			if n.kids == nil {
				n.kids = map[string]*formNode{}
			}
			if n.kids[part] == nil {
				n.kids[part] = &formNode{}
			}
			n = n.kids[part]
		}
		n.value, n.set = p.value, true
	}
	return root, nil
}

// numbered returns the children called 1, 2, 3 …, in that order. Holes are
// skipped over, as the real services do.
func (n *formNode) numbered() []*formNode {
	type entry struct {
		index int
		node  *formNode
	}
	var entries []entry
	for k, node := range n.kids {
		if i, err := strconv.Atoi(k); err == nil && i >= 0 {
			entries = append(entries, entry{i, node})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.index - b.index })
	nodes := make([]*formNode, len(entries))
	for i, e := range entries {
		nodes[i] = e.node
	}
	return nodes
}

func bindFormStruct(p *structPlan, dst reflect.Value, n *formNode, f *faults) error {
	for _, m := range p.fields {
		k := n.kids[m.flatName()]
		if k == nil {
			if m.required && plain(m) {
				f.missing(m)
			}
			continue
		}
		f.enter(m)
		if err := bindForm(m.shape, allocate(dst.Field(m.index)), k, f); err != nil {
			return err
		}
		f.leave()
	}
	return nil
}

func bindForm(s *shape, dst reflect.Value, n *formNode, f *faults) error {
	switch s.kind {
	case kindStruct:
		return bindFormStruct(s.fields, dst, n, f)
	case kindList:
		return bindFormList(s, dst, n, f)
	case kindMap:
		return bindFormMap(s, dst, n, f)
	}
	if !n.set {
		return &syntaxError{"a parameter has parts where a value is expected"}
	}
	if err := setText(s, dst, n.value); err != nil {
		return &syntaxError{err.Error()}
	}
	return nil
}

func bindFormList(s *shape, dst reflect.Value, n *formNode, f *faults) error {
	if !s.flat {
		name := s.elem.name
		if name == "" {
			name = "member"
		}
		inner := n.kids[name]
		if inner == nil {
			inner = &formNode{} // "Tags=" is how clients send an empty list
		}
		n = inner
	}
	items := n.numbered()
	dst.Set(reflect.MakeSlice(dst.Type(), len(items), len(items)))
	for i, item := range items {
		f.push(strconv.Itoa(i+1), "member")
		if err := bindForm(s.elem, allocate(dst.Index(i)), item, f); err != nil {
			return err
		}
		f.pop(2)
	}
	return nil
}

func bindFormMap(s *shape, dst reflect.Value, n *formNode, f *faults) error {
	if !s.flat {
		inner := n.kids["entry"]
		if inner == nil {
			inner = &formNode{}
		}
		n = inner
	}
	dst.Set(reflect.MakeMap(dst.Type()))
	keyName, valueName := entryNames(s)
	for _, entry := range n.numbered() {
		k, v := entry.kids[keyName], entry.kids[valueName]
		if k == nil || v == nil {
			return &syntaxError{"a map has an entry without a key or a value"}
		}
		value := reflect.New(dst.Type().Elem()).Elem()
		f.push(k.value, "member")
		if err := bindForm(s.elem, allocate(value), v, f); err != nil {
			return err
		}
		f.pop(2)
		dst.SetMapIndex(reflect.ValueOf(k.value), value)
	}
	return nil
}

// formWriter is the client's half: it writes an input as a form.
type formWriter struct{ b []byte }

func (w *formWriter) add(key, value string) {
	if len(w.b) > 0 {
		w.b = append(w.b, '&')
	}
	w.b = appendURI(w.b, key, false)
	w.b = append(w.b, '=')
	w.b = appendURI(w.b, value, false)
}

func (w *formWriter) structure(prefix string, fields []*field, v reflect.Value) {
	for _, m := range fields {
		if x, ok := follow(v.Field(m.index)); ok {
			w.value(prefix+m.flatName(), m.shape, x)
		}
	}
}

func (w *formWriter) value(key string, s *shape, v reflect.Value) {
	v, ok := follow(v)
	if !ok {
		return
	}
	switch s.kind {
	case kindStruct:
		w.structure(key+".", s.fields.fields, v)
	case kindList:
		if v.Len() == 0 {
			w.add(key, "")
		}
		if !s.flat {
			key += "." + firstOf(s.elem.name, "member")
		}
		for i := range v.Len() {
			w.value(key+"."+strconv.Itoa(i+1), s.elem, v.Index(i))
		}
	case kindMap:
		if !s.flat {
			key += ".entry"
		}
		keyName, valueName := entryNames(s)
		for i, k := range sortedKeys(v) {
			at := key + "." + strconv.Itoa(i+1) + "."
			w.add(at+keyName, k.String())
			w.value(at+valueName, s.elem, v.MapIndex(k))
		}
	default:
		w.add(key, string(appendText(nil, s, v, formatISO)))
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
