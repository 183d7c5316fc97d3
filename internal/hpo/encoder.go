package hpo

import (
	"math"
	"strconv"
	"strings"

	"github.com/musher/musher/internal/hpo/internal/gp"
)

// encoder turns a point of the space (a position per axis) into the
// coordinates by which the Gaussian process compares points. In this order:
//
//	real     the position of each numeric axis
//	real     the place of the category, for each categorical axis whose values are numbers
//	nominal  the category itself, for each categorical axis
//
// So a batch size given as categories "16", "32", "64" … can be near or far as a
// number and still be a thing of its own: the lengthscales decide.
type encoder struct {
	shape    gp.Shape
	numeric  []int // axes, in the order of the real coordinates
	embedded []embedding
	nominal  []int // axes, in the order of the nominal coordinates
}

type embedding struct {
	axis   int
	places []float64 // per category, in [0, 1]
}

func newEncoder(axes []axis) encoder {
	var e encoder
	for i, a := range axes {
		if a.Kind != Categorical {
			e.numeric = append(e.numeric, i)
			continue
		}
		e.nominal = append(e.nominal, i)
		if places := numberLine(a.Values); places != nil {
			e.embedded = append(e.embedded, embedding{i, places})
		}
	}
	e.shape = gp.Shape{Real: len(e.numeric) + len(e.embedded), Nominal: len(e.nominal)}
	return e
}

// geometricRatio is the largest over the smallest number from which categories
// are placed by their logarithm.
const geometricRatio = 8

// numberLine places three or more categories that are all finite numbers on
// [0, 1]; it is nil for others. Some clients send a number as JSON text, so
// quotes around it do not count.
func numberLine(values []string) []float64 {
	if len(values) < 3 {
		return nil
	}
	line := Param{Kind: Continuous, Min: math.Inf(1), Max: math.Inf(-1), Scaling: Linear}
	places := make([]float64, len(values))
	for i, text := range values {
		v, err := strconv.ParseFloat(strings.Trim(text, `"`), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		places[i], line.Min, line.Max = v, min(line.Min, v), max(line.Max, v)
	}
	if line.Min > 0 && line.Max/line.Min >= geometricRatio {
		line.Scaling = Logarithmic
	}
	a := newAxis(line)
	for i, v := range places {
		places[i] = a.position(v)
	}
	return places
}

// encode writes the coordinates of a point into x, which has shape.Dim() elements.
func (e encoder) encode(point, x []float64) {
	for _, i := range e.numeric {
		x[0], x = point[i], x[1:]
	}
	for _, m := range e.embedded {
		x[0], x = m.places[int(point[m.axis])], x[1:]
	}
	for _, i := range e.nominal {
		x[0], x = point[i], x[1:]
	}
}

// encodeAll returns the coordinates of several points, row after row.
func (e encoder) encodeAll(points [][]float64) []float64 {
	d := e.shape.Dim()
	x := make([]float64, len(points)*d)
	for i, p := range points {
		e.encode(p, x[i*d:i*d+d])
	}
	return x
}
