package awsapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// restCodec is rest-json and rest-xml: members travel in the path, the query
// string, headers and the status, and the rest in a body of either language.
type restCodec struct{ body bodyLanguage }

// bodyLanguage is what rest-json and rest-xml differ in.
type bodyLanguage interface {
	contentType(m *ServiceModel) string
	// decode fills the fields given. root is the payload member whose
	// document it is, nil if the body is the structure itself.
	decode(body []byte, root *field, p *structPlan, fields []*field, dst reflect.Value, f *faults) error
	encode(op *operation, root *field, p *structPlan, fields []*field, v reflect.Value) []byte
	encodeError(m *ServiceModel, e *Error, requestID string) *message
	decodeError(m *ServiceModel, a *message) *Error
	fault(m *ServiceModel, f *faults) *Error
}

func (c restCodec) decodeInput(q *incoming, op *operation, in reflect.Value, f *faults) error {
	src := &bindings{vars: q.vars, query: q.query, header: q.header, hoisted: q.hoisted}
	if err := src.read(op.in, in, f); err != nil {
		return err
	}
	return c.readBody(&message{body: q.body}, op.in, in, f, func(v reflect.Value) {
		v.Set(reflect.ValueOf(q.stream))
	})
}

func (c restCodec) decodeOutput(op *operation, a *message, out reflect.Value) error {
	f := &faults{}
	src := &bindings{header: a.header, status: a.status}
	if err := src.read(op.out, out, f); err != nil {
		return err
	}
	if op.Unwrapped {
		n, err := parseXML(a.body)
		if err != nil {
			return err
		}
		m := op.out.body[0]
		return setText(m.shape, allocate(out.Field(m.index)), n.text)
	}
	return c.readBody(a, op.out, out, f, func(v reflect.Value) {
		v.Set(reflect.ValueOf(a.stream))
	})
}

// readBody fills the payload member or, where there is none, the members that
// travel in the body.
func (c restCodec) readBody(a *message, p *structPlan, dst reflect.Value, f *faults, stream func(reflect.Value)) error {
	m := p.payload
	if m == nil {
		if len(p.body) == 0 {
			return nil
		}
		return c.body.decode(a.body, nil, p, p.body, dst, f)
	}
	v := dst.Field(m.index)
	switch m.kind {
	case kindStream:
		stream(v)
	case kindBlob:
		if len(a.body) > 0 {
			v.SetBytes(a.body)
		} else if m.required {
			v.SetBytes([]byte{}) // an empty body is there, too
		}
	case kindString:
		if len(a.body) > 0 || m.required {
			allocate(v).SetString(string(a.body))
		}
	default:
		if len(a.body) == 0 {
			return nil // a required payload is missed by the validation
		}
		f.enter(m)
		defer f.leave()
		root := m
		if a.status != 0 {
			root = nil // an answer is taken under whatever name it comes
		}
		return c.body.decode(a.body, root, m.fields, m.fields.fields, allocate(v), f)
	}
	return nil
}

func (c restCodec) encodeOutput(op *operation, out reflect.Value, _ string) (*message, error) {
	a := newMessage(op.Status, "")
	dst := &bindings{header: a.header}
	dst.write(op.out, out)
	if dst.status != 0 {
		a.status = dst.status
	}
	body, stream, contentType := c.writeBody(op, op.out, out)
	a.body = body
	if s, ok := stream.(interface {
		Read([]byte) (int, error)
		Close() error
	}); ok {
		a.stream = s
	}
	if contentType != "" && a.header.Get("Content-Type") == "" {
		a.header.Set("Content-Type", contentType)
	}
	return a, nil
}

func (c restCodec) encodeInput(op *operation, in reflect.Value) (*outgoing, error) {
	q := &outgoing{method: op.Method, header: http.Header{}}
	dst := &bindings{header: q.header, vars: map[string]string{}}
	dst.write(op.in, in)
	for _, s := range op.template.segments {
		if s.label != "" && dst.vars[s.label] == "" {
			return nil, fmt.Errorf("awsapi: %s needs %s", op.Name, s.label)
		}
	}
	q.path = op.template.expand(dst.vars)
	q.query = append(slices.Clone(op.template.literals), dst.query...)
	body, stream, contentType := c.writeBody(op, op.in, in)
	q.body = body
	if s, ok := stream.(interface{ Read([]byte) (int, error) }); ok {
		q.stream = s
	}
	if contentType != "" && q.header.Get("Content-Type") == "" {
		q.header.Set("Content-Type", contentType)
	}
	return q, nil
}

// writeBody returns the body as bytes or, for a stream, as the member's value.
func (c restCodec) writeBody(op *operation, p *structPlan, v reflect.Value) (body []byte, stream any, contentType string) {
	m := p.payload
	if m == nil {
		if len(p.body) == 0 {
			return nil, nil, ""
		}
		return c.body.encode(op, nil, p, p.body, v), nil, c.body.contentType(op.model)
	}
	x, ok := follow(v.Field(m.index))
	if !ok {
		return nil, nil, ""
	}
	switch m.kind {
	case kindStream:
		return nil, x.Interface(), "application/octet-stream"
	case kindBlob:
		return x.Bytes(), nil, "application/octet-stream"
	case kindString:
		return []byte(x.String()), nil, "text/plain"
	}
	return c.body.encode(op, m, m.fields, m.fields.fields, x), nil, c.body.contentType(op.model)
}

func (c restCodec) encodeError(m *ServiceModel, e *Error, requestID string) *message {
	return c.body.encodeError(m, e, requestID)
}

func (c restCodec) decodeError(m *ServiceModel, a *message) *Error { return c.body.decodeError(m, a) }

func (c restCodec) fault(m *ServiceModel, f *faults) *Error { return c.body.fault(m, f) }

// bindings are the parts of a message outside of its body.
type bindings struct {
	vars    map[string]string
	query   []param
	header  http.Header
	status  int
	hoisted bool
}

func (b *bindings) read(p *structPlan, dst reflect.Value, f *faults) error {
	for _, m := range p.fields {
		if m.where == inBody || m.where == inPayload {
			continue
		}
		if m.where == inHeaders || m.where == inQuery && m.kind == kindMap {
			b.readMap(p, m, dst.Field(m.index))
			continue
		}
		texts := b.texts(m)
		if len(texts) == 0 {
			if m.required && plain(m) {
				f.missing(m)
			}
			continue
		}
		if err := readTexts(m, allocate(dst.Field(m.index)), texts); err != nil {
			return &argumentError{m, texts[0], err}
		}
	}
	return nil
}

// texts are the values that a member was sent with; none if it was not.
func (b *bindings) texts(m *field) []string {
	switch m.where {
	case inURI:
		if v, ok := b.vars[m.wire]; ok {
			return []string{v}
		}
	case inStatus:
		return []string{strconv.Itoa(b.status)}
	case inQuery:
		return b.queryTexts(m.wire)
	case inHeader:
		if vs := b.header.Values(m.wire); len(vs) > 0 {
			return vs
		}
		if b.hoisted {
			return b.queryTexts(strings.ToLower(m.wire))
		}
	}
	return nil
}

func (b *bindings) queryTexts(key string) []string {
	var out []string
	for _, p := range b.query {
		if p.key == key {
			out = append(out, p.value)
		}
	}
	return out
}

func readTexts(m *field, dst reflect.Value, texts []string) error {
	if m.kind == kindList {
		if m.where == inHeader {
			texts = splitHeaderList(texts, m.elem)
		}
		dst.Set(reflect.MakeSlice(dst.Type(), len(texts), len(texts)))
		for i, t := range texts {
			if err := setText(m.elem, allocate(dst.Index(i)), t); err != nil {
				return err
			}
		}
		return nil
	}
	text := texts[0]
	if m.json && m.where == inHeader {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return fmt.Errorf("not base64: %w", err)
		}
		text = string(b)
	}
	return setText(m.shape, dst, text)
}

// readMap fills a map with every header that begins with the member's name, or
// with every query key that no other member takes.
func (b *bindings) readMap(p *structPlan, m *field, dst reflect.Value) {
	put := func(key string, values []string) {
		if dst.IsNil() {
			dst.Set(reflect.MakeMap(dst.Type()))
		}
		if m.elem.kind == kindList {
			dst.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(values))
		} else {
			dst.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(values[0]))
		}
	}
	if m.where == inHeaders {
		prefix := strings.ToLower(m.wire)
		for name, values := range b.header {
			if key, ok := strings.CutPrefix(strings.ToLower(name), prefix); ok {
				put(key, []string{strings.Join(values, ",")})
			}
		}
		for _, q := range b.query {
			if key, ok := strings.CutPrefix(strings.ToLower(q.key), prefix); ok && b.hoisted {
				put(key, []string{q.value})
			}
		}
		return
	}
	for _, q := range b.query {
		taken := slices.ContainsFunc(p.fields, func(o *field) bool {
			return o.where == inQuery && o.kind != kindMap && o.wire == q.key
		})
		if !taken {
			put(q.key, b.queryTexts(q.key))
		}
	}
}

// splitHeaderList splits a header at its commas, save those in quotes and
// those inside of dates.
func splitHeaderList(values []string, elem *shape) []string {
	var parts []string
	var cur strings.Builder
	for _, v := range values {
		if v == "" {
			continue
		}
		quoted := false
		for i := 0; i < len(v); i++ {
			switch c := v[i]; {
			case c == '\\' && quoted && i+1 < len(v):
				i++
				cur.WriteByte(v[i])
			case c == '"':
				quoted = !quoted
			case c == ',' && !quoted:
				parts = append(parts, strings.TrimSpace(cur.String()))
				cur.Reset()
			default:
				cur.WriteByte(c)
			}
		}
		parts = append(parts, strings.TrimSpace(cur.String()))
		cur.Reset()
	}
	if elem.kind != kindTime || elem.time != "" && elem.time != formatHTTP || len(parts)%2 != 0 {
		return parts
	}
	dates := make([]string, 0, len(parts)/2)
	for i := 0; i < len(parts); i += 2 {
		dates = append(dates, parts[i]+", "+parts[i+1])
	}
	return dates
}

// write is read's inverse.
func (b *bindings) write(p *structPlan, v reflect.Value) {
	for _, m := range p.fields {
		x, ok := follow(v.Field(m.index))
		if !ok {
			continue
		}
		switch m.where {
		case inURI:
			b.vars[m.wire] = string(appendText(nil, m.shape, x, formatISO))
		case inStatus:
			b.status = int(x.Int())
		case inQuery:
			b.writeQuery(p, m, x)
		case inHeader:
			b.writeHeader(m, x)
		case inHeaders:
			for _, k := range sortedKeys(x) {
				// As written: clients hand the rest of the name to users, and
				// Go's canonical form would capitalise it.
				b.header[m.wire+k.String()] = []string{headerSafe(x.MapIndex(k).String())}
			}
		}
	}
}

func (b *bindings) writeQuery(p *structPlan, m *field, x reflect.Value) {
	add := func(key string, s *shape, v reflect.Value) {
		if v, ok := follow(v); ok {
			b.query = append(b.query, param{key, string(appendText(nil, s, v, formatISO))})
		}
	}
	switch m.kind {
	case kindList:
		for i := range x.Len() {
			add(m.wire, m.elem, x.Index(i))
		}
	case kindMap:
		for _, k := range sortedKeys(x) {
			taken := slices.ContainsFunc(p.fields, func(o *field) bool {
				_, set := lookup(b.query, k.String())
				return set && o.where == inQuery && o.wire == k.String()
			})
			switch value := x.MapIndex(k); {
			case taken:
			case m.elem.kind == kindList:
				for i := range value.Len() {
					add(k.String(), m.elem.elem, value.Index(i))
				}
			default:
				add(k.String(), m.elem, value)
			}
		}
	default:
		add(m.wire, m.shape, x)
	}
}

func (b *bindings) writeHeader(m *field, x reflect.Value) {
	if m.kind == kindList {
		var parts []string
		for i := range x.Len() {
			text := string(appendText(nil, m.elem, x.Index(i), formatHTTP))
			if m.elem.kind == kindString && strings.ContainsAny(text, `",`) {
				text = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
			}
			parts = append(parts, text)
		}
		if len(parts) > 0 {
			b.header.Set(m.wire, headerSafe(strings.Join(parts, ", ")))
		}
		return
	}
	text := string(appendText(nil, m.shape, x, formatHTTP))
	if m.json {
		text = base64.StdEncoding.EncodeToString([]byte(text))
	}
	if text != "" {
		b.header.Set(m.wire, headerSafe(text))
	}
}

// headerSafe keeps a value from ending its header early.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return ' '
		}
		return r
	}, s)
}
