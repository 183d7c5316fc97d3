package head

import (
	"fmt"
	"math"
	"slices"

	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/onnx/ort"
)

// Head is a trained classifier. It takes features as the backbone gives them.
type Head struct {
	n network
	// The parameters, in the order of network.params, row by row.
	params [][]float32
}

// Dim is the number of features, Classes the number of classes, Hidden the
// number of hidden units (0: none).
func (h *Head) Dim() int     { return h.n.dim }
func (h *Head) Classes() int { return h.n.classes }
func (h *Head) Hidden() int  { return h.n.hidden }

// Graph is the head as a model of its own: input "features" [N, dim], output
// "log_probabilities" [N, classes]. It refers to the head's parameters.
func (h *Head) Graph(opset int64) *graph.Graph {
	g := graph.New("head", opset)
	x := g.Input("features", graph.Float, "N", h.n.dim)
	var params []graph.Value
	for i, p := range h.n.params() {
		params = append(params, g.Const(p.name, p.dims, h.params[i]))
	}
	logits, _ := h.n.forward(g, x, params, "")
	g.Output("log_probabilities", g.Op("LogSoftmax", graph.Attrs{"axis": -1}, logits), graph.Float, "N", h.n.classes)
	return g
}

// LogProbabilities scores one feature vector in Go: slow, and independent of
// ONNX Runtime, to check a finished model against.
func (h *Head) LogProbabilities(features []float32) []float64 {
	x := make([]float64, len(features))
	for i, v := range features {
		x[i] = float64(v)
	}
	for layer := 0; layer < len(h.params); layer += 2 {
		if layer > 0 {
			for i := range x {
				x[i] = max(x[i], 0)
			}
		}
		x = affine(x, h.params[layer], h.params[layer+1])
	}
	top, sum := slices.Max(x), 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	for i := range x {
		x[i] -= top + math.Log(sum)
	}
	return x
}

// affine is x·w + b.
func affine(x []float64, w, b []float32) []float64 {
	y := make([]float64, len(b))
	for j := range y {
		y[j] = float64(b[j])
	}
	for i, v := range x {
		for j, wij := range w[i*len(b) : (i+1)*len(b)] {
			y[j] += v * float64(wij)
		}
	}
	return y
}

// fold makes a head that takes raw features of parameters that were trained on
// standardised ones: with z = (x − mean)·scale, z·w + b = x·w' + b' where
// w' = scale·w and b' = b − (mean·scale)·w.
func fold(n network, params [][]float32, s *standardizer) *Head {
	h := &Head{n: n}
	for _, p := range params {
		h.params = append(h.params, slices.Clone(p))
	}
	w, b := h.params[0], h.params[1]
	shift := make([]float64, len(b))
	for i := range n.dim {
		row := w[i*len(b) : (i+1)*len(b)]
		for j := range row {
			folded := row[j] * s.scale[i]
			shift[j] += float64(s.mean[i]) * float64(folded)
			row[j] = folded
		}
	}
	for j := range b {
		b[j] = float32(float64(b[j]) - shift[j])
	}
	return h
}

// Score is how well a head does on data.
type Score struct {
	Loss, Accuracy, TopK float64
}

// Evaluate scores a head: mean cross-entropy, accuracy, and accuracy among the
// k likeliest classes (0 where k is 0).
func (h *Head) Evaluate(lib *ort.Library, d Data, k int) (Score, error) {
	if err := d.check(h.n.classes); err != nil {
		return Score{}, fmt.Errorf("evaluate: %w", err)
	}
	s, err := newScorer(lib, h.n)
	if err != nil {
		return Score{}, err
	}
	defer s.close()
	return s.score(identity(h.n.dim), d, h.params, k)
}

// standardizer shifts and scales features.
type standardizer struct{ mean, scale []float32 }

func identity(dim int) *standardizer {
	s := &standardizer{make([]float32, dim), make([]float32, dim)}
	for i := range s.scale {
		s.scale[i] = 1
	}
	return s
}

// scale learns the one number that brings the training data's mean square to 1.
func scale(rows [][]float32) *standardizer {
	squares := 0.0
	for _, row := range rows {
		for _, v := range row {
			squares += float64(v) * float64(v)
		}
	}
	s := identity(len(rows[0]))
	if rms := math.Sqrt(squares / float64(len(rows)*len(rows[0]))); rms > 0 {
		for i := range s.scale {
			s.scale[i] = float32(1 / rms)
		}
	}
	return s
}

// standardize learns each feature's mean and deviation. A feature that never
// changes, and so says nothing, is only shifted.
func standardize(rows [][]float32) *standardizer {
	mean, variance := moments(rows)
	s := identity(len(mean))
	for i := range s.mean {
		s.mean[i] = float32(mean[i])
		if dev := math.Sqrt(variance[i]); dev > 1e-6*max(math.Abs(mean[i]), 1e-6) {
			s.scale[i] = float32(1 / dev)
		}
	}
	return s
}

// moments gives each feature's mean and variance.
func moments(rows [][]float32) (mean, variance []float64) {
	mean, variance = make([]float64, len(rows[0])), make([]float64, len(rows[0]))
	n := float64(len(rows))
	for _, row := range rows {
		for i, v := range row {
			mean[i] += float64(v) / n
		}
	}
	for _, row := range rows {
		for i, v := range row {
			d := float64(v) - mean[i]
			variance[i] += d * d / n
		}
	}
	return mean, variance
}

// apply writes the standardised row to dst.
func (s *standardizer) apply(dst, row []float32) {
	mean, scale := s.mean[:len(row)], s.scale[:len(row)]
	dst = dst[:len(row)]
	for i, v := range row {
		dst[i] = (v - mean[i]) * scale[i]
	}
}
