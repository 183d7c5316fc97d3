package hpo

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	many := func(n int) (s Space) {
		for i := range n {
			s = append(s, Param{Name: fmt.Sprint("p", i), Kind: Continuous, Max: 1})
		}
		return s
	}
	values := func(n int) (v []string) {
		for i := range n {
			v = append(v, fmt.Sprint(i))
		}
		return v
	}
	tests := []struct {
		name  string
		space Space
		want  []string // parts of the message; none: valid
	}{
		{"one of each", Space{
			{Name: "a", Kind: Continuous, Min: 1e-4, Max: 1, Scaling: Logarithmic},
			{Name: "b", Kind: Integer, Min: -3, Max: 3},
			{Name: "c", Kind: Categorical, Values: []string{"x"}},
			{Name: "d", Kind: Continuous, Min: 0, Max: 0.999, Scaling: ReverseLogarithmic}}, nil},
		{"as many as allowed", many(30), nil},
		{"a single value", Space{{Name: "a", Kind: Continuous, Min: 2, Max: 2, Scaling: Logarithmic}}, nil},
		{"as many values as allowed", Space{{Name: "a", Kind: Categorical, Values: values(30)}}, nil},
		{"empty", nil, []string{"no hyperparameter"}},
		{"too many", many(31), []string{"31 hyperparameters", "at most 30"}},
		{"too many values", Space{{Name: "a", Kind: Categorical, Values: values(31)}}, []string{`"a"`, "31 values", "at most 30"}},
		{"no values", Space{{Name: "a", Kind: Categorical}}, []string{`"a"`, "at least 1 value"}},
		{"value twice", Space{{Name: "a", Kind: Categorical, Values: []string{"x", "y", "x"}}}, []string{`"a"`, `"x"`, "twice"}},
		{"name twice", append(many(2), many(1)...), []string{`"p0"`, "twice"}},
		{"no name", Space{{Kind: Continuous}}, []string{"hyperparameter 1", "no name"}},
		{"kind", Space{{Name: "a", Kind: "Float"}}, []string{`"a"`, `"Float"`}},
		{"scaling", Space{{Name: "a", Kind: Integer, Scaling: "Log"}}, []string{`"a"`, `"Log"`}},
		{"turned round", Space{{Name: "a", Kind: Continuous, Min: 2, Max: 1}}, []string{`"a"`, "MinValue 2", "MaxValue 1"}},
		{"log of zero", Space{{Name: "a", Kind: Continuous, Max: 1, Scaling: Logarithmic}}, []string{`"a"`, "> 0"}},
		{"reverse log of one", Space{{Name: "a", Kind: Continuous, Max: 1, Scaling: ReverseLogarithmic}}, []string{`"a"`, "< 1"}},
		{"reverse log below zero", Space{{Name: "a", Kind: Continuous, Min: -0.1, Max: 0.5, Scaling: ReverseLogarithmic}}, []string{`"a"`, "0 <="}},
		{"reverse log of integers", Space{{Name: "a", Kind: Integer, Scaling: ReverseLogarithmic}}, []string{`"a"`, "continuous"}},
		{"half an integer", Space{{Name: "a", Kind: Integer, Min: 0.5, Max: 2}}, []string{`"a"`, "0.5", "whole"}},
		{"infinite", Space{{Name: "a", Kind: Continuous, Max: math.Inf(1)}}, []string{`"a"`, "finite"}},
		{"wider than floats", Space{{Name: "a", Kind: Continuous, Min: -math.MaxFloat64, Max: math.MaxFloat64}}, []string{`"a"`, "too wide"}},
		{"every fault is told", Space{{Name: "a", Kind: "?"}, {Name: "b", Kind: Categorical}}, []string{`"a"`, `"b"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.space.Validate()
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("got no error, want one with %q", tt.want)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want %q in it", err, part)
				}
			}
		})
	}
}

func TestAxisFormat(t *testing.T) {
	tests := []struct {
		param Param
		u     float64 // of [0, 1)
		want  string
	}{
		{Param{Kind: Continuous, Min: 0, Max: 10, Scaling: Linear}, 0.25, "2.5"},
		{Param{Kind: Continuous, Min: 1e-4, Max: 1, Scaling: Linear}, 0, "0.0001"},
		{Param{Kind: Continuous, Min: 0.01, Max: 1, Scaling: Logarithmic}, 0.5, "0.1"},
		{Param{Kind: Continuous, Min: 0, Max: 0.99, Scaling: ReverseLogarithmic}, 0.5, "0.9"},
		{Param{Kind: Continuous, Min: 3, Max: 3}, 0.7, "3"},
		{Param{Kind: Integer, Min: 0, Max: 3, Scaling: Linear}, 0.24, "0"},
		{Param{Kind: Integer, Min: 0, Max: 3, Scaling: Linear}, 0.26, "1"},
		{Param{Kind: Integer, Min: 0, Max: 3, Scaling: Linear}, 0.999, "3"},
		{Param{Kind: Integer, Min: -2, Max: 2, Scaling: Linear}, 0.5, "0"},
		{Param{Kind: Integer, Min: 1, Max: 1024}, 0.9999, "1024"}, // Auto: logarithmic
		{Param{Kind: Integer, Min: 1, Max: 1024}, 0.5, "23"},      // √(½ · 1024½)
		{Param{Kind: Integer, Min: 1, Max: 1024}, 0.14, "1"},      // ln 3 / ln 2049 = 0.144
		{Param{Kind: Integer, Min: 1, Max: 1024}, 0.15, "2"},
		{Param{Kind: Integer, Min: 1 << 40, Max: 1 << 40}, 0, "1099511627776"},
		{Param{Kind: Categorical, Values: []string{"a", "b", "c"}}, 0.34, "b"},
		{Param{Kind: Categorical, Values: []string{"a", "b", "c"}}, 0.999999, "c"},
	}
	for _, tt := range tests {
		a := newAxis(tt.param)
		got := a.format(a.fromUnit(tt.u))
		if tt.param.Kind == Continuous { // the last digits are the logarithm's
			var g, w float64
			if _, err := fmt.Sscan(got+" "+tt.want, &g, &w); err != nil || math.Abs(g-w) > 1e-12 {
				t.Errorf("%+v at %v: got %s, want %s", tt.param, tt.u, got, tt.want)
			}
		} else if got != tt.want {
			t.Errorf("%+v at %v: got %s, want %s", tt.param, tt.u, got, tt.want)
		}
	}
}

// Each integer of a logarithmic range gets the share of the scale that rounds
// to it, the two ends included.
func TestIntegerShares(t *testing.T) {
	a := newAxis(Param{Kind: Integer, Min: 1, Max: 8, Scaling: Logarithmic})
	const n = 100000
	count := map[string]int{}
	for i := range n {
		count[a.format(a.fromUnit((float64(i)+0.5)/n))]++
	}
	for v := 1.0; v <= 8; v++ {
		want := math.Log((v+0.5)/(v-0.5)) / math.Log(8.5/0.5)
		if got := float64(count[formatFloat(v)]) / n; math.Abs(got-want) > 1e-4 {
			t.Errorf("%v: got a share of %.4f, want %.4f", v, got, want)
		}
	}
}

func TestAutoScaling(t *testing.T) {
	tests := []struct {
		min, max float64
		want     Scaling
	}{
		{1e-5, 1, Logarithmic}, {1, 100, Logarithmic}, {1, 99, Linear}, {0, 1000, Linear}, {-10, 1000, Linear}, {5, 5, Linear},
	}
	for _, tt := range tests {
		for _, s := range []Scaling{"", Auto} {
			if got := newAxis(Param{Kind: Continuous, Min: tt.min, Max: tt.max, Scaling: s}).scale; got != tt.want {
				t.Errorf("%v … %v %q: got %s, want %s", tt.min, tt.max, s, got, tt.want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	axes := newAxes(Space{{Name: "a", Kind: Integer, Min: 1, Max: 5}, {Name: "b", Kind: Categorical, Values: []string{"x"}}})
	tests := []struct {
		values map[string]string
		want   string
	}{
		{map[string]string{"b": "x"}, `"a" has no value`},
		{map[string]string{"a": "many", "b": "x"}, `"many" is not a number`},
		{map[string]string{"a": "6", "b": "x"}, "outside 1 … 5"},
		{map[string]string{"a": "1.5", "b": "x"}, "not a whole number"},
		{map[string]string{"a": "NaN", "b": "x"}, "outside"},
		{map[string]string{"a": "1", "b": "y"}, `"y" is not one of its values`},
	}
	for _, tt := range tests {
		if _, err := parse(axes, tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %q", tt.values, err, tt.want)
		}
	}
}

// FuzzSpace checks that a space is either refused with the parameter's name or
// can be searched: whatever position is asked for gives a text within the range
// that reads back as the same point.
func FuzzSpace(f *testing.F) {
	f.Add("Continuous", "Logarithmic", 1e-5, 1.0, "", 0.3)
	f.Add("Continuous", "ReverseLogarithmic", 0.0, 0.9999, "", 0.9)
	f.Add("Integer", "Auto", 1.0, 1e9, "", 0.999)
	f.Add("Integer", "Linear", -9007199254740992.0, 9007199254740992.0, "", 0.5)
	f.Add("Continuous", "Linear", -1e308, 1e308, "", 0.5)
	f.Add("Continuous", "Linear", 5e-324, 1e-323, "", 0.5)
	f.Add("Categorical", "", 0.0, 0.0, "a,b,c", 0.7)
	f.Fuzz(func(t *testing.T, kind, scaling string, lo, hi float64, values string, u float64) {
		space := Space{{Name: "the-name", Kind: Kind(kind), Scaling: Scaling(scaling), Min: lo, Max: hi, Values: strings.Split(values, ",")}}
		if err := space.Validate(); err != nil {
			if !strings.Contains(err.Error(), "the-name") {
				t.Fatalf("%q does not name the parameter", err)
			}
			return
		}
		if !(u >= 0 && u < 1) {
			return
		}
		axes := newAxes(space)
		a := axes[0]
		text := a.format(a.fromUnit(u))
		pos, err := a.parse(text)
		if err != nil {
			t.Fatalf("%+v at %v: %v", space[0], u, err)
		}
		if again := a.format(pos); a.Kind != Continuous && again != text {
			t.Fatalf("%+v at %v: %s reads back as %s", space[0], u, text, again)
		}
		if snapped := a.snap(pos); math.Abs(snapped-pos) > 1e-6 {
			t.Fatalf("%+v: position %v of %s is not its own: %v", space[0], pos, text, snapped)
		}
	})
}

func TestContains(t *testing.T) {
	space := Space{{Name: "x", Kind: Integer, Min: 1, Max: 4}, {Name: "y", Kind: Categorical, Values: []string{"a"}}}
	for _, c := range []struct {
		values map[string]string
		want   bool
	}{
		{map[string]string{"x": "4", "y": "a", "z": "more"}, true},
		{map[string]string{"x": "5", "y": "a"}, false},
		{map[string]string{"x": "4", "y": "b"}, false},
		{map[string]string{"x": "4"}, false},
		{nil, false},
	} {
		if space.Contains(c.values) != c.want {
			t.Errorf("%v: contained %v", c.values, !c.want)
		}
	}
}
