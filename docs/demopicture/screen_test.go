//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestScreen(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"plain":          {"a\r\nb", "a|b"},
		"overwritten":    {"abc\rx", "xbc"},
		"redrawn":        {"one\r\ntwo\r\n\x1b[2A\x1b[JONE\r\n", "ONE"},
		"up and further": {"one\r\ntwo\r\n\x1b[1A\x1b[JTWO\r\nthree\r\n", "one|TWO|three"},
		"erased":         {"abc\r\x1b[Kx", "x"},
		"colours":        {"\x1b[32m✓\x1b[0m ok", "✓ ok"},
		"cut off":        {"a\x1b[3", "a"},
	}
	for name, c := range cases {
		s := &screen{}
		s.write(c.in)
		if got := dump(s); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func dump(s *screen) string {
	var rows []string
	for _, row := range s.rows {
		text := ""
		for _, c := range row {
			text += string(c.char)
		}
		rows = append(rows, text)
	}
	return strings.Join(rows, "|")
}

func TestSVG(t *testing.T) {
	s := &screen{}
	s.write("\x1b[32m✓\x1b[0m  a<b  \r\n\x1b[2m1.2 s\x1b[0m")
	svg := string(s.svg(20))
	for _, want := range []string{
		`<text x="16" y="49" textLength="8" fill="#3fb950">✓</text>`,
		`<text x="40" y="49" textLength="24" fill="#c9d1d9">a&lt;b</text>`,
		`<text x="16" y="67" textLength="40" fill="#6e7681">1.2 s</text>`,
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in\n%s", want, svg)
		}
	}
}
