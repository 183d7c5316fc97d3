package transform

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// batches gives what a splitter makes of a text: records by |, batches by /.
func batches(text string, byLine, one bool, limit int) (string, error) {
	s := newSplitter(iotest.OneByteReader(strings.NewReader(text)), byLine, one, limit)
	var out []string
	for {
		records, err := s.next()
		if errors.Is(err, io.EOF) {
			return strings.Join(out, "/"), nil
		}
		if err != nil {
			return strings.Join(out, "/"), err
		}
		var words []string
		for _, r := range records {
			words = append(words, string(r))
		}
		out = append(out, strings.Join(words, "|"))
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		text        string
		byLine, one bool
		limit       int
		want        string
		fails       string
	}{
		{text: "a\nb\n", limit: 4, want: "a\nb\n"},
		{text: "", limit: 4, want: ""},
		{text: "a\nb\nc", limit: 4, fails: "the object is larger"},
		{text: "a\nbb\nccc\n", byLine: true, one: true, limit: 3, want: "a/bb/ccc"},
		{text: "a\nb\nc\nd", byLine: true, limit: 4, want: "a|b/c|d"},
		{text: "a\r\n\n\r\nb", byLine: true, limit: 9, want: "a|b"},
		{text: "\n\n", byLine: true, limit: 9, want: ""},
		{text: "aaa\nbbb", byLine: true, limit: 7, want: "aaa|bbb"},
		{text: "aaa\nbbb", byLine: true, limit: 8, want: "aaa|bbb"},
		{text: "abcd\r\nabcd", byLine: true, limit: 4, want: "abcd/abcd"},
		{text: "ab\nabcde\nab", byLine: true, limit: 4, want: "", fails: "the record is larger"},
		{text: "ab\n" + strings.Repeat("x", 99) + "\n", byLine: true, one: true, limit: 4, want: "ab", fails: "the record is larger"},
	} {
		got, err := batches(c.text, c.byLine, c.one, c.limit)
		if got != c.want && c.fails == "" || (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

// FuzzSplit: no record is lost, torn or out of order, and no batch too large.
func FuzzSplit(f *testing.F) {
	f.Add("a\nb\r\n\nccc", uint8(4), true)
	f.Fuzz(func(t *testing.T, text string, limit uint8, one bool) {
		s := newSplitter(strings.NewReader(text), true, one, int(limit))
		var want, got []string
		for line := range strings.Lines(text) {
			if line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"); line != "" {
				want = append(want, line)
			}
		}
		for {
			records, err := s.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				for _, line := range want {
					if len(line) > int(limit) {
						return
					}
				}
				t.Fatalf("all lines fit, but: %v", err)
			}
			size := len(records) - 1
			for _, r := range records {
				got = append(got, string(r))
				size += len(r)
			}
			if size > int(limit) || one && len(records) != 1 {
				t.Fatalf("a batch has %d records and %d bytes", len(records), size)
			}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%q became %q", want, got)
		}
	})
}
