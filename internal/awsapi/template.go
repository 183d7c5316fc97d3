package awsapi

import (
	"net/http"
	"net/url"
	"strings"
)

// template recognises the requests of one REST operation: by method, path,
// and the query keys and headers that only this operation has.
type template struct {
	method      string
	segments    []segment
	literals    []param         // "list-type=2"; an empty value takes any
	needsQuery  []string        // keys of literals and of required members
	needsHeader []string        // names of required members
	takes       map[string]bool // query keys of all members

	op          *operation
	unsupported string // name of an operation without an op
}

// segment is a part of a path: fixed text, or a label.
type segment struct {
	text, label string
	greedy      bool // takes the rest of the path, slashes and all
}

// param is a key and a value of a query string, decoded.
type param struct{ key, value string }

func newTemplate(method, uri string, in *structPlan) *template {
	t := &template{method: method, takes: map[string]bool{}}
	path, query, _ := strings.Cut(uri, "?")
	t.segments = parseSegments(path)
	for _, p := range parseQuery(query) {
		t.literals = append(t.literals, p)
		t.needsQuery = append(t.needsQuery, p.key)
		t.takes[p.key] = true
	}
	if in == nil {
		return t
	}
	for _, f := range in.fields {
		switch {
		case f.where == inQuery:
			t.takes[f.wire] = true
			if f.required {
				t.needsQuery = append(t.needsQuery, f.wire)
			}
		case f.where == inHeader && f.required:
			t.needsHeader = append(t.needsHeader, f.wire)
		}
	}
	return t
}

func parseSegments(path string) []segment {
	var out []segment
	for _, s := range strings.Split(strings.Trim(path, "/"), "/") {
		switch {
		case s == "":
		case strings.HasPrefix(s, "{"):
			label := strings.Trim(s, "{}")
			name := strings.TrimSuffix(label, "+")
			out = append(out, segment{label: name, greedy: name != label})
		default:
			out = append(out, segment{text: s})
		}
	}
	return out
}

// matchPath fits an escaped path into the template and returns the labels,
// unescaped. A slash at the end means nothing, except in a greedy label.
func (t *template) matchPath(path string) (map[string]string, bool) {
	rest := strings.TrimPrefix(path, "/")
	vars := map[string]string{}
	for _, s := range t.segments {
		if rest == "" {
			return nil, false
		}
		if s.greedy {
			value, err := url.PathUnescape(rest)
			vars[s.label] = value
			return vars, err == nil
		}
		part, after, _ := strings.Cut(rest, "/")
		rest = after
		if s.label == "" {
			if part != s.text {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(part)
		if err != nil || part == "" {
			return nil, false
		}
		vars[s.label] = value
	}
	return vars, rest == ""
}

// conditions counts how many things beside the path speak for the template,
// or says that one speaks against it.
func (t *template) conditions(query []param, header http.Header) (n int, ok bool) {
	for _, l := range t.literals {
		if v, has := lookup(query, l.key); !has || l.value != "" && v != l.value {
			return 0, false
		}
	}
	for _, k := range t.needsQuery {
		if _, has := lookup(query, k); !has {
			return 0, false
		}
	}
	for _, h := range t.needsHeader {
		if header.Get(h) == "" {
			return 0, false
		}
	}
	fixed := 0
	for _, s := range t.segments {
		if s.label == "" {
			fixed++
		}
	}
	return fixed + len(t.needsQuery) + len(t.needsHeader), true
}

// expand is the client's half: the escaped path with the labels filled in.
func (t *template) expand(vars map[string]string) string {
	var b strings.Builder
	for _, s := range t.segments {
		b.WriteByte('/')
		if s.label == "" {
			b.WriteString(s.text)
		} else {
			b.WriteString(URIEncode(vars[s.label], s.greedy))
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

func lookup(query []param, key string) (string, bool) {
	for _, p := range query {
		if p.key == key {
			return p.value, true
		}
	}
	return "", false
}

// parseQuery splits a raw query string. Unlike net/url's it keeps order, takes
// semicolons for what they are, and leaves broken escapes alone.
func parseQuery(raw string) []param {
	var out []param
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		out = append(out, param{unescapeQuery(k), unescapeQuery(v)})
	}
	return out
}

func unescapeQuery(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

const upperHex = "0123456789ABCDEF"

// URIEncode escapes all but the unreserved characters, as AWS signatures and
// S3's encoding-type=url want it; a slash stays if keepSlash.
func URIEncode(s string, keepSlash bool) string {
	return string(appendURI(make([]byte, 0, len(s)+8), s, keepSlash))
}

func appendURI(b []byte, s string, keepSlash bool) []byte {
	for i := range len(s) {
		c := s[i]
		if unreserved(c) || c == '/' && keepSlash {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}
