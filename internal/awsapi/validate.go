package awsapi

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// fault is one member that breaks its constraint.
type fault struct {
	path       string // "resourceConfig.instanceCount", "inputDataConfig.1.member.channelName"
	value      string // as the message shows it; "" with hidden
	hidden     bool
	constraint string // "Member must not be null"
	rule       rule
	shape      *shape
	field      *field // the member at fault, of the outermost structure
}

// A rule is the sort of constraint that a fault broke; S3 has a code for some.
type rule uint8

const (
	ruleRequired rule = iota
	ruleLength
	ruleRange
	ruleEnum
	rulePattern
)

func (f fault) String() string {
	if f.hidden {
		return fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", f.path, f.constraint)
	}
	return fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", f.value, f.path, f.constraint)
}

// faults gathers what is wrong with an input while it is walked. Decoders use
// it too: only they see that a required plain value was absent.
type faults struct {
	list   []fault
	path   []string
	top    *field
	absent map[string]bool // paths of plain members that were missed already
}

// maxFaults bounds the answer to a hopeless request.
const maxFaults = 100

func (f *faults) add(x fault) {
	if len(f.list) >= maxFaults {
		return
	}
	x.path, x.field = strings.Join(f.path, "."), f.top
	f.list = append(f.list, x)
}

func (f *faults) push(parts ...string) { f.path = append(f.path, parts...) }

func (f *faults) pop(n int) { f.path = f.path[:len(f.path)-n] }

// enter steps into a member; leave steps out again.
func (f *faults) enter(m *field) {
	if len(f.path) == 0 {
		f.top = m
	}
	f.push(lowerFirst(m.member))
}

func (f *faults) leave() {
	f.pop(1)
	if len(f.path) == 0 {
		f.top = nil
	}
}

// missing notes that a required member is absent.
func (f *faults) missing(m *field) {
	f.enter(m)
	if plain(m) {
		if f.absent == nil {
			f.absent = map[string]bool{}
		}
		f.absent[strings.Join(f.path, ".")] = true
	}
	f.add(fault{value: "null", constraint: "Member must not be null", rule: ruleRequired, shape: m.shape})
	f.leave()
}

// message is the sentence that the real services answer with.
func (f *faults) message() string {
	all := make([]string, len(f.list))
	for i, x := range f.list {
		all[i] = x.String()
	}
	noun := "errors"
	if len(all) == 1 {
		noun = "error"
	}
	return fmt.Sprintf("%d validation %s detected: %s", len(all), noun, strings.Join(all, "; "))
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// validate checks a structure against its constraints. wire says that a
// decoder has noted absent plain members already; without it, where nobody
// could have, an empty URI label counts as absent.
func (f *faults) validate(p *structPlan, v reflect.Value, wire bool) {
	for _, m := range p.fields {
		x, ok := follow(v.Field(m.index))
		if !ok {
			if m.required && !plain(m) {
				f.missing(m)
			}
			continue
		}
		if !wire && m.where == inURI && m.required && x.IsZero() {
			f.missing(m)
			continue
		}
		f.enter(m)
		if !(m.required && x.IsZero() && f.absent[strings.Join(f.path, ".")]) {
			f.value(m.shape, x, wire)
		}
		f.leave()
	}
}

// plain tells whether the member's Go value cannot show absence.
func plain(m *field) bool {
	switch m.kind {
	case kindString, kindInt, kindFloat, kindBool, kindTime:
		return true
	}
	return false
}

func (f *faults) value(s *shape, v reflect.Value, wire bool) {
	for _, c := range s.broken(v) {
		f.add(fault{value: s.show(v), hidden: s.hides(), constraint: c.text, rule: c.rule, shape: s})
	}
	switch s.kind {
	case kindStruct:
		f.validate(s.fields, v, wire)
	case kindList:
		f.items(s, v, wire)
	case kindMap:
		f.entries(s, v, wire)
	}
}

func (f *faults) items(s *shape, v reflect.Value, wire bool) {
	if !s.elem.compound() {
		for i := range v.Len() {
			if cs := s.elem.broken(v.Index(i)); len(cs) > 0 {
				f.add(fault{value: s.show(v), hidden: s.hides(), shape: s.elem, rule: cs[0].rule,
					constraint: "Member must satisfy constraint: [" + join(s.elem.constraints(), ", ") + "]"})
				return
			}
		}
		return
	}
	for i := range v.Len() {
		x, ok := follow(v.Index(i))
		f.push(strconv.Itoa(i+1), "member")
		if ok {
			f.value(s.elem, x, wire)
		} else {
			f.add(fault{value: "null", constraint: "Member must not be null", rule: ruleRequired, shape: s.elem})
		}
		f.pop(2)
	}
}

func (f *faults) entries(s *shape, v reflect.Value, wire bool) {
	keys := sortedKeys(v)
	for _, k := range keys {
		if cs := s.key.broken(k); len(cs) > 0 {
			f.add(fault{value: s.show(v), hidden: s.hides(), shape: s.key, rule: cs[0].rule,
				constraint: "Map keys must satisfy constraint: [" + join(s.key.constraints(), ", ") + "]"})
			break
		}
	}
	for _, k := range keys {
		x, ok := follow(v.MapIndex(k))
		if s.elem.compound() && ok {
			f.push(k.String(), "member")
			f.value(s.elem, x, wire)
			f.pop(2)
			continue
		}
		if cs := s.elem.broken(x); ok && len(cs) > 0 {
			f.add(fault{value: s.show(v), hidden: s.hides(), shape: s.elem, rule: cs[0].rule,
				constraint: "Map value must satisfy constraint: [" + join(s.elem.constraints(), ", ") + "]"})
			return
		}
	}
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

func (s *shape) compound() bool {
	return s.kind == kindStruct || s.kind == kindList || s.kind == kindMap
}

// constraint is one bound of a shape in words.
type constraint struct {
	rule rule
	text string
}

func join(cs []constraint, sep string) string {
	texts := make([]string, len(cs))
	for i, c := range cs {
		texts[i] = c.text
	}
	return strings.Join(texts, sep)
}

// constraints are all that the shape demands of its own value.
func (s *shape) constraints() []constraint {
	var out []constraint
	sized, what := ruleLength, "length"
	if s.kind == kindInt || s.kind == kindFloat {
		sized, what = ruleRange, "value"
	}
	if s.max != nil {
		out = append(out, constraint{sized, "Member must have " + what + " less than or equal to " + plainNumber(*s.max)})
	}
	if s.min != nil {
		out = append(out, constraint{sized, "Member must have " + what + " greater than or equal to " + plainNumber(*s.min)})
	}
	if len(s.enum) > 0 {
		out = append(out, constraint{ruleEnum, "Member must satisfy enum value set: [" + strings.Join(s.enum, ", ") + "]"})
	}
	if s.pattern != nil {
		out = append(out, constraint{rulePattern, "Member must satisfy regular expression pattern: " + s.pattern.text})
	}
	return out
}

func plainNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// broken returns those constraints that v does not satisfy. The common case,
// none, allocates nothing.
func (s *shape) broken(v reflect.Value) []constraint {
	size, sized := s.size(v)
	small := sized && s.min != nil && size < *s.min
	large := sized && s.max != nil && size > *s.max
	text := s.kind == kindString && v.IsValid()
	alien := text && len(s.enum) > 0 && !slices.Contains(s.enum, v.String())
	mismatch := text && s.pattern != nil && !large && !s.pattern.match(v.String())
	if !small && !large && !alien && !mismatch {
		return nil
	}
	var out []constraint
	for _, c := range s.constraints() {
		switch c.rule {
		case ruleEnum:
			if alien {
				out = append(out, c)
			}
		case rulePattern:
			if mismatch {
				out = append(out, c)
			}
		default:
			below := strings.Contains(c.text, "greater")
			if below && small || !below && large {
				out = append(out, c)
			}
		}
	}
	return out
}

// size is what min and max bound: a number's value, a string's length in
// UTF-16 units as Java counts them, the length of a blob or a collection.
func (s *shape) size(v reflect.Value) (float64, bool) {
	if s.min == nil && s.max == nil || !v.IsValid() {
		return 0, false
	}
	switch s.kind {
	case kindInt:
		return float64(v.Int()), true
	case kindFloat:
		return v.Float(), true
	case kindString:
		return float64(units(v.String())), true
	case kindList, kindMap, kindBlob:
		return float64(v.Len()), true
	}
	return 0, false
}

func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// hides tells whether a message must not show the value.
func (s *shape) hides() bool { return s.secret || s.kind == kindBlob || s.kind == kindStream }

// maxShown bounds how much of a wrong value a message repeats.
const maxShown = 1024

// show writes a value as the services' messages do: 'text', [a, b], {k=v}.
func (s *shape) show(v reflect.Value) string {
	if s.hides() {
		return ""
	}
	text := s.plainText(v)
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return "'" + text + "'"
}

func (s *shape) plainText(v reflect.Value) string {
	v, ok := follow(v)
	if !ok {
		return "null"
	}
	switch s.kind {
	case kindStruct:
		return strings.TrimPrefix(v.Type().String(), v.Type().PkgPath()+".")
	case kindList:
		var parts []string
		for i := range min(v.Len(), maxShown) {
			parts = append(parts, s.elem.plainText(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case kindMap:
		var parts []string
		for _, k := range sortedKeys(v) {
			parts = append(parts, k.String()+"="+s.elem.plainText(v.MapIndex(k)))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case kindBlob, kindStream:
		return "java.nio.HeapByteBuffer"
	}
	return string(appendText(nil, s, v, formatISO))
}
