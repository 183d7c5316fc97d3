package hpo

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// axis is a validated Param with its scale worked out. It maps between the
// text that a training job gets and a position: for a numeric parameter a
// number in [0, 1] along its scale, for a categorical one the value's index.
type axis struct {
	Param
	scale  Scaling // never Auto or empty
	lo, hi float64 // ends of the scaled range; an Integer's reach half a step beyond Min and Max
}

func newAxes(s Space) []axis {
	axes := make([]axis, len(s))
	for i, p := range s {
		axes[i] = newAxis(p)
	}
	return axes
}

func newAxis(p Param) axis {
	a := axis{Param: p, scale: p.Scaling}
	if a.scale == "" || a.scale == Auto {
		a.scale = Linear
		if p.Min > 0 && p.Max/p.Min >= autoLogRatio {
			a.scale = Logarithmic
		}
	}
	if p.Kind == Categorical {
		return a
	}
	// Each integer owns the half-open interval of what rounds to it, also under
	// a logarithm, so the first and the last get their full share.
	half := 0.0
	if p.Kind == Integer {
		half = 0.5
	}
	a.lo, a.hi = a.warp(p.Min-half), a.warp(p.Max+half)
	return a
}

// warp takes a value to the scale on which the parameter is searched.
func (a axis) warp(v float64) float64 {
	switch a.scale {
	case Logarithmic:
		return math.Log(v)
	case ReverseLogarithmic:
		return -math.Log1p(-v)
	}
	return v
}

func (a axis) unwarp(s float64) float64 {
	switch a.scale {
	case Logarithmic:
		return math.Exp(s)
	case ReverseLogarithmic:
		return -math.Expm1(-s)
	}
	return s
}

// count is the number of distinct values, +Inf for a continuous range.
func (a axis) count() float64 {
	switch {
	case a.Kind == Categorical:
		return float64(len(a.Values))
	case a.Min == a.Max:
		return 1
	case a.Kind == Integer:
		return a.Max - a.Min + 1
	}
	return math.Inf(1)
}

// fromUnit takes u in [0, 1) to a position; each category gets an equal share.
func (a axis) fromUnit(u float64) float64 {
	if a.Kind == Categorical {
		n := len(a.Values)
		return float64(min(int(u*float64(n)), n-1))
	}
	return a.position(a.value(u))
}

// snap moves a position to that of the nearest value that exists.
func (a axis) snap(pos float64) float64 {
	switch a.Kind {
	case Integer:
		return a.position(a.value(pos))
	case Categorical:
		return math.Round(max(0, min(pos, float64(len(a.Values)-1))))
	}
	return max(0, min(pos, 1))
}

// step moves an integer's position by delta whole numbers, staying in range.
func (a axis) step(pos, delta float64) float64 {
	return a.position(max(a.Min, min(a.Max, a.value(pos)+delta)))
}

// value is the number at a position of a numeric parameter.
func (a axis) value(pos float64) float64 {
	v := a.unwarp(a.lo + max(0, min(pos, 1))*(a.hi-a.lo))
	if a.Kind == Integer {
		v = math.Round(v)
	}
	return max(a.Min, min(a.Max, v))
}

// position is where a number lies; outside [0, 1] when it is out of range.
func (a axis) position(v float64) float64 {
	if a.hi == a.lo {
		return 0
	}
	return (a.warp(v) - a.lo) / (a.hi - a.lo)
}

// format is the text that a training job gets.
func (a axis) format(pos float64) string {
	switch a.Kind {
	case Categorical:
		return a.Values[int(pos)]
	case Integer:
		return strconv.FormatInt(int64(a.value(pos)), 10)
	}
	return formatFloat(a.value(pos))
}

// parse reads what format wrote, or what a user's warm start holds.
func (a axis) parse(text string) (float64, error) {
	if a.Kind == Categorical {
		if i := slices.Index(a.Values, text); i >= 0 {
			return float64(i), nil
		}
		return 0, fmt.Errorf("hyperparameter %q: %q is not one of its values", a.Name, text)
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("hyperparameter %q: %q is not a number", a.Name, text)
	}
	if !(v >= a.Min && v <= a.Max) {
		return 0, fmt.Errorf("hyperparameter %q: %s is outside %s … %s",
			a.Name, text, formatFloat(a.Min), formatFloat(a.Max))
	}
	if a.Kind == Integer && v != math.Trunc(v) {
		return 0, fmt.Errorf("hyperparameter %q: %s is not a whole number", a.Name, text)
	}
	return a.position(v), nil
}

// format gives the values of a point (one position per axis) by name.
func format(axes []axis, point []float64) map[string]string {
	values := make(map[string]string, len(axes))
	for i, a := range axes {
		values[a.Name] = a.format(point[i])
	}
	return values
}

// parse is the inverse of format. Values beyond the space's names are ignored:
// a training job also gets static hyperparameters.
func parse(axes []axis, values map[string]string) ([]float64, error) {
	point := make([]float64, len(axes))
	for i, a := range axes {
		text, ok := values[a.Name]
		if !ok {
			return nil, fmt.Errorf("hyperparameter %q has no value", a.Name)
		}
		pos, err := a.parse(text)
		if err != nil {
			return nil, err
		}
		point[i] = pos
	}
	return point, nil
}

// key names a point: equal keys mean that the training job gets equal text.
func key(axes []axis, point []float64) string {
	var b []byte
	for i, a := range axes {
		b = append(b, a.format(point[i])...)
		b = append(b, 0)
	}
	return string(b)
}

// nth is the position of value number k of an axis with finitely many.
func (a axis) nth(k int) float64 {
	if a.Kind == Categorical {
		return float64(k)
	}
	return a.position(a.Min + float64(k))
}
