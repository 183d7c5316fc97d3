package progress

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Size writes a number of bytes for people: 512 B, 9.5 MB.
func Size(n int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	for i, u := range units {
		v /= 1000
		if v < 999.5 || i == len(units)-1 {
			if v < 9.95 {
				return fmt.Sprintf("%.1f %s", v, u)
			}
			return fmt.Sprintf("%.0f %s", v, u)
		}
	}
	panic("unreachable")
}

// Seconds writes a duration for people: 0.4 s, 12 s, 3 min 20 s.
func Seconds(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 99.5:
		return fmt.Sprintf("%.0f s", s)
	default:
		d = d.Round(time.Second)
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	}
}

// count writes how much of a step is done: "120/460 photos", "3.1/9.5 MB".
func (s state) count() string {
	switch {
	case s.Unit == "bytes" && s.Total > 0:
		return Size(s.Done) + " of " + Size(s.Total)
	case s.Unit == "bytes" && s.Done > 0:
		return Size(s.Done)
	case s.Total > 0:
		return strings.TrimSpace(fmt.Sprintf("%d/%d %s", s.Done, s.Total, s.Unit))
	case s.Done > 0:
		return strings.TrimSpace(fmt.Sprintf("%d %s", s.Done, s.Unit))
	}
	return ""
}

// words is the count and the detail.
func (s state) words() string {
	count := s.count()
	if s.phase != running || count == "" {
		return s.Detail
	}
	if s.Detail == "" {
		return count
	}
	return count + ", " + s.Detail
}

// fit cuts text to a number of columns, with an ellipsis where it cuts.
func fit(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	if columns < 1 {
		return ""
	}
	return string([]rune(text)[:columns-1]) + "…"
}

// pad fills text up with blanks to a number of columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(text)))
}

// wrap breaks text at blanks into lines of at most so many columns; a word
// that is longer has a line of its own.
func wrap(text string, columns int) []string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		row := ""
		for _, word := range strings.Fields(line) {
			if row != "" && utf8.RuneCountInString(row)+1+utf8.RuneCountInString(word) > columns {
				lines = append(lines, row)
				row = ""
			}
			if row != "" {
				row += " "
			}
			row += word
		}
		lines = append(lines, row)
	}
	return lines
}
