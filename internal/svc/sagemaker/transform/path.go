package transform

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// path is the part of JSONPath that filters may use:
//
//	$          the whole
//	.a ['a']   a member of an object
//	[1] [-1]   an element of an array, from its start or end
//	[0,2]      several of them, as an array
//	[1:3]      a range of them, as an array; each end may be left out
//
// The last two end a path.
type path []step

// step is a member, some elements, or a range of elements.
type step struct {
	name  string
	at    []int
	from  *int
	to    *int
	slice bool
}

// narrows tells whether a path is more than $.
func (p path) narrows() bool { return len(p) > 0 }

// parsePath reads a path. Its errors say what of JSONPath there is none of.
func parsePath(text string) (path, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, fmt.Errorf("the path %q does not begin with $", text)
	}
	var p path
	for rest != "" {
		if n := len(p); n > 0 && (p[n-1].slice || len(p[n-1].at) > 1) {
			return nil, fmt.Errorf("the path %q goes on behind several elements, which is not supported", text)
		}
		s, tail, err := parseStep(rest)
		if err != nil {
			return nil, fmt.Errorf("the path %q: %w", text, err)
		}
		p, rest = append(p, s), tail
	}
	return p, nil
}

func parseStep(text string) (step, string, error) {
	switch {
	case strings.HasPrefix(text, ".."):
		return step{}, "", fmt.Errorf("the descent .. is not supported")
	case strings.HasPrefix(text, ".["), strings.HasPrefix(text, "["):
		return parseBracket(strings.TrimPrefix(text, "."))
	case !strings.HasPrefix(text, "."):
		return step{}, "", fmt.Errorf("%q is neither .name nor [selector]", text)
	}
	end := 1
	for end < len(text) && text[end] != '.' && text[end] != '[' {
		end++
	}
	switch name := text[1:end]; {
	case name == "":
		return step{}, "", fmt.Errorf("there is no name behind the dot")
	case strings.ContainsAny(name, "*?@()]'\""):
		return step{}, "", fmt.Errorf("%q is not supported: only names, indexes and ranges are", name)
	default:
		return step{name: name}, text[end:], nil
	}
}

// parseBracket reads a step in brackets, and gives what follows it.
func parseBracket(text string) (step, string, error) {
	if len(text) > 1 && (text[1] == '\'' || text[1] == '"') {
		name, rest, ok := strings.Cut(text[2:], text[1:2])
		if !ok || !strings.HasPrefix(rest, "]") || name == "" {
			return step{}, "", fmt.Errorf("%q is not one quoted name in brackets", text)
		}
		return step{name: name}, rest[1:], nil
	}
	inner, rest, ok := strings.Cut(text[1:], "]")
	if !ok {
		return step{}, "", fmt.Errorf("%q lacks its closing bracket", text)
	}
	if from, to, ok := strings.Cut(inner, ":"); ok {
		s := step{slice: true}
		var err error
		if s.from, err = parseEnd(from); err == nil {
			s.to, err = parseEnd(to)
		}
		return s, rest, err
	}
	var s step
	for word := range strings.SplitSeq(inner, ",") {
		n, err := parseInt(word)
		if err != nil {
			return step{}, "", err
		}
		s.at = append(s.at, n)
	}
	return s, rest, nil
}

// parseEnd reads an end of a range; one that is left out is nil.
func parseEnd(word string) (*int, error) {
	if strings.TrimSpace(word) == "" {
		return nil, nil
	}
	n, err := parseInt(word)
	return &n, err
}

func parseInt(word string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(word))
	if err != nil {
		return 0, fmt.Errorf("[%s] is not supported: only quoted names, indexes and ranges are", word)
	}
	return n, nil
}

// String writes a path as parsePath reads it.
func (p path) String() string {
	var b strings.Builder
	b.WriteByte('$')
	end := func(n *int) string {
		if n == nil {
			return ""
		}
		return strconv.Itoa(*n)
	}
	for _, s := range p {
		switch {
		case s.slice:
			fmt.Fprintf(&b, "[%s:%s]", end(s.from), end(s.to))
		case len(s.at) > 0:
			words := make([]string, len(s.at))
			for i, n := range s.at {
				words[i] = strconv.Itoa(n)
			}
			fmt.Fprintf(&b, "[%s]", strings.Join(words, ","))
		case strings.Contains(s.name, "'"):
			fmt.Fprintf(&b, `["%s"]`, s.name)
		default:
			fmt.Fprintf(&b, "['%s']", s.name)
		}
	}
	return b.String()
}

// of selects from a JSON text. What is selected keeps its spelling.
func (p path) of(doc json.RawMessage) (json.RawMessage, error) {
	for _, s := range p {
		var err error
		if doc, err = s.of(doc); err != nil {
			return nil, fmt.Errorf("%v: %w", p, err)
		}
	}
	return doc, nil
}

func (s step) of(doc json.RawMessage) (json.RawMessage, error) {
	if s.name != "" {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(doc, &members); err != nil {
			return nil, fmt.Errorf("%.100s is no object", doc)
		}
		member, ok := members[s.name]
		if !ok {
			return nil, fmt.Errorf("there is no %q in %.100s", s.name, doc)
		}
		return member, nil
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(doc, &elements); err != nil || elements == nil {
		return nil, fmt.Errorf("%.100s is no array", doc)
	}
	if s.slice {
		from, to := place(s.from, 0, len(elements)), place(s.to, len(elements), len(elements))
		return array(elements[from:max(from, to)]), nil
	}
	chosen := make([]json.RawMessage, len(s.at))
	for i, n := range s.at {
		if n < 0 {
			n += len(elements)
		}
		if n < 0 || n >= len(elements) {
			return nil, fmt.Errorf("there is no element %d among %d", s.at[i], len(elements))
		}
		chosen[i] = elements[n]
	}
	if len(chosen) == 1 {
		return chosen[0], nil
	}
	return array(chosen), nil
}

// place is where an end of a range lies among size elements.
func place(end *int, absent, size int) int {
	switch {
	case end == nil:
		return absent
	case *end < 0:
		return max(0, *end+size)
	}
	return min(*end, size)
}

// array writes elements as an array.
func array(elements []json.RawMessage) json.RawMessage {
	out := []byte{'['}
	for i, e := range elements {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, ']')
}
