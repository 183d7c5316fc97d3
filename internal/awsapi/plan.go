package awsapi

import (
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A kind is what a shape is on the wire.
type kind uint8

const (
	kindStruct kind = iota
	kindList
	kindMap
	kindString
	kindInt
	kindFloat
	kindBool
	kindTime
	kindBlob
	kindStream
)

// A location is where a member travels.
type location uint8

const (
	inBody location = iota
	inURI
	inQuery
	inHeader
	inHeaders // a map: every header that begins with the member's name
	inStatus
	inPayload // the member is the body
)

var locations = map[string]location{
	"uri": inURI, "query": inQuery, "header": inHeader, "headers": inHeaders,
	"status": inStatus, "payload": inPayload,
}

// shape is one use of a modelled type, with all that a codec or the validation
// asks of it. Shapes are immutable once compiled.
type shape struct {
	kind    kind
	typ     reflect.Type // never a pointer
	name    string       // element name of list items and map entries, "" for the default
	min     *float64     // of a number, or of a length
	max     *float64
	bits    int // of an integer or float
	enum    []string
	pattern *pattern
	time    string // "iso8601", "rfc822", "unixTimestamp", or "" for the protocol's own
	flat    bool
	ns      string
	prefix  string
	secret  bool
	json    bool // a JSON document in base64, in a header
	elem    *shape
	key     *shape
	fields  *structPlan
}

// field is a member of a structure.
type field struct {
	*shape
	index    int
	wire     string // name on the wire
	member   string // name in the model
	where    location
	required bool
	attr     bool // XML attribute
	token    bool // filled in by clients that leave it out
}

// flatName is the member's name in XML and forms. A flattened list that has no
// name of its own goes by that of its items.
func (f *field) flatName() string {
	if f.flat && f.kind == kindList && f.wire == f.member && f.elem.name != "" {
		return f.elem.name
	}
	return f.wire
}

// structPlan is a compiled structure.
type structPlan struct {
	typ     reflect.Type
	fields  []*field
	body    []*field // those that travel in the body
	payload *field
}

// pattern compiles itself when it is first used: most never are.
type pattern struct {
	text string
	once sync.Once
	re   *regexp.Regexp
}

// match tells whether s satisfies the pattern. The generator made sure that
// the pattern compiles.
func (p *pattern) match(s string) bool {
	p.once.Do(func() { p.re, _ = CompilePattern(p.text) })
	return p.re == nil || p.re.MatchString(s)
}

// operation is an OperationModel with compiled plans.
type operation struct {
	*OperationModel
	model    *ServiceModel
	in, out  *structPlan
	template *template // nil unless a REST protocol
}

// streams tells whether the request's body goes to the handler unread.
func (o *operation) streams() bool {
	return o.in != nil && o.in.payload != nil && o.in.payload.kind == kindStream
}

// modelIndex is all that is compiled from a model.
type modelIndex struct {
	ops       map[string]*operation
	known     map[string]bool // unsupported ones
	templates []*template     // of supported and unsupported operations
	subs      map[string]bool // query keys that tell operations apart
	errors    map[string]*ErrorModel
}

func (m *ServiceModel) compiled() *modelIndex {
	m.once.Do(func() { m.index = compileModel(m) })
	return m.index
}

// operation returns nil if there is none of that name.
func (m *ServiceModel) operation(name string) *operation { return m.compiled().ops[name] }

func compileModel(m *ServiceModel) *modelIndex {
	c := &compiler{model: m, plans: map[reflect.Type]*structPlan{}}
	x := &modelIndex{
		ops: map[string]*operation{}, known: map[string]bool{},
		subs: map[string]bool{}, errors: map[string]*ErrorModel{},
	}
	rest := m.isREST()
	for i := range m.Operations {
		om := &m.Operations[i]
		op := &operation{OperationModel: om, model: m, in: c.structure(om.Input), out: c.structure(om.Output)}
		x.ops[om.Name] = op
		if rest {
			op.template = newTemplate(om.Method, om.URI, op.in)
			op.template.op = op
			x.add(op.template)
		}
	}
	for i := range m.Unsupported {
		n := &m.Unsupported[i]
		x.known[n.Name] = true
		if rest && n.URI != "" {
			t := newTemplate(n.Method, n.URI, nil)
			t.unsupported = n.Name
			x.add(t)
		}
	}
	for i := range m.Errors {
		e := &m.Errors[i]
		x.errors[e.Shape] = e
		if x.errors[e.Code] == nil {
			x.errors[e.Code] = e
		}
	}
	return x
}

func (x *modelIndex) add(t *template) {
	x.templates = append(x.templates, t)
	for _, k := range t.needsQuery {
		x.subs[k] = true
	}
}

// compiler turns the types of one model into plans.
type compiler struct {
	model *ServiceModel
	plans map[reflect.Type]*structPlan
}

func (c *compiler) structure(t reflect.Type) *structPlan {
	if p := c.plans[t]; p != nil {
		return p
	}
	p := &structPlan{typ: t}
	c.plans[t] = p // before its members: shapes may be recursive
	for i := range t.NumField() {
		f := c.field(t.Field(i))
		f.index = i
		p.fields = append(p.fields, f)
		switch f.where {
		case inBody:
			p.body = append(p.body, f)
		case inPayload:
			p.payload = f
		}
	}
	return p
}

func (c *compiler) field(sf reflect.StructField) *field {
	t := sf.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	words := strings.Split(sf.Tag.Get("aws"), ",")
	f := &field{wire: words[0], member: words[0]}
	f.shape = c.shape(t, sf.Tag, "")
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "member":
			f.member = value
		case "required":
			f.required = true
		case "in":
			f.where = locations[value]
		case "attr":
			f.attr = true
		case "token":
			f.token = true
		}
	}
	return f
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	readerType = reflect.TypeFor[io.Reader]()
	closerType = reflect.TypeFor[io.ReadCloser]()
)

// shape compiles the facts under a tag prefix: "" for the member itself,
// "item." for its elements, "key." for its keys, and so on inwards.
func (c *compiler) shape(t reflect.Type, tag reflect.StructTag, prefix string) *shape {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := &shape{typ: t, bits: 64}
	c.facts(s, tag, prefix)
	switch {
	case t == timeType:
		s.kind = kindTime
	case t == readerType || t == closerType:
		s.kind = kindStream
	case t.Kind() == reflect.Struct:
		s.kind, s.fields = kindStruct, c.structure(t)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		s.kind = kindBlob
	case t.Kind() == reflect.Slice:
		s.kind, s.elem = kindList, c.shape(t.Elem(), tag, prefix+"item.")
	case t.Kind() == reflect.Map:
		s.kind = kindMap
		s.key = c.shape(t.Key(), tag, prefix+"key.")
		s.elem = c.shape(t.Elem(), tag, prefix+"item.")
	case t.Kind() == reflect.String:
		s.kind = kindString
	case t.Kind() == reflect.Int64:
		s.kind = kindInt
	case t.Kind() == reflect.Float64:
		s.kind = kindFloat
	case t.Kind() == reflect.Bool:
		s.kind = kindBool
	default:
		panic(fmt.Sprintf("awsapi: %v cannot travel", t))
	}
	return s
}

func (c *compiler) facts(s *shape, tag reflect.StructTag, prefix string) {
	words := strings.Split(tag.Get(prefix+"aws"), ",")
	s.name = words[0]
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "min":
			s.min = number(value)
		case "max":
			s.max = number(value)
		case "int8":
			s.bits = 8
		case "int16":
			s.bits = 16
		case "int32", "float32":
			s.bits = 32
		case "time":
			s.time = value
		case "flat":
			s.flat = true
		case "ns":
			s.ns = value
		case "prefix":
			s.prefix = value
		case "secret":
			s.secret = true
		case "jsonvalue":
			s.json = true
		}
	}
	if p := tag.Get(prefix + "pattern"); p != "" {
		s.pattern = &pattern{text: p}
	}
	if e := tag.Get(prefix + "enum"); e != "" {
		s.enum = c.model.Enums[e]
	}
}

func number(s string) *float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic("awsapi: bad number in a tag: " + s)
	}
	return &f
}

// allocate returns the value that v holds or points to, allocating it.
func allocate(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}

// follow returns the value that v holds or points to; ok is false if it is
// absent: a nil pointer, list, map, blob or stream, or a zero time.
func follow(v reflect.Value) (_ reflect.Value, ok bool) {
	switch v.Kind() {
	case reflect.Pointer:
		return v.Elem(), !v.IsNil()
	case reflect.Slice, reflect.Map, reflect.Interface:
		return v, !v.IsNil()
	case reflect.Struct:
		if t, isTime := v.Interface().(time.Time); isTime {
			return v, !t.IsZero()
		}
	}
	return v, true
}
