package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// barRate is how often bars are drawn anew.
const barRate = 125 * time.Millisecond

// bars is the rendering for terminals. The library moves the cursor, redraws
// and follows the terminal's width; each bar's line is written here.
type bars struct {
	board *mpb.Progress
	style style

	mu   sync.Mutex
	open map[*Step]*mpb.Bar
}

func newBars(w io.Writer, colours bool) *bars {
	return &bars{
		board: mpb.New(mpb.WithOutput(w), mpb.WithRefreshRate(barRate), mpb.PopCompletedMode()),
		style: style{colours: colours},
		open:  map[*Step]*mpb.Bar{},
	}
}

func (b *bars) begin(s *Step) {
	bar := b.add(func(width int) string { return b.style.line(s.state(), width) })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[s] = bar
}

// add makes a line of its own out of what write gives for a width; nil once the
// board is closed.
func (b *bars) add(write func(width int) string) *mpb.Bar {
	fill := mpb.BarFillerFunc(func(w io.Writer, at decor.Statistics) error {
		_, err := io.WriteString(w, write(at.AvailableWidth))
		return err
	})
	// A total of 0 never completes by itself: end does that.
	bar, err := b.board.Add(0, fill, mpb.BarFillerTrim())
	if err != nil {
		return nil // after close
	}
	return bar
}

func (b *bars) changed(*Step) {} // the next redraw asks

func (b *bars) end(s *Step) {
	b.mu.Lock()
	bar := b.open[s]
	delete(b.open, s)
	b.mu.Unlock()
	complete(bar)
}

// complete draws a line a last time; the lines below go on.
func complete(bar *mpb.Bar) {
	if bar == nil {
		return
	}
	bar.SetTotal(-1, true)
	bar.Wait()
}

func (b *bars) note(text string) {
	width := 80
	for _, row := range wrap(text, width) {
		complete(b.add(func(width int) string { return fit(row, width) }))
	}
}

func (b *bars) close() {
	b.mu.Lock()
	left := b.open
	b.open = map[*Step]*mpb.Bar{}
	b.mu.Unlock()
	for _, bar := range left {
		if bar != nil {
			bar.Abort(true)
		}
	}
	b.board.Wait()
}

// style writes steps as lines.
type style struct{ colours bool }

// The columns of a line. What does not fit is left out in this order: the bar,
// the end of the words.
const (
	nameColumns = 10
	barColumns  = 24
	timeColumns = 11
)

const (
	green = "32"
	red   = "31"
	cyan  = "36"
	faint = "2"
)

func (y style) paint(colour, text string) string {
	if !y.colours || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// line is a step in at most width columns.
func (y style) line(st state, width int) string {
	mark, colour := y.mark(st)
	left := fit(pad(st.Name, nameColumns), width-2)
	used := 2 + utf8.RuneCountInString(left)
	out := y.paint(colour, mark) + " " + left
	clock := fmt.Sprintf("%*s", timeColumns, Seconds(st.elapsed))
	room := width - used - 1 - timeColumns
	if room < 1 {
		return out
	}
	out += " "
	words := st.words()
	if st.phase == running && room >= barColumns+1+utf8.RuneCountInString(words) {
		out += y.bar(st) + " "
		room -= barColumns + 1
	}
	words = fit(words, room)
	return out + pad(words, room) + y.paint(faint, clock)
}

func (y style) mark(st state) (mark, colour string) {
	switch st.phase {
	case done:
		return "✓", green
	case failed:
		return "✗", red
	}
	frames := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"}
	return frames[int(st.elapsed/barRate)%len(frames)], cyan
}

// bar is a filled line where the total is known, and else a piece that runs.
func (y style) bar(st state) string {
	full, from := 0, 0
	switch {
	case st.Total > 0:
		full = int(min(st.Done, st.Total) * barColumns / st.Total)
	default:
		const piece = 6
		full, from = piece, int(st.elapsed/barRate)%(barColumns-piece+1)
	}
	return y.paint(faint, strings.Repeat("─", from)) +
		y.paint(cyan, strings.Repeat("━", full)) +
		y.paint(faint, strings.Repeat("─", barColumns-from-full))
}
