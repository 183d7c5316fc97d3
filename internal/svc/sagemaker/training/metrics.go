package training

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// builtinMetrics are what the built-in algorithm prints of itself.
var builtinMetrics = []string{"train:loss", "validation:loss", "validation:accuracy", "test:accuracy"}

// definition finds one metric in a line: the first group is the value.
type definition struct {
	name string
	re   *regexp.Regexp
}

// definitions compiles a job's metric definitions and adds the built-in
// algorithm's own.
func definitions(asked []*sagemaker.MetricDefinition) ([]definition, error) {
	var out []definition
	for _, name := range builtinMetrics {
		out = append(out, definition{name, regexp.MustCompile(regexp.QuoteMeta(name) + `=(\S+)`)})
	}
	for _, d := range asked {
		re, err := regexp.Compile(d.Regex)
		switch {
		case err != nil:
			return nil, fmt.Errorf("metric %q: the regular expression cannot be read: %w", d.Name, err)
		case re.NumSubexp() == 0:
			return nil, fmt.Errorf("metric %q: the regular expression %q has no group that would hold the value", d.Name, d.Regex)
		}
		out = append(out, definition{d.Name, re})
	}
	return out, nil
}

// tail reads a growing log and keeps the last value of each metric.
type tail struct {
	path   string
	defs   []definition
	offset int64
	rest   []byte // of a line that has no end yet
	last   map[string]Metric
	series series
}

// maxLine bounds what is kept of a line without an end.
const maxLine = 64 << 10

// read takes in what was written since the last call and tells whether a
// metric changed. With final set a last line without an end counts as well.
func (t *tail) read(now time.Time, final bool) (changed bool, err error) {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := f.ReadAt(buf, t.offset)
		t.offset += int64(n)
		changed = t.take(buf[:n], now) || changed
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return changed, err
		}
	}
	if final && len(t.rest) > 0 {
		changed = t.line(t.rest, now) || changed
		t.rest = nil
	}
	return changed, nil
}

func (t *tail) take(data []byte, now time.Time) (changed bool) {
	t.rest = append(t.rest, data...)
	for {
		end := bytes.IndexAny(t.rest, "\n\r")
		if end < 0 {
			break
		}
		changed = t.line(t.rest[:end], now) || changed
		t.rest = t.rest[end+1:]
	}
	if len(t.rest) > maxLine {
		t.rest = nil
	}
	return changed
}

func (t *tail) line(line []byte, now time.Time) (changed bool) {
	t.series.line(line)
	for _, d := range t.defs {
		found := d.re.FindSubmatch(line)
		if found == nil {
			continue
		}
		t.series.saw(d.name, found[1])
		v, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			continue // JSON has no such number, and the service drops them too
		}
		t.last[d.name] = Metric{Name: d.name, Value: v, Time: now}
		changed = true
	}
	return changed
}

// metrics lists the last values in the order of the definitions.
func (t *tail) metrics() []Metric {
	var out []Metric
	for _, d := range t.defs {
		if m, ok := t.last[d.name]; ok {
			out = append(out, m)
		}
	}
	return out
}
