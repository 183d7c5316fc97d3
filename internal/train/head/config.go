package head

import (
	"fmt"
	"math"
	"slices"
)

// The optimisers, by the names of the hyperparameter.
const (
	SGD   = "sgd"
	NAG   = "nag"
	Adam  = "adam"
	AdamW = "adamw"
)

// Optimizers are all of them.
func Optimizers() []string { return []string{SGD, NAG, Adam, AdamW} }

// Ways to bring features to a scale at which a learning rate means the same for
// every backbone.
const (
	// Scale divides all features by one number, so that their mean square is 1.
	// Nothing else changes: features that hardly vary are not blown up.
	Scale = "scale"
	// PerFeature gives each feature mean 0 and deviation 1.
	PerFeature = "feature"
	// None takes features as they are.
	None = "none"
)

// Standardizations are all of them.
func Standardizations() []string { return []string{Scale, PerFeature, None} }

// Config says how to train.
type Config struct {
	Hidden    int // units of the hidden layer; 0: no hidden layer, softmax regression
	Optimizer string
	Epochs    int
	Batch     int // photos in a step

	LearningRate   float64
	Momentum       float64 // sgd and nag
	Beta1, Beta2   float64 // adam and adamw
	Eps            float64 // adam and adamw
	WeightDecay    float64
	LabelSmoothing float64 // share of the target spread over all classes, 0 ≤ x < 1
	Dropout        float64 // share of the last layer's inputs left out, 0 ≤ x < 1

	Schedule      Schedule
	Standardize   string // one of Standardizations
	Seed          uint64
	EarlyStopping *EarlyStopping // nil: all epochs, and the last one's weights
	TopK          int            // also count a photo right whose class is among the k likeliest; 0: do not
}

// Schedule is how the learning rate moves. The zero Schedule keeps it.
type Schedule struct {
	Cosine bool    // falls to zero along half a cosine over all epochs, step by step
	Factor float64 // else it is multiplied by Factor
	Epochs []int   // after each of these epochs
}

// rate is the factor on the learning rate for a step, by the epochs done so far
// (with a fraction) of total.
func (s Schedule) rate(done float64, total int) float64 {
	if s.Cosine {
		return 0.5 * (1 + math.Cos(math.Pi*done/float64(total)))
	}
	rate := 1.0
	for _, e := range s.Epochs {
		if done >= float64(e) {
			rate *= s.Factor
		}
	}
	return rate
}

// EarlyStopping ends training when the validation accuracy no longer rises, and
// keeps the best epoch's weights: highest accuracy, then lowest loss.
type EarlyStopping struct {
	MinEpochs int     // never before this one
	Patience  int     // epochs without improvement that are waited for
	Tolerance float64 // an improvement is a relative one by more than this
}

// Data is feature vectors with their classes.
type Data struct {
	Rows   [][]float32 // all of one length; not changed
	Labels []int
}

// check says whether data can be trained on.
func (d Data) check(classes int) error {
	if len(d.Rows) == 0 || len(d.Rows) != len(d.Labels) {
		return fmt.Errorf("%d feature vectors with %d labels", len(d.Rows), len(d.Labels))
	}
	dim := len(d.Rows[0])
	for i, row := range d.Rows {
		if len(row) != dim {
			return fmt.Errorf("feature vectors of %d and of %d numbers", dim, len(row))
		}
		if l := d.Labels[i]; l < 0 || l >= classes {
			return fmt.Errorf("label %d of %d classes", l, classes)
		}
	}
	return nil
}

func (c Config) check() error {
	switch {
	case !slices.Contains(Optimizers(), c.Optimizer):
		return fmt.Errorf("optimizer %q is not one of %v", c.Optimizer, Optimizers())
	case !slices.Contains(Standardizations(), c.Standardize):
		return fmt.Errorf("standardization %q is not one of %v", c.Standardize, Standardizations())
	case c.Epochs < 1 || c.Batch < 1 || c.Hidden < 0:
		return fmt.Errorf("%d epochs, batches of %d, %d hidden units", c.Epochs, c.Batch, c.Hidden)
	case !(c.LearningRate > 0) || math.IsInf(c.LearningRate, 0):
		return fmt.Errorf("learning rate %v", c.LearningRate)
	case !(c.Dropout >= 0 && c.Dropout < 1) || !(c.LabelSmoothing >= 0 && c.LabelSmoothing < 1):
		return fmt.Errorf("dropout %v, label smoothing %v", c.Dropout, c.LabelSmoothing)
	}
	return nil
}
