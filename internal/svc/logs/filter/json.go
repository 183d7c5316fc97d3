package filter

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// condition is a part of a JSON pattern.
type condition func(event any) bool

// maxDepth bounds how deep parentheses may be nested.
const maxDepth = 50

func parseJSON(text string) (*Filter, error) {
	p := &parser{rest: text[1:]}
	wants, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.take("}") || p.rest != "" {
		return nil, fmt.Errorf("%q was not expected there: a pattern in braces ends in }", p.peek())
	}
	return &Filter{func(message string) bool {
		var event map[string]any
		if !strings.HasPrefix(skipSpace(message), "{") || json.Unmarshal([]byte(message), &event) != nil {
			return false
		}
		return wants(event)
	}}, nil
}

// parser reads a pattern from left to right.
type parser struct {
	rest  string
	depth int
}

// take steps over a sign or a word, if it comes next.
func (p *parser) take(what string) bool {
	p.rest = skipSpace(p.rest)
	rest, ok := strings.CutPrefix(p.rest, what)
	if ok {
		p.rest = skipSpace(rest)
	}
	return ok
}

// peek is what comes next, for messages.
func (p *parser) peek() string {
	word := skipSpace(p.rest)
	if end := strings.IndexAny(word, " \t\r\n"); end > 0 {
		word = word[:end]
	}
	return word
}

func (p *parser) or() (condition, error)  { return p.list("||", p.and) }
func (p *parser) and() (condition, error) { return p.list("&&", p.one) }

// list reads conditions with a sign between them.
func (p *parser) list(sign string, next func() (condition, error)) (condition, error) {
	first, err := next()
	if err != nil {
		return nil, err
	}
	all := []condition{first}
	for p.take(sign) {
		c, err := next()
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	enough := sign == "||" // one that holds decides an or, one that does not an and
	return func(event any) bool {
		for _, c := range all {
			if c(event) == enough {
				return enough
			}
		}
		return !enough
	}, nil
}

func (p *parser) one() (condition, error) {
	if !p.take("(") {
		return p.comparison()
	}
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("parentheses are nested too deeply")
	}
	defer func() { p.depth-- }()
	c, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, fmt.Errorf("%q was not expected there: a ) is missing", p.peek())
	}
	return c, nil
}

func (p *parser) comparison() (condition, error) {
	get, err := p.selector()
	if err != nil {
		return nil, err
	}
	for words, c := range map[string]func(v any, there bool) bool{
		"NOT EXISTS": func(_ any, there bool) bool { return !there },
		"EXISTS":     func(_ any, there bool) bool { return there },
		"IS NULL":    func(v any, there bool) bool { return there && v == nil },
		"IS TRUE":    func(v any, _ bool) bool { return v == true },
		"IS FALSE":   func(v any, _ bool) bool { return v == false },
	} {
		if p.words(words) {
			return func(event any) bool { return c(get(event)) }, nil
		}
	}
	for _, sign := range []string{"!=", "<=", ">=", "=", "<", ">"} {
		if p.take(sign) {
			holds, err := p.operand(sign)
			if err != nil {
				return nil, err
			}
			return func(event any) bool {
				v, there := get(event)
				return there && holds(v)
			}, nil
		}
	}
	return nil, fmt.Errorf("%q was not expected there: a selector is followed by a comparison", p.peek())
}

// words steps over words with any space between them, whatever their case.
func (p *parser) words(words string) bool {
	rest := p.rest
	for word := range strings.FieldsSeq(words) {
		rest = skipSpace(rest)
		if len(rest) < len(word) || !strings.EqualFold(rest[:len(word)], word) {
			return false
		}
		rest = rest[len(word):]
	}
	if rest != "" && nameSign(rune(rest[0])) {
		return false
	}
	p.rest = rest
	return true
}

// selector reads $.a.b[0]['c d'] into a function that finds the value.
func (p *parser) selector() (func(event any) (v any, there bool), error) {
	if !p.take("$") {
		return nil, fmt.Errorf("%q was not expected there: a selector begins with $", p.peek())
	}
	var steps []any // names and indexes
	for {
		step, err := p.step()
		if err != nil {
			return nil, err
		}
		if step == nil {
			break
		}
		steps = append(steps, step)
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("a selector names a member, as in $.member")
	}
	return func(event any) (any, bool) {
		for _, s := range steps {
			var there bool
			if event, there = stepInto(event, s); !there {
				return nil, false
			}
		}
		return event, true
	}, nil
}

// step reads one step of a selector; nil is its end.
func (p *parser) step() (any, error) {
	rest := strings.TrimPrefix(p.rest, ".")
	if strings.HasPrefix(rest, "[") {
		inner, after, closed := strings.Cut(rest[1:], "]")
		p.rest = after
		if name := strings.Trim(inner, `'"`); closed && len(name) == len(inner)-2 {
			return name, nil
		}
		if i, err := strconv.ParseUint(strings.TrimSpace(inner), 10, 31); closed && err == nil {
			return int(i), nil
		}
		return nil, fmt.Errorf("[%s is neither an index nor a name in quotes", inner)
	}
	if len(rest) == len(p.rest) {
		return nil, nil
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return !nameSign(r) })
	if end < 0 {
		end = len(rest)
	}
	if end == 0 {
		return nil, fmt.Errorf("a name is missing after $.")
	}
	p.rest = rest[end:]
	return rest[:end], nil
}

// nameSign tells whether a sign may be part of a name without quotes.
func nameSign(r rune) bool { return !strings.ContainsRune(" \t\r\n.[]{}()=!<>&|\"'", r) }

func stepInto(v, step any) (any, bool) {
	switch step := step.(type) {
	case string:
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		v, there := object[step]
		return v, there
	case int:
		if list, ok := v.([]any); ok && step < len(list) {
			return list[step], true
		}
	}
	return nil, false
}

// operand reads what a value is compared with.
func (p *parser) operand(sign string) (func(v any) bool, error) {
	p.rest = skipSpace(p.rest)
	same := sign == "="
	var text string
	var err error
	switch {
	case strings.HasPrefix(p.rest, "%"):
		var e *regexp.Regexp
		if e, p.rest, err = expression(p.rest); err != nil {
			return nil, err
		}
		return equality(sign, func(v any) bool { return e.MatchString(asText(v)) == same })
	case strings.HasPrefix(p.rest, `"`):
		if text, p.rest, err = quoted(p.rest); err != nil {
			return nil, err
		}
	default:
		end := strings.IndexAny(p.rest, " \t\r\n)}&|")
		if end <= 0 {
			return nil, fmt.Errorf("a value is missing after %s", sign)
		}
		text, p.rest = p.rest[:end], p.rest[end:]
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return numeric(sign, n), nil
		}
	}
	like := wildcard(text)
	return equality(sign, func(v any) bool { return like(asText(v)) == same })
}

// equality refuses to order what is no number.
func equality(sign string, holds func(v any) bool) (func(v any) bool, error) {
	if sign != "=" && sign != "!=" {
		return nil, fmt.Errorf("%s compares numbers", sign)
	}
	return holds, nil
}

// numeric compares with a number; a text that reads as one counts.
func numeric(sign string, n float64) func(v any) bool {
	return func(v any) bool {
		x, err := strconv.ParseFloat(asText(v), 64)
		if err != nil {
			return sign == "!="
		}
		switch sign {
		case "=":
			return x == n
		case "!=":
			return x != n
		case "<":
			return x < n
		case "<=":
			return x <= n
		case ">":
			return x > n
		default:
			return x >= n
		}
	}
}

// wildcard compares with a text in which a star is any text.
func wildcard(pattern string) func(text string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return func(text string) bool { return text == pattern }
	}
	return func(text string) bool {
		if len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
			return false
		}
		text = text[len(first) : len(text)-len(last)]
		for _, part := range parts[1 : len(parts)-1] {
			var found bool
			if _, text, found = strings.Cut(text, part); !found {
				return false
			}
		}
		return true
	}
}

// asText is a value as it is compared with a text.
func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return "" // null, and what has members of its own
}
