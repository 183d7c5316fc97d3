//go:build linux

package main

import (
	"bytes"
	"fmt"
	"html"
	"strconv"
	"strings"
	"unicode/utf8"
)

// cell is one character and its colour, an SGR number; empty: the usual one.
type cell struct {
	char   rune
	colour string
}

// screen is a terminal without an upper edge: lines are never scrolled away.
// It knows what progress bars use: carriage return, line feed, cursor up,
// erase below, erase to the right, and colours.
type screen struct {
	rows     [][]cell
	row, col int
	colour   string
}

func (s *screen) write(text string) {
	for len(text) > 0 {
		if strings.HasPrefix(text, "\x1b[") {
			end := strings.IndexFunc(text[2:], func(r rune) bool { return r >= '@' && r <= '~' })
			if end < 0 {
				return
			}
			s.control(text[2:2+end], text[2+end])
			text = text[3+end:]
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		switch r {
		case '\n':
			s.row++
		case '\r':
			s.col = 0
		default:
			s.put(r)
		}
	}
}

func (s *screen) put(r rune) {
	for len(s.rows) <= s.row {
		s.rows = append(s.rows, nil)
	}
	line := s.rows[s.row]
	for len(line) <= s.col {
		line = append(line, cell{char: ' '})
	}
	line[s.col] = cell{r, s.colour}
	s.rows[s.row] = line
	s.col++
}

func (s *screen) control(argument string, command byte) {
	n, err := strconv.Atoi(argument)
	if err != nil {
		n = 0
	}
	switch command {
	case 'A':
		s.row = max(0, s.row-max(1, n))
	case 'J':
		s.cut()
		s.rows = s.rows[:min(len(s.rows), s.row+1)]
	case 'K':
		s.cut()
	case 'm':
		s.colour = strings.TrimLeft(argument, "0")
	}
}

// cut erases from the cursor to the right.
func (s *screen) cut() {
	if s.row < len(s.rows) && s.col < len(s.rows[s.row]) {
		s.rows[s.row] = s.rows[s.row][:s.col]
	}
}

// The picture's measures in pixels, and its colours.
const (
	cellWidth  = 8.0
	lineHeight = 18
	margin     = 16
	top        = 36 // of the window's frame
)

const (
	paper = "#0d1117"
	frame = "#161b22"
	ink   = "#c9d1d9"
)

func colourOf(sgr string) string {
	switch sgr {
	case "2":
		return "#6e7681"
	case "31":
		return "#ff7b72"
	case "32":
		return "#3fb950"
	case "36":
		return "#39c5cf"
	}
	return ink
}

// svg draws the screen. Each run of one colour says how wide it is, so that
// columns stay columns in any font.
func (s *screen) svg(columns int) []byte {
	var b bytes.Buffer
	width := int(float64(columns)*cellWidth) + 2*margin
	height := top + len(s.rows)*lineHeight + margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="%s"/><path d="M0 28V8a8 8 0 0 1 8-8H%da8 8 0 0 1 8 8V28Z" fill="%s"/>`+"\n", width, height, paper, width-8, frame)
	for i, colour := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="14" r="5" fill="%s"/>`, 18+18*i, colour)
	}
	b.WriteString("\n" + `<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="13" xml:space="preserve">` + "\n")
	for i, row := range s.rows {
		writeRow(&b, row, top+i*lineHeight+13)
	}
	b.WriteString("</g>\n</svg>\n")
	return b.Bytes()
}

func writeRow(b *bytes.Buffer, row []cell, y int) {
	for from := 0; from < len(row); {
		to := from
		for to < len(row) && row[to].colour == row[from].colour {
			to++
		}
		writeRun(b, row[from:to], from, y)
		from = to
	}
}

func writeRun(b *bytes.Buffer, run []cell, column, y int) {
	for len(run) > 0 && run[0].char == ' ' {
		run, column = run[1:], column+1
	}
	for len(run) > 0 && run[len(run)-1].char == ' ' {
		run = run[:len(run)-1]
	}
	if len(run) == 0 {
		return
	}
	var text strings.Builder
	for _, c := range run {
		text.WriteRune(c.char)
	}
	fmt.Fprintf(b, `<text x="%g" y="%d" textLength="%g" fill="%s">%s</text>`+"\n",
		margin+float64(column)*cellWidth, y, float64(len(run))*cellWidth, colourOf(run[0].colour), html.EscapeString(text.String()))
}
