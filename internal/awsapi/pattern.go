package awsapi

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// CompilePattern compiles a pattern of a service model. Those are written for
// Java's regular expressions and must match the whole value; Go's know no
// look-around, no \u escapes, other class names and no counts above 1,000.
func CompilePattern(p string) (*regexp.Regexp, error) {
	for _, r := range lookaround {
		p = strings.ReplaceAll(p, r.java, r.plain)
	}
	p = translate(p)
	re, err := regexp.Compile(`\A(?:` + p + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", p, err)
	}
	return re, nil
}

// lookaround rewrites, by hand, the few expressions in the models that look
// ahead or behind. A new one fails in the generator.
var lookaround = []struct{ java, plain string }{
	{`(?!\s*$).+`, `.*\S.*`},
	{`/(?!.*\.\.)[a-zA-Z0-9/_.\-]+`, `/(?:\.|\.?(?:[a-zA-Z0-9/_\-]+\.?)+)`},
	{`([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)`, `([a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)`},
}

// javaClasses are the POSIX classes that Java spells \p{Name}.
var javaClasses = map[string]string{
	"Alnum": "[:alnum:]", "Alpha": "[:alpha:]", "ASCII": "[:ascii:]", "Digit": "[:digit:]",
	"Graph": "[:graph:]", "Lower": "[:lower:]", "Print": "[:print:]", "Punct": "[:punct:]",
	"Space": "[:space:]", "Upper": "[:upper:]", "XDigit": "[:xdigit:]",
}

func translate(p string) string {
	var b strings.Builder
	inClass := false
	for i := 0; i < len(p); {
		rest := p[i:]
		switch {
		case strings.HasPrefix(rest, `\u`) && len(rest) >= 6:
			r, n := codePoint(rest)
			fmt.Fprintf(&b, `\x{%04X}`, r)
			i += n
		case strings.HasPrefix(rest, `\p{`):
			end := strings.IndexByte(rest, '}')
			if class, ok := javaClasses[rest[3:max(end, 3)]]; ok {
				if !inClass {
					class = "[" + class + "]"
				}
				b.WriteString(class)
			} else {
				b.WriteString(rest[:end+1])
			}
			i += end + 1
		case rest[0] == '\\' && len(rest) > 1:
			b.WriteString(rest[:2])
			i += 2
		case rest[0] == '{' && !inClass:
			count := repeat.FindString(rest)
			b.WriteString(bound(count))
			i += max(len(count), 1)
		default:
			if rest[0] == '[' {
				inClass = true
			} else if rest[0] == ']' {
				inClass = false
			}
			b.WriteByte(rest[0])
			i++
		}
	}
	return b.String()
}

// codePoint reads what the escapes at the start of p, \u and four digits, stand
// for, and how long they are. One escape is one UTF-16 unit, two surrogates are
// one character. Lone surrogates have no counterpart in UTF-8; the models use
// them only as the ends of ranges.
func codePoint(p string) (r rune, n int) {
	if len(p) >= 12 && p[6:8] == `\u` {
		if r := utf16.DecodeRune(unit(p), unit(p[6:])); r != unicode.ReplacementChar {
			return r, 12
		}
	}
	return unit(p), 6
}

// unit is the value of one escape.
func unit(escape string) rune {
	n, _ := strconv.ParseUint(escape[2:6], 16, 16) //nolint:errcheck // no digits: NUL, which no value has
	return rune(n)
}

var repeat = regexp.MustCompile(`^\{(\d+)(,(\d*))?\}`)

// bound keeps a repeat count that Go can compile and loosens a larger one: the
// member's own length bound still holds.
func bound(count string) string {
	m := repeat.FindStringSubmatch(count)
	if m == nil {
		return "{"
	}
	least, _ := strconv.Atoi(m[1])
	most, _ := strconv.Atoi(m[3])
	switch {
	case least <= 1000 && most <= 1000:
		return count
	case least == 0:
		return "*"
	case least == 1:
		return "+"
	case least <= 1000:
		return fmt.Sprintf("{%d,}", least)
	}
	return "+"
}
