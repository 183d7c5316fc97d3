package channel

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseManifest(t *testing.T) {
	prefix, names, err := parseManifest(strings.NewReader(`[ {"prefix": "s3://b/some/prefix/"}, "a/1", "b", "" ]`))
	if err != nil || prefix != "s3://b/some/prefix/" || !cmp.Equal(names, []string{"a/1", "b", ""}) {
		t.Error(prefix, names, err)
	}
	for text, want := range map[string]string{
		``:                               "a manifest is a JSON array",
		`{"prefix": "s3://b/"}`:          "a manifest is a JSON array",
		`[]`:                             "is empty",
		`["s3://b/a"]`:                   `a manifest begins with {"prefix"`,
		`[{"prefix": ""}, "a"]`:          `a manifest begins with {"prefix"`,
		`[{"prefix": "http://b/"}, "a"]`: "not an S3 URI",
		`[{"prefix": "s3://b/"}]`:        "names no objects",
		`[{"prefix": "s3://b/"}, 3]`:     "entry 2 of the manifest is no string: 3",
		`[{"prefix": "s3://b/"}, null]`:  "entry 2",
		`[{"prefix": "s3://b/"}, "a"] x`: "a manifest is a JSON array",
	} {
		if _, _, err := parseManifest(strings.NewReader(text)); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s…", text, err, want)
		}
	}
}

func TestParseAugmented(t *testing.T) {
	records, err := parseAugmented(strings.NewReader(`
{"image-ref": "s3://b/1.jpg", "is-a-cat": 1, "other": 2}

{"boxes": [ {"x": 1.50}, null ], "name": "Ishmael", "is-a-cat": true, "image-ref": "s3://c/d/2.jpg"}
`), []string{"is-a-cat", "image-ref"})
	if err != nil || show(records) != "1 s3://b/1.jpg / true s3://c/d/2.jpg" {
		t.Error(show(records), err)
	}
	records, err = parseAugmented(strings.NewReader(`{"boxes": [ {"x": 1.50}, null ], "name": "He said \"no\"", "nil": null}`), []string{"boxes", "name", "nil"})
	if err != nil || show(records) != `[{"x":1.50},null] He said "no" null` {
		t.Error(show(records), err)
	}
	for text, want := range map[string]string{
		``:                             "is empty",
		`[1]`:                          "line 1: it is no JSON object",
		`null`:                         "line 1: it is no JSON object",
		"{\"x-ref\":\"s3://b/k\"}\n{}": `line 2: it has no attribute "x-ref"`,
		`{"x-ref": 1}`:                 `the attribute "x-ref" is not an S3 URI`,
		`{"x-ref": "k"}`:               "not an S3 URI",
		`{"x-ref": "s3://b"}`:          "names no object",
		strings.Repeat("x", maxLine+1): "may have 16 MB",
	} {
		if _, err := parseAugmented(strings.NewReader(text), []string{"x-ref"}); !errors.Is(err, ErrBadInput) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: %v, want …%s…", text, err, want)
		}
	}
	if _, err := parseAugmented(strings.NewReader(`{}`), nil); !errors.Is(err, ErrBadInput) {
		t.Error(err)
	}
}

// show writes records as what they would feed.
func show(records []record) string {
	var out []string
	for _, rec := range records {
		var words []string
		for _, p := range rec {
			if p.text == nil {
				words = append(words, "s3://"+p.bucket+"/"+p.Key)
				continue
			}
			words = append(words, string(p.text))
		}
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, " / ")
}

// Whatever a manifest holds, the parser says what it means or that it is bad,
// and what it means is what a plain decoder sees.
func FuzzManifest(f *testing.F) {
	for _, seed := range []string{`[{"prefix":"s3://b/p/"},"a","b"]`, `[{"prefix":"s3://b"},""]`, `[{"prefix":"s3://b/p/","x":[1]},"\u0000"]`, `[[],"a"]`, `[{"prefix":7}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		prefix, names, err := parseManifest(strings.NewReader(string(raw)))
		if err != nil {
			if !errors.Is(err, ErrBadInput) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		var plain []any
		if err := json.Unmarshal(raw, &plain); err != nil || len(plain) != len(names)+1 || !strings.HasPrefix(prefix, "s3://") {
			t.Fatalf("%q, %d names of %s", prefix, len(names), raw)
		}
		for i, name := range names {
			if plain[i+1] != name {
				t.Fatalf("%q is not %v", name, plain[i+1])
			}
		}
	})
}

func FuzzAugmented(f *testing.F) {
	for _, seed := range []string{`{"a-ref":"s3://b/k","b":1}`, "{\"a-ref\":\"s3://b/k\",\"b\":{\"c\":[]}}\n\n{\"a-ref\":\"s3://b/%00\",\"b\":null}", `{"a-ref":"s3://b","b":0}`, `{"b":1e999}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		records, err := parseAugmented(strings.NewReader(string(raw)), []string{"a-ref", "b"})
		if err != nil {
			if !errors.Is(err, ErrBadInput) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		for _, rec := range records {
			if len(rec) != 2 || rec[0].text != nil || rec[0].Key == "" || rec[1].text == nil {
				t.Fatalf("%+v", rec)
			}
		}
	})
}
