package cloudwatch

import (
	"math"
	"slices"
)

// summary is what is kept of the values of one period. The zero summary is of
// none.
type summary struct {
	Count float64 `json:"n"`
	Sum   float64 `json:"s"`
	Min   float64 `json:"l"`
	Max   float64 `json:"g"`
	// Values are the different values, ascending; none are listed where all are
	// the same one.
	Values []counted `json:"v,omitempty"`
	// Width is how far apart values may be that count as the same: 0.02 is two
	// percent.
	Width float64 `json:"w,omitempty"`
	// Opaque says that which values there were is not known, or, as some are
	// negative, not asked for: percentiles are not to be had.
	Opaque bool `json:"o,omitempty"`
}

// counted is a value and how often it came.
type counted [2]float64

const (
	maxValues  = 256
	firstWidth = 0.01
)

// of summarises one value that came count times.
func of(value, count float64) summary {
	return summary{Count: count, Sum: value * count, Min: value, Max: value, Opaque: value < 0}
}

// ofSet is a statistic set. Its values are known if all are the same.
func ofSet(s *StatisticSet) summary {
	if s.Minimum == s.Maximum && s.Sum == s.Minimum*s.SampleCount {
		return of(s.Minimum, s.SampleCount)
	}
	return summary{Count: s.SampleCount, Sum: s.Sum, Min: s.Minimum, Max: s.Maximum, Opaque: true}
}

// add takes in another summary, and leaves that one as it is.
func (s *summary) add(o summary) {
	if s.Count == 0 {
		*s = o
		s.Values = slices.Clone(o.Values)
		return
	}
	values := merged(s.values(), o.values())
	s.Count += o.Count
	s.Sum += o.Sum
	s.Min, s.Max = min(s.Min, o.Min), max(s.Max, o.Max)
	s.Width, s.Opaque = max(s.Width, o.Width), s.Opaque || o.Opaque
	s.Values = nil
	if s.Opaque || s.Min == s.Max {
		return
	}
	if s.Width > 0 {
		values = binned(values, s.Width)
	}
	for len(values) > maxValues {
		s.Width = max(firstWidth, 2*s.Width)
		values = binned(values, s.Width)
	}
	s.Values = values
}

// values are the different values, whichever way they are kept.
func (s *summary) values() []counted {
	switch {
	case s.Opaque:
		return nil
	case s.Values == nil:
		return []counted{{s.Min, s.Count}}
	}
	return s.Values
}

// merged is both lists as one, ascending.
func merged(a, b []counted) []counted {
	out := make([]counted, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0][0] < b[0][0]:
			out, a = append(out, a[0]), a[1:]
		case a[0][0] > b[0][0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, counted{a[0][0], a[0][1] + b[0][1]})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// binned makes one of the values that lie in the same bin: their mean. A bin is
// as wide as the share given of what is in it, and zero has its own.
func binned(values []counted, width float64) []counted {
	bin := func(v float64) float64 {
		if v == 0 {
			return math.Inf(-1)
		}
		return math.Floor(math.Log(v) / math.Log1p(width))
	}
	var out []counted
	for i, v := range values {
		if i > 0 && bin(v[0]) == bin(values[i-1][0]) {
			last := &out[len(out)-1]
			n := last[1] + v[1]
			*last = counted{last[0] + (v[0]-last[0])*v[1]/n, n}
			continue
		}
		out = append(out, v)
	}
	return out
}

// percentile is the least value that p percent of the values do not exceed. It
// is not to be had of an opaque summary.
func (s *summary) percentile(p float64) (float64, bool) {
	if s.Opaque || s.Count == 0 {
		return 0, false
	}
	rank, seen := p/100*s.Count, 0.0
	for _, v := range s.values() {
		if seen += v[1]; seen >= rank {
			return v[0], true
		}
	}
	return s.Max, true
}
