package logs

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// TestCut: what is printed, piece by piece, and what becomes events. A piece is
// read a tenth of a second after the one before; "…" waits for silence.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces []string
		want   []string
	}{
		{"lines", []string{"a\nb\n"}, []string{"a", "b"}},
		{"a line in pieces", []string{"a", "b", "c\nd", "\n"}, []string{"abc", "d"}},
		{"no end", []string{"a\nwait", "…"}, []string{"a", "wait"}},
		{"goes on after a silence", []string{"wait", "…", "ed\n"}, []string{"wait", "ed"}},
		{"no empty events", []string{"\n\na\n\n", "…"}, []string{"a"}},
		{"spaces are a line", []string{"  \na\n"}, []string{"  ", "a"}},
		{"ends of Windows", []string{"a\r\nb\r", "\nc\r\n"}, []string{"a", "b", "c"}},
		{"a bar", []string{"\r 1%", "\r 2%", "\r 3%\ndone\n"}, []string{" 1%", " 3%", "done"}},
		{"a bar whose states end", []string{"1%\r", "2%\r", "3%\r\ndone\n"}, []string{"1%", "3%", "done"}},
		{"a bar in one piece", []string{"\r1%\r2%\r3%\r4%\n"}, []string{"1%", "4%"}},
		{"a bar that stands still", []string{"\r1%", "\r2%", "\r3%", "…", "\r4%\n"}, []string{"1%", "3%", "4%"}},
		{"a bar wiped out", []string{"\r1%", "\r2%", "\r    \r", "done\n"}, []string{"1%", "done"}},
		{"a bar wiped out by an empty line", []string{"\r1%\r2%\r    \r\n"}, []string{"1%", "2%"}},
		{"a bar once a second", append([]string{"\r0"}, strings.Split(strings.Repeat("\rx,", 24)+"\n", ",")...), []string{"0", "x", "x", "x"}},
		{"not UTF-8", []string{"a\xff\xfeb\n", "\xe4\xb8", "\xad\n"}, []string{"a\uFFFDb", "中"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var cut cutter
			var data []byte
			var got []string
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for _, piece := range c.pieces {
				all := piece == "…"
				if !all {
					data = append(data, piece...)
				}
				now = now.Add(100 * time.Millisecond)
				events, used := cut.cut(data, now, all)
				got, data = append(got, events...), data[used:]
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// A long line is several events, none of which ends within a rune.
func TestLongLine(t *testing.T) {
	text := strings.Repeat("中文 and so on, ", 60_000)
	var cut cutter
	events, used := cut.cut([]byte(text+"\n"), time.Now(), false)
	if used != len(text)+1 || len(events) < 2 {
		t.Fatalf("%d events of %d bytes", len(events), used)
	}
	for _, e := range events {
		if len(e) > maxLine || !utf8.ValidString(e) {
			t.Errorf("an event has %d bytes, valid: %v", len(e), utf8.ValidString(e))
		}
	}
	if strings.Join(events, "") != text {
		t.Error("the events are not the line")
	}
	// Without an end it is cut as well: it could go on for ever.
	events, used = (&cutter{}).cut([]byte(text), time.Now(), false)
	if len(events) == 0 || len(text)-used > maxLine {
		t.Errorf("%d bytes of a line without an end are left, after %d events", len(text)-used, len(events))
	}
}

// FuzzCut: however the bytes arrive, no line that ends in \n is lost or doubled,
// and progress is made.
func FuzzCut(f *testing.F) {
	f.Add([]byte("a\nb\r\nc\rd\n\n \re"), byte(3))
	f.Add([]byte("\r1%\r2%\n"), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, step byte) {
		var want []string // the last state of each line
		for line := range bytes.SplitSeq(bytes.TrimRight(data, "\r"), []byte("\n")) {
			states := bytes.Split(line, []byte("\r"))
			last := states[len(states)-1]
			for i := len(states) - 1; i >= 0 && len(bytes.TrimSpace(last)) == 0; i-- {
				if len(bytes.TrimSpace(states[i])) > 0 {
					last = states[i]
				}
			}
			if len(last) > 0 {
				want = append(want, strings.ToValidUTF8(string(last), "\uFFFD"))
			}
		}
		var cut cutter
		cut.drawn = time.Now().Add(time.Hour) // no states that are not the last
		var rest []byte
		var got []string
		for at := 0; at < len(data); at += int(step) + 1 {
			rest = append(rest, data[at:min(len(data), at+int(step)+1)]...)
			events, used := cut.cut(rest, time.Now(), false)
			got, rest = append(got, events...), rest[used:]
		}
		events, used := cut.cut(rest, time.Now(), true)
		if used != len(rest) {
			t.Errorf("%d of %d bytes are used at the end", used, len(rest))
		}
		got = append(got, events...)
		if d := cmp.Diff(fmt.Sprintf("%q", want), fmt.Sprintf("%q", got)); d != "" && !blankEnd(data) {
			t.Error(d)
		}
	})
}

// blankEnd tells whether data ends in a line of spaces without an end: at a
// silence that is no line.
func blankEnd(data []byte) bool {
	last := data[bytes.LastIndexByte(data, '\n')+1:]
	return len(last) > 0 && len(bytes.TrimSpace(last)) == 0
}
