package logs

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxLine is the longest line that stays one event.
	maxLine = 256<<10 - perEvent
	// redrawEvery is how often a line that is drawn again and again, as a
	// progress bar is, gives an event before it is done.
	redrawEvery = time.Second
)

// cutter makes events of what a process prints. A carriage return ends a state
// of a line that is about to be drawn again; only some of these states, and
// always the last one, become events.
type cutter struct {
	drawn time.Time // when a state became an event that was not the last one
}

// cutting is one use of a cutter.
type cutting struct {
	*cutter
	now    time.Time
	events []string

	held   []byte // a state that may be the last one of its line; nil: none
	heldAt int    // where it begins
}

// cut makes events of the lines at the start of data, and tells how many bytes
// it used. What may still change stays: a line without an end, and the state
// drawn last. With all set it is taken too, since nothing more will come soon.
func (c *cutter) cut(data []byte, now time.Time, all bool) (events []string, used int) {
	k := &cutting{cutter: c, now: now}
	at := 0
	for {
		n := bytes.IndexAny(data[at:], "\r\n")
		if n > maxLine || n < 0 && len(data)-at > maxLine {
			piece := firstRunes(data[at:], maxLine)
			k.supersede()
			k.emit(piece)
			at += len(piece)
			continue
		}
		if n < 0 {
			break
		}
		k.line(data[at:at+n], at, data[at+n] == '\n')
		at += n + 1
	}
	switch {
	case all:
		k.line(data[at:], at, true)
		return k.events, len(data)
	case k.held != nil:
		return k.events, k.heldAt
	}
	return k.events, at
}

// line takes a line that is done, or a state of one that is drawn again.
func (k *cutting) line(text []byte, at int, done bool) {
	blank := len(bytes.TrimSpace(text)) == 0
	switch {
	case !blank && done:
		k.supersede()
		k.emit(text)
	case !blank:
		k.supersede()
		k.held, k.heldAt = text, at
	case done && k.held != nil: // a bar wiped out, or a line that ends in \r\n
		k.emit(k.held)
		k.held = nil
	case done && len(text) > 0: // the service knows no empty events
		k.emit(text)
	}
}

// supersede lets go of the held state: another one is drawn over it.
func (k *cutting) supersede() {
	if k.held != nil && k.now.Sub(k.drawn) >= redrawEvery {
		k.emit(k.held)
		k.drawn = k.now
	}
	k.held = nil
}

func (k *cutting) emit(text []byte) {
	k.events = append(k.events, strings.ToValidUTF8(string(text), "\uFFFD"))
}

// firstRunes cuts data after most bytes, or a little before, where a rune ends.
func firstRunes(data []byte, most int) []byte {
	for n := most; n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(data[n]) {
			return data[:n]
		}
	}
	return data[:most]
}
