package cloudwatch

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func all(values ...float64) summary {
	var s summary
	for _, v := range values {
		s.add(of(v, 1))
	}
	return s
}

func TestSummary(t *testing.T) {
	s := all(4, 1, 3, 1)
	want := summary{Count: 4, Sum: 9, Min: 1, Max: 4, Values: []counted{{1, 2}, {3, 1}, {4, 1}}}
	if d := cmp.Diff(want, s); d != "" {
		t.Error(d)
	}
	for p, want := range map[float64]float64{0: 1, 25: 1, 50: 1, 50.1: 3, 75: 3, 75.1: 4, 99: 4, 100: 4} {
		if got, ok := s.percentile(p); !ok || got != want {
			t.Errorf("p%v is %v, want %v", p, got, want)
		}
	}
	same := all(7, 7, 7)
	if same.Values != nil || same.Count != 3 || same.Sum != 21 {
		t.Errorf("three sevens are %+v", same)
	}
	if got, ok := same.percentile(50); !ok || got != 7 {
		t.Errorf("the median of sevens is %v, %v", got, ok)
	}
}

// What is added must not be changed by what is added later.
func TestSummariesAreApart(t *testing.T) {
	a := all(1, 2, 3)
	var total summary
	total.add(a)
	total.add(all(1, 2, 5))
	if d := cmp.Diff(all(1, 2, 3), a); d != "" {
		t.Error(d)
	}
}

func TestStatisticSets(t *testing.T) {
	known := ofSet(&StatisticSet{SampleCount: 3, Sum: 6, Minimum: 2, Maximum: 2})
	if got, ok := known.percentile(90); !ok || got != 2 {
		t.Errorf("a set of equal values: p90 is %v, %v", got, ok)
	}
	known.add(ofSet(&StatisticSet{SampleCount: 2, Sum: 5, Minimum: 1, Maximum: 4}))
	if _, ok := known.percentile(90); ok || known.Count != 5 || known.Sum != 11 || known.Min != 1 || known.Max != 4 {
		t.Errorf("with a set of different values: %+v", known)
	}
	known.add(of(3, 1))
	if _, ok := known.percentile(90); ok {
		t.Error("a percentile of values of which some are unknown")
	}
	negative := all(-1, 2)
	if _, ok := negative.percentile(50); ok || negative.Sum != 1 || negative.Min != -1 {
		t.Errorf("a percentile of negative values: %+v", negative)
	}
}

// However the values come, sums are right, percentiles nearly so, and the rows
// stay small.
func TestManyValues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for what, draw := range map[string]func() float64{
		"few":         func() float64 { return float64(r.IntN(50)) },
		"uniform":     r.Float64,
		"latencies":   func() float64 { return math.Exp(r.NormFloat64()*2 + 5) },
		"many orders": func() float64 { return math.Pow(10, 12*r.Float64()-6) },
	} {
		values := make([]float64, 5000)
		parts := make([]summary, 7)
		for i := range values {
			values[i] = draw()
			parts[i%len(parts)].add(of(values[i], 1))
		}
		var s summary
		for _, p := range parts {
			raw, err := json.Marshal(p)
			var back summary
			if err != nil || json.Unmarshal(raw, &back) != nil {
				t.Fatal(err)
			}
			s.add(back)
		}
		slices.Sort(values)
		if s.Count != 5000 || s.Min != values[0] || s.Max != values[len(values)-1] || len(s.Values) > maxValues {
			t.Errorf("%s: %v values from %v to %v in %d", what, s.Count, s.Min, s.Max, len(s.Values))
		}
		for _, p := range []float64{1, 25, 50, 90, 99, 99.9} {
			want := values[max(0, int(math.Ceil(p/100*5000))-1)]
			got, ok := s.percentile(p)
			if off := math.Abs(got-want) / max(want, 1e-300); !ok || off > max(s.Width, 1e-12) {
				t.Errorf("%s: p%v is %v, not %v: off by %.3f at a width of %v", what, p, got, want, off, s.Width)
			}
		}
	}
}
