package transform

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	const doc = `{"a": {"b": [1.50, "x", {"c": null}]}, "it's": 7, "e": []}`
	for text, want := range map[string]string{
		"$":                `{"a": {"b": [1.50, "x", {"c": null}]}, "it's": 7, "e": []}`,
		"$.a.b[0]":         "1.50",
		"$['a']['b'][1]":   `"x"`,
		`$["a"].b[-1].c`:   "null",
		"$.a.['b'][-1]":    `{"c": null}`,
		"$.a.b[0:2]":       `[1.50,"x"]`,
		"$.a.b[ 1 : ]":     `["x",{"c": null}]`,
		"$.a.b[:-1]":       `[1.50,"x"]`,
		"$.a.b[-9:9]":      `[1.50,"x",{"c": null}]`,
		"$.a.b[2:1]":       "[]",
		"$.a.b[2,0]":       `[{"c": null},1.50]`,
		`$["it's"]`:        "7",
		"$.e[:]":           "[]",
		"$.z":              `! there is no "z"`,
		"$.a.b[3]":         "! there is no element 3 among 3",
		"$.a.b[-4]":        "! there is no element -4",
		"$.a[0]":           "! is no array",
		"$.a.b.c":          "! is no object",
		"":                 "! does not begin with $",
		"a":                "! does not begin with $",
		"$a":               "! neither",
		"$..a":             "! the descent .. is not supported",
		"$.":               "! no name",
		"$.*":              `! "*" is not supported`,
		"$.a[*]":           "! [*] is not supported",
		"$.a[?(@.b)]":      "! not supported",
		"$.a['b','c']":     "! not one quoted name",
		"$.a['b'":          "! not one quoted name",
		"$.a[0":            "! lacks its closing bracket",
		"$.a[]":            "! [] is not supported",
		"$.a.b[0:2:1]":     "! [2:1] is not supported",
		"$.a.b[0:2][0]":    "! goes on behind several elements",
		"$.a.b[0,1].c":     "! goes on behind several elements",
		"$.a.b[0:2].c[99]": "! goes on behind several elements",
	} {
		var got json.RawMessage
		p, err := parsePath(text)
		if err == nil {
			got, err = p.of(json.RawMessage(doc))
		}
		says, wrong := strings.CutPrefix(want, "! ")
		switch {
		case wrong && (err == nil || !strings.Contains(err.Error(), says)):
			t.Errorf("%s: %s, %v; want an error that says %q", text, got, err, says)
		case !wrong && (err != nil || string(got) != want):
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}

// FuzzPath: what can be read is written in a way that is read alike, and
// selects JSON or nothing.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"$", "$.a[0]", "$['a b'].c[1:-1]", "$.a[0,2]", `$["'"]`, "$[:]", "$.é", "$[9999999999]"} {
		f.Add(seed, `{"a": [1, {"b": 2}, 3]}`)
	}
	f.Fuzz(func(t *testing.T, text, doc string) {
		p, err := parsePath(text)
		if err != nil {
			return
		}
		again, err := parsePath(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q is written as %q, which is read as %q, %v", text, p, again, err)
		}
		if !json.Valid([]byte(doc)) {
			return
		}
		one, err := p.of(json.RawMessage(doc))
		other, err2 := again.of(json.RawMessage(doc))
		if string(one) != string(other) || (err == nil) != (err2 == nil) {
			t.Fatalf("%q and %q select %s, %v and %s, %v", text, p, one, err, other, err2)
		}
		if err == nil && !json.Valid(one) {
			t.Fatalf("%q selects %q, which is not JSON", text, one)
		}
	})
}
