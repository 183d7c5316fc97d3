package training

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// Every value counts once, in the order of the log: also where two definitions
// of one name match the same line, and where what matches is no number.
func TestSeries(t *testing.T) {
	defs, err := definitions([]*sagemaker.MetricDefinition{
		{Name: "validation:loss", Regex: `validation:loss=([0-9.]+)`}, // as the built-in one
		{Name: "loss", Regex: `loss: (\S+)`},
		{Name: "never", Regex: `never (\d)`},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	log := "starting\n\nvalidation:loss=0.5\r\nloss: nan\nloss: 3\rloss: 2\nvalidation:loss=0.25 loss: 1\nloss: inf\nvalidation:loss=0.125"
	path := filepath.Join(t.TempDir(), "log")
	tl := readerOf(defs, path)
	if err := os.WriteFile(path, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tl.read(time.Now(), true); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		metric string
		values []float64
		lines  int
	}{
		{"validation:loss", []float64{0.5, 0.25, 0.125}, 3},
		{"loss", []float64{3, 2, 1}, 5},
		{"never", nil, 0},
	} {
		r, lines := tl.series.of(c.metric)
		if !slices.Equal(r.values, c.values) || r.lines != c.lines || lines != 8 {
			t.Errorf("%s has the values %v in %d of %d lines, want %v in %d of 8", c.metric, r.values, r.lines, lines, c.values, c.lines)
		}
	}
}

func TestSeriesIsBounded(t *testing.T) {
	var s series
	for i := range maxReports + 5 {
		s.line([]byte("x"))
		s.saw("m", fmt.Append(nil, i))
	}
	if r, _ := s.of("m"); len(r.values) != maxReports || r.values[maxReports-1] != maxReports-1 {
		t.Errorf("%d values are kept, the last is %v", len(r.values), r.values[len(r.values)-1])
	}
}
