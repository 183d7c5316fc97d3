package filter

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

// TestMatch reads testdata/match.txt: a line with a pattern, then lines that
// begin with + or -: messages that it matches or not. A pattern that begins
// with ! is refused.
func TestMatch(t *testing.T) {
	file, err := os.Open("testdata/match.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var f *Filter
	var pattern string
	checked := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		switch kind, rest, _ := strings.Cut(line, " "); {
		case line == "" || kind == "#":
		case kind == "pattern":
			pattern = rest
			if f, err = Parse(rest); err != nil {
				t.Fatalf("%s: %v", rest, err)
			}
		case kind == "refused":
			checked++
			if _, err := Parse(rest); err == nil {
				t.Errorf("%s is not refused", rest)
			}
		case kind == "+" || kind == "-":
			checked++
			if got := f.Match(rest); got != (kind == "+") {
				t.Errorf("%s matches %s: %v", pattern, rest, got)
			}
		default:
			t.Fatalf("malformed line %q", line)
		}
	}
	if checked < 50 {
		t.Errorf("only %d lines were checked", checked)
	}
}

// FuzzParse: whatever parses also matches, or not, without a panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "ERROR -DEBUG ?a", `"a \" b"`, "%a|b%", `{ $.a = 1 && ($.b[0] != "x*" || $.c IS NULL) }`,
		"{ $.a.b NOT EXISTS }", "{ $['x y'] >= -1.5e3 }", "{ ((((", "[a, b]", "-", "{ $.a = %x% }",
	} {
		f.Add(seed, `{"a": 1, "b": ["xy"], "c": null}`)
	}
	f.Fuzz(func(t *testing.T, pattern, message string) {
		if parsed, err := Parse(pattern); err == nil {
			parsed.Match(message)
		}
	})
}
