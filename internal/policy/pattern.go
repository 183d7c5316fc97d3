package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// pattern is a compiled text in which * stands for any characters, ? for one, and ${key} for a
// value of the request's context.
type pattern struct {
	parts []part
	fold  bool // literals are lower case and compared without regard to ASCII case
}

type partKind uint8

const (
	literalPart  partKind = iota
	starPart              // any number of characters
	onePart               // exactly one character
	variablePart          // a context key's value, taken literally: a * in it stands for itself
)

type part struct {
	kind        partKind
	text        string // the literal, or the variable's key
	fallback    string // of a variable: ${key, 'fallback'}
	hasFallback bool
}

// syntax says which marks of the pattern language a text may use.
type syntax struct {
	wildcards bool // * and ?
	variables bool // ${…}: policies of version 2012-10-17 only
	fold      bool // compare without regard to ASCII case
}

func compilePattern(text string, syn syntax) (pattern, error) {
	p := pattern{fold: syn.fold}
	start := 0 // of the literal being collected
	literal := func(end int) {
		if end > start {
			p.literal(text[start:end])
		}
	}
	for i := 0; i < len(text); {
		switch {
		case syn.wildcards && text[i] == '*':
			literal(i)
			p.star()
			i++
			start = i
		case syn.wildcards && text[i] == '?':
			literal(i)
			p.parts = append(p.parts, part{kind: onePart})
			i++
			start = i
		case syn.variables && strings.HasPrefix(text[i:], "${"):
			literal(i)
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return pattern{}, fmt.Errorf("the policy variable in %q has no closing brace", text)
			}
			if err := p.variable(text[i+2 : i+end]); err != nil {
				return pattern{}, err
			}
			i += end + 1
			start = i
		default:
			i++
		}
	}
	literal(len(text))
	return p, nil
}

// literal appends text, joined to a literal before it so that exact() can see a plain text.
func (p *pattern) literal(text string) {
	if p.fold {
		text = strings.ToLower(text)
	}
	if n := len(p.parts); n > 0 && p.parts[n-1].kind == literalPart {
		p.parts[n-1].text += text
		return
	}
	p.parts = append(p.parts, part{kind: literalPart, text: text})
}

// star appends a *, once for any run of them.
func (p *pattern) star() {
	if n := len(p.parts); n > 0 && p.parts[n-1].kind == starPart {
		return
	}
	p.parts = append(p.parts, part{kind: starPart})
}

// variable appends what stands between ${ and }.
func (p *pattern) variable(inner string) error {
	switch inner {
	case "*", "?", "$":
		p.literal(inner)
		return nil
	}
	v := part{kind: variablePart, text: inner}
	if key, quoted, ok := strings.Cut(inner, ","); ok {
		quoted = strings.TrimSpace(quoted)
		if len(quoted) < 2 || quoted[0] != '\'' || quoted[len(quoted)-1] != '\'' {
			return fmt.Errorf("the default of the policy variable ${%s} must stand in single quotes", inner)
		}
		v.text, v.fallback, v.hasFallback = strings.TrimSpace(key), quoted[1:len(quoted)-1], true
	}
	if prefix, rest, ok := strings.Cut(v.text, ":"); !ok || prefix == "" || rest == "" {
		return fmt.Errorf("the policy variable ${%s} names no context key", inner)
	}
	p.parts = append(p.parts, v)
	return nil
}

// match reports whether the whole of s fits. It allocates nothing; its time is at most
// proportional to len(s) times the number of parts, whatever the pattern.
func (p *pattern) match(s string, ctx Context) bool {
	i, j := 0, 0          // next part, next byte of s
	star, resume := -1, 0 // last star met, and where in s to go on after it
	for {
		switch {
		case i < len(p.parts) && p.parts[i].kind == starPart:
			if i == len(p.parts)-1 {
				return true
			}
			star, resume = i, j
			i++
			continue
		case i < len(p.parts):
			if n := p.take(&p.parts[i], s[j:], ctx); n >= 0 {
				i, j = i+1, j+n
				continue
			}
		case j == len(s):
			return true
		}
		// No fit here: let the last star swallow one character more.
		if star < 0 || resume >= len(s) {
			return false
		}
		_, width := utf8.DecodeRuneInString(s[resume:])
		resume += width
		i, j = star+1, resume
	}
}

// take returns how many bytes at the start of s the part covers, -1 where it does not fit.
func (p *pattern) take(t *part, s string, ctx Context) int {
	text := t.text
	switch t.kind {
	case onePart:
		if s == "" {
			return -1
		}
		_, width := utf8.DecodeRuneInString(s)
		return width
	case variablePart:
		v, ok := ctx.single(t.text)
		if !ok {
			if !t.hasFallback {
				return -1
			}
			v = t.fallback
		}
		text = v
		if p.fold {
			text = strings.ToLower(v)
		}
	}
	if len(s) < len(text) {
		return -1
	}
	if s[:len(text)] == text || p.fold && equalFoldASCII(s[:len(text)], text) {
		return len(text)
	}
	return -1
}

// equalFoldASCII compares s with a text that is in lower case already, of the same length.
func equalFoldASCII(s, lower string) bool {
	for i := range len(lower) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// arn is a text split at its first five colons: arn, partition, service, region, account, resource.
type arn struct {
	text     string
	segments [6]string
	valid    bool
}

func splitARN(text string) arn {
	a := arn{text: text}
	rest := text
	for i := range 5 {
		seg, after, ok := strings.Cut(rest, ":")
		if !ok {
			return a
		}
		a.segments[i], rest = seg, after
	}
	a.segments[5] = rest
	a.valid = a.segments[0] == "arn"
	return a
}

// arnPattern matches ARNs segment by segment: a wildcard does not reach over a colon, except in
// the last segment, which holds all further colons.
type arnPattern struct {
	all      bool // the lone *, which also fits a resource that is no ARN
	segments [6]pattern
}

var errNotARN = errors.New(`must be in ARN format or "*"`)

// compileARN compiles text. With complete, missing trailing segments count as *, as
// resource-based policies have it.
func compileARN(text string, syn syntax, complete bool) (arnPattern, error) {
	if text == "*" {
		return arnPattern{all: true}, nil
	}
	segments := splitOutsideVariables(text, syn.variables)
	if segments[0] != "arn" || len(segments) < 6 && !complete {
		return arnPattern{}, fmt.Errorf("%s %w", text, errNotARN)
	}
	for len(segments) < 6 {
		segments = append(segments, "*")
	}
	syn.wildcards = true
	var a arnPattern
	for i, segment := range segments {
		p, err := compilePattern(segment, syn)
		if err != nil {
			return arnPattern{}, err
		}
		a.segments[i] = p
	}
	return a, nil
}

// splitOutsideVariables splits at the first five colons that are not inside ${…}.
func splitOutsideVariables(text string, variables bool) []string {
	var segments []string
	start, inside := 0, false
	for i := 0; i < len(text) && len(segments) < 5; i++ {
		switch {
		case variables && strings.HasPrefix(text[i:], "${"):
			inside = true
		case text[i] == '}':
			inside = false
		case text[i] == ':' && !inside:
			segments = append(segments, text[start:i])
			start = i + 1
		}
	}
	return append(segments, text[start:])
}

func (p *arnPattern) match(a *arn, ctx Context) bool {
	if p.all {
		return true
	}
	if !a.valid {
		return false
	}
	// The last segment tells most apart, so it is tried first.
	for i := 5; i >= 1; i-- {
		if !p.segments[i].match(a.segments[i], ctx) {
			return false
		}
	}
	return true
}
