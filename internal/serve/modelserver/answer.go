package modelserver

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
)

// ranked is one class of a verbose answer.
type ranked struct {
	Label          string  `json:"label"`
	LogProbability float32 `json:"log_probability"`
	Probability    float32 `json:"probability"`
}

// verbose is one photo's part of a verbose answer.
type verbose struct {
	Predictions      []ranked  `json:"predictions"`
	LogProbabilities []float32 `json:"log_probabilities"`
	Labels           []string  `json:"labels,omitempty"`
}

type predictions struct {
	Predictions any      `json:"predictions"`
	Labels      []string `json:"labels,omitempty"`
}

// encode writes the answer; doc.go shows its forms. encoding/json gives a
// float32 its shortest decimals.
func encode(labels []string, s style, list bool, logp [][]float32) ([]byte, error) {
	if !s.verbose {
		if list {
			return json.Marshal(predictions{Predictions: logp})
		}
		return json.Marshal(logp)
	}
	each := make([]verbose, len(logp))
	for i, p := range logp {
		each[i] = verbose{Predictions: best(labels, p, s.topK), LogProbabilities: p}
	}
	if list {
		return json.Marshal(predictions{Predictions: each, Labels: labels})
	}
	each[0].Labels = labels
	return json.Marshal(each[0])
}

// best ranks the k most probable classes; equals stay in the labels' order.
func best(labels []string, logp []float32, k int) []ranked {
	order := make([]int, len(logp))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(logp[b], logp[a]) })
	top := make([]ranked, min(k, len(order)))
	for i := range top {
		c := order[i]
		top[i] = ranked{labels[c], logp[c], float32(math.Exp(float64(logp[c])))}
	}
	return top
}
