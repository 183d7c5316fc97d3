package s3

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
)

// sorted is a source over some keys; it counts how many it handed out.
type sorted struct {
	keys    []string
	visited int
}

func newSorted(keys ...string) *sorted {
	sort.Strings(keys)
	return &sorted{keys: slices.Compact(keys)}
}

func (s *sorted) source(prefix, from string, visit func(string, *object) bool) error {
	for i := sort.SearchStrings(s.keys, max(prefix, from)); i < len(s.keys) && strings.HasPrefix(s.keys[i], prefix); i++ {
		s.visited++
		if !visit(s.keys[i], &object{}) {
			break
		}
	}
	return nil
}

func names(p page) string {
	var all []string
	for _, e := range p.entries {
		name := e.key
		if e.object == nil {
			name = "[" + name + "]"
		}
		all = append(all, name)
	}
	if p.truncated {
		all = append(all, "…")
	}
	return strings.Join(all, " ")
}

func TestList(t *testing.T) {
	tree := []string{"a", "a//b", "a/b", "a/b/c", "a/d", "a0", "conf", "conf/x", "zoo/ä", "zoo/z", "zoo/日本"}
	tests := []struct {
		q    query
		want string
	}{
		{query{max: 100}, "a a//b a/b a/b/c a/d a0 conf conf/x zoo/z zoo/ä zoo/日本"},
		{query{max: 3}, "a a//b a/b …"},
		{query{max: 11}, "a a//b a/b a/b/c a/d a0 conf conf/x zoo/z zoo/ä zoo/日本"},
		{query{max: 0}, ""},
		{query{delimiter: "/", max: 100}, "a [a/] a0 conf [conf/] [zoo/]"},
		{query{delimiter: "/", max: 2}, "a [a/] …"},
		{query{delimiter: "/", max: 2, after: "a/"}, "a0 conf …"},
		{query{delimiter: "/", max: 5, after: "conf"}, "[conf/] [zoo/]"},
		{query{delimiter: "/", max: 5, after: "a/b"}, "a0 conf [conf/] [zoo/]"},
		{query{delimiter: "/", max: 6}, "a [a/] a0 conf [conf/] [zoo/]"},
		{query{delimiter: "/", max: 5}, "a [a/] a0 conf [conf/] …"},
		{query{prefix: "a/", delimiter: "/", max: 100}, "[a//] a/b [a/b/] a/d"},
		{query{prefix: "a/", delimiter: "/", max: 1, after: "a//"}, "a/b …"},
		{query{prefix: "a", delimiter: "/", max: 100}, "a [a/] a0"},
		{query{prefix: "a", max: 100, after: "a/b/c"}, "a/d a0"},
		{query{prefix: "a", max: 100, after: "0"}, "a a//b a/b a/b/c a/d a0"},
		{query{prefix: "a", max: 100, after: "b"}, ""},
		{query{prefix: "zoo/", max: 100, after: "zoo/z"}, "zoo/ä zoo/日本"},
		{query{prefix: "none", delimiter: "/", max: 100}, ""},
		{query{delimiter: "b/", max: 100}, "a a//b a/b [a/b/] a/d a0 conf conf/x zoo/z zoo/ä zoo/日本"},
		{query{delimiter: "o", max: 100}, "a a//b a/b a/b/c a/d a0 [co] [zo]"},
	}
	for _, tt := range tests {
		p, err := list(newSorted(tree...).source, tt.q)
		if got := names(p); err != nil || got != tt.want {
			t.Errorf("%+v:\n got %s\nwant %s (%v)", tt.q, got, tt.want, err)
		}
	}
}

// naive lists all that q asks for without its maximum, by the definition.
func naive(keys []string, q query) (all []string) {
	seen := map[string]bool{}
	for _, k := range keys {
		if !strings.HasPrefix(k, q.prefix) {
			continue
		}
		name := k
		if c := commonPrefix(k, q.prefix, q.delimiter); c != "" {
			name = "[" + c + "]"
		}
		if !seen[name] {
			seen[name] = true
			all = append(all, name)
		}
	}
	return all
}

// TestPagesAddUp walks random trees page by page, and compares the sum of the
// pages with the definition.
func TestPagesAddUp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "b", "/", "ä", "\x7f", "//"}
	for range 2000 {
		var keys []string
		for range r.IntN(30) + 1 {
			key := alphabet[r.IntN(len(alphabet))]
			for range r.IntN(5) {
				key += alphabet[r.IntN(len(alphabet))]
			}
			keys = append(keys, key)
		}
		src := newSorted(keys...)
		q := query{max: r.IntN(4) + 1}
		if r.IntN(2) == 0 {
			q.prefix = alphabet[r.IntN(len(alphabet))]
		}
		if r.IntN(4) > 0 {
			q.delimiter = alphabet[r.IntN(len(alphabet))]
		}
		var got []string
		whole := q
		for {
			p, err := list(src.source, q)
			if err != nil || len(p.entries) > q.max {
				t.Fatalf("%d entries, %v", len(p.entries), err)
			}
			got = append(got, strings.Fields(strings.TrimSuffix(names(p), "…"))...)
			if !p.truncated {
				break
			}
			q.after = p.last()
		}
		if want := naive(src.keys, whole); !slices.Equal(got, want) {
			t.Fatalf("keys %q\nquery %+v\n got %q\nwant %q", src.keys, whole, got, want)
		}
	}
}

func TestListJumpsOverCommonPrefixes(t *testing.T) {
	var keys []string
	for i := range 20 {
		for j := range 1000 {
			keys = append(keys, fmt.Sprintf("dir%02d/%04d", i, j))
		}
	}
	src := newSorted(keys...)
	p, err := list(src.source, query{delimiter: "/", max: 1000})
	if err != nil || len(p.entries) != 20 {
		t.Fatalf("%d entries, %v", len(p.entries), err)
	}
	if src.visited > 40 {
		t.Errorf("%d keys were looked at for 20 prefixes", src.visited)
	}
}

func TestToken(t *testing.T) {
	for _, after := range []string{"", "a/b", "日本\x01"} {
		if got, err := parseToken(*token(after)); got != after || err != nil {
			t.Errorf("%q came back as %q, %v", after, got, err)
		}
	}
	for _, bad := range []string{"", "?", "YQ", "MQ=="} {
		if _, err := parseToken(bad); err == nil {
			t.Errorf("token %q was accepted", bad)
		}
	}
}

func TestURLEncoder(t *testing.T) {
	encode := urlEncoder(new("url"))
	if got := encode("a b+c/ä\x01"); got != "a%20b%2Bc/%C3%A4%01" {
		t.Error(got)
	}
	if got := urlEncoder(nil)("a b"); got != "a b" {
		t.Error(got)
	}
}
