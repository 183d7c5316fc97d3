package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// story is a run of a few steps, told the same way to each rendering.
func story(r *Reporter) {
	upload := r.Step("upload")
	upload.Total(460, "photos")
	for range 460 {
		upload.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
	upload.Done("460 photos, 9.5 MB")
	r.Note("The photos of %d breeds are there.", 10)
	fetch := r.Step("weights")
	fetch.Total(18826032, "bytes")
	fetch.Set(9400000)
	time.Sleep(3 * time.Second)
	fetch.Detail("from %s", "pip")
	fetch.Done("")
	fetch.Detail("too late")
	deploy := r.Step("endpoint")
	time.Sleep(time.Minute + 50*time.Second)
	deploy.Fail(errors.New("no instance answers"))
	deploy.Done("twice")
	r.Close()
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		story(New(&out, Options{}))
		want := `upload: 101/460 photos
upload: 351/460 photos
upload: 460 photos, 9.5 MB (9.2 s)
The photos of 10 breeds are there.
weights: 9.4 MB of 19 MB, from pip
weights: done (3.0 s)
endpoint: failed after 1 min 50 s: no instance answers
`
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Error(d)
		}
	})
}

func TestObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		story(New(&out, Options{JSON: true}))
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			var o object
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if o.Time.IsZero() {
				t.Errorf("%s: no time", line)
			}
			if o.Phase == running && o.Done > 30 && o.Step == "upload" {
				continue // one every 250 ms
			}
			got = append(got, regexp.MustCompile(`"time":"[^"]*",`).ReplaceAllString(line, ""))
		}
		want := []string{
			`{"step":"upload","phase":"running"}`,
			`{"step":"upload","phase":"running","done":14,"total":460,"unit":"photos","seconds":0.26}`,
			`{"step":"upload","phase":"running","done":27,"total":460,"unit":"photos","seconds":0.52}`,
			`{"step":"upload","phase":"done","done":460,"total":460,"unit":"photos","detail":"460 photos, 9.5 MB","seconds":9.2}`,
			`{"note":"The photos of 10 breeds are there."}`,
			`{"step":"weights","phase":"running"}`,
			`{"step":"weights","phase":"running","done":9400000,"total":18826032,"unit":"bytes","detail":"from pip","seconds":3}`,
			`{"step":"weights","phase":"done","done":9400000,"total":18826032,"unit":"bytes","seconds":3}`,
			`{"step":"endpoint","phase":"running"}`,
			`{"step":"endpoint","phase":"failed","detail":"no instance answers","seconds":110}`,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

func TestBarLines(t *testing.T) {
	half := state{Name: "upload", Unit: "photos", Done: 230, Total: 460, Detail: "4.7 MB", phase: running, elapsed: 1250 * time.Millisecond}
	unknown := state{Name: "endpoint", Detail: "Creating", phase: running, elapsed: 300 * time.Millisecond}
	over := state{Name: "trials", Unit: "", Done: 14, Total: 12, phase: running}
	cases := []struct {
		name  string
		st    state
		width int
		want  string
	}{
		{"wide", half, 80, "⠹ upload     ━━━━━━━━━━━━──────────── 230/460 photos, 4.7 MB               1.2 s"},
		{"no room for the bar", half, 52, "⠹ upload     230/460 photos, 4.7 MB            1.2 s"},
		{"no room for all words", half, 40, "⠹ upload     230/460 photos,…      1.2 s"},
		{"no room at all", half, 20, "⠹ upload    "},
		{"one column", half, 3, "⠹ …"},
		{"total not known", unknown, 70, "⠹ endpoint   ──━━━━━━──────────────── Creating                   0.3 s"},
		{"more than all", over, 64, "⠋ trials     ━━━━━━━━━━━━━━━━━━━━━━━━ 14/12                0.0 s"},
		{"done", state{Name: "upload", Done: 4, Total: 4, Detail: "4 photos", phase: done, elapsed: 2 * time.Minute}, 60, "✓ upload     4 photos                             2 min 00 s"},
		{"failed", state{Name: "a long name", Detail: "no", phase: failed}, 60, "✗ a long name no                                       0.0 s"},
	}
	for _, c := range cases {
		got := style{}.line(c.st, c.width)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if n := utf8.RuneCountInString(got); n > c.width {
			t.Errorf("%s: %d columns of %d", c.name, n, c.width)
		}
		plain := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(style{colours: true}.line(c.st, c.width), "")
		if plain != got {
			t.Errorf("%s: colours change the text: %q", c.name, plain)
		}
	}
}

// The library that draws the bars writes to a terminal only; elsewhere it may
// not hang, whatever the order of ends.
func TestBarsEnd(t *testing.T) {
	b := newBars(&bytes.Buffer{}, false)
	r := &Reporter{to: b}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s := r.Step("step")
			s.Total(2, "")
			s.Add(1)
			s.Done("well")
			r.Note("a note")
		})
	}
	r.Step("never ends")
	all.Wait()
	r.Close()
	r.Close()
	r.Step("late").Done("")
	r.Note("late")
}

func TestText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9951: "10 kB", 999499: "999 kB", 999500: "1.0 MB", 1132023110: "1.1 GB", 3e15: "3000 TB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0.0 s", 940 * time.Millisecond: "0.9 s", 12400 * time.Millisecond: "12 s", 99600 * time.Millisecond: "1 min 40 s", time.Hour: "60 min 00 s"} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%s) = %s, want %s", d, got, want)
		}
	}
	if d := cmp.Diff([]string{"the quick", "brown", "extraordinary", "fox"}, wrap("the quick brown extraordinary fox", 10)); d != "" {
		t.Error(d)
	}
}

func TestColoured(t *testing.T) {
	if Coloured(&bytes.Buffer{}, func(string) string { return "" }) {
		t.Error("a buffer is no terminal")
	}
}
