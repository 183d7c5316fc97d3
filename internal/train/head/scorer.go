package head

import (
	"context"
	"fmt"
	"math"

	"github.com/musher/musher/internal/onnx/ort"
)

// scoreBatch is how many vectors are scored at once: enough for the matrix
// product, and little memory.
const scoreBatch = 256

// scorer computes losses and accuracies.
type scorer struct {
	n       network
	session *ort.Session
	x, logp []float32
}

func newScorer(lib *ort.Library, n network) (*scorer, error) {
	b, err := n.scoreGraph().Marshal()
	if err != nil {
		return nil, err
	}
	session, err := lib.NewSession(b, ort.Options{IntraThreads: 1, InterThreads: 1})
	if err != nil {
		return nil, fmt.Errorf("scoring graph: %w", err)
	}
	return &scorer{n, session, make([]float32, scoreBatch*n.dim), make([]float32, scoreBatch*n.classes)}, nil
}

func (s *scorer) close() { s.session.Close() }

// score runs the data through a head with the given parameters.
func (s *scorer) score(std *standardizer, d Data, params [][]float32, k int) (Score, error) {
	var sum Score
	for from := 0; from < len(d.Rows); from += scoreBatch {
		n := min(scoreBatch, len(d.Rows)-from)
		if err := s.run(std, d.Rows[from:from+n], params); err != nil {
			return Score{}, err
		}
		for i, label := range d.Labels[from : from+n] {
			sum.add(s.logp[i*s.n.classes:(i+1)*s.n.classes], label, k)
		}
	}
	total := float64(len(d.Rows))
	return Score{sum.Loss / total, sum.Accuracy / total, sum.TopK / total}, nil
}

func (s *scorer) run(std *standardizer, rows [][]float32, params [][]float32) error {
	n := len(rows)
	for i, row := range rows {
		std.apply(s.x[i*s.n.dim:], row)
	}
	in := []ort.Tensor{ort.Of(s.x[:n*s.n.dim], int64(n), int64(s.n.dim))}
	for i, p := range s.n.params() {
		in = append(in, ort.Of(params[i], p.dims...))
	}
	out := []ort.Tensor{ort.Of(s.logp[:n*s.n.classes], int64(n), int64(s.n.classes))}
	if err := s.session.Run(context.Background(), in, out); err != nil {
		return fmt.Errorf("scoring graph: %w", err)
	}
	return nil
}

// add counts one photo. A class ranks before the photo's own if it is likelier,
// or as likely with a lower number, so that nothing is gained by ties.
func (s *Score) add(logp []float32, label, k int) {
	s.Loss -= float64(logp[label])
	before := 0
	for c, v := range logp {
		if v > logp[label] || (v == logp[label] && c < label) || math.IsNaN(float64(v)) {
			before++
		}
	}
	if before == 0 {
		s.Accuracy++
	}
	if before < k {
		s.TopK++
	}
}
