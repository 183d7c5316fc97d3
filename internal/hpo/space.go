package hpo

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// SageMaker's limits on one tuning job's space.
const (
	MaxParams = 30 // hyperparameters in a space
	MaxValues = 30 // values of one categorical hyperparameter
)

// Kind says what a hyperparameter's values are.
type Kind string

// The kinds of SageMaker's ParameterRanges.
const (
	Continuous  Kind = "Continuous"
	Integer     Kind = "Integer"
	Categorical Kind = "Categorical"
)

// Scaling says on which scale a numeric hyperparameter is searched.
type Scaling string

// The names are SageMaker's HyperParameterScalingType. Auto, and the empty
// string, mean Logarithmic where Min > 0 and Max/Min >= 100 (the range spans
// two decades: equal ratios matter, not equal differences) and Linear
// elsewhere.
const (
	Auto               Scaling = "Auto"
	Linear             Scaling = "Linear"
	Logarithmic        Scaling = "Logarithmic"
	ReverseLogarithmic Scaling = "ReverseLogarithmic"
)

// autoLogRatio is the Max/Min from which Auto searches the logarithm.
const autoLogRatio = 100

// maxInteger bounds integer ranges: beyond it float64 skips integers.
const maxInteger = 1 << 53

// Param is one hyperparameter to tune.
type Param struct {
	Name    string
	Kind    Kind
	Min     float64  // numeric kinds: smallest value, included
	Max     float64  // numeric kinds: largest value, included
	Values  []string // Categorical: what to choose from
	Scaling Scaling  // numeric kinds; empty: Auto
}

// Space is what a tuning job may choose from: the product of its parameters.
type Space []Param

// Validate reports every rule of SageMaker's that the space breaks, each with
// the parameter's name. It returns nil when there is none.
func (s Space) Validate() error {
	var errs []error
	if len(s) == 0 {
		errs = append(errs, errors.New("the space has no hyperparameter: at least 1 is needed"))
	}
	if len(s) > MaxParams {
		errs = append(errs, fmt.Errorf("the space has %d hyperparameters: at most %d are allowed", len(s), MaxParams))
	}
	seen := map[string]bool{}
	for i, p := range s {
		switch {
		case p.Name == "":
			errs = append(errs, fmt.Errorf("hyperparameter %d has no name", i+1))
		case seen[p.Name]:
			errs = append(errs, fmt.Errorf("hyperparameter %q is given twice", p.Name))
		}
		seen[p.Name] = true
		if err := p.validate(); err != nil {
			errs = append(errs, fmt.Errorf("hyperparameter %q: %w", p.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Contains tells whether values name a point of a valid space. Names outside of
// the space are ignored.
func (s Space) Contains(values map[string]string) bool {
	_, err := parse(newAxes(s), values)
	return err == nil
}

func (p Param) validate() error {
	switch p.Kind {
	case Categorical:
		return p.validateValues()
	case Continuous, Integer:
		return p.validateRange()
	}
	return fmt.Errorf("kind %q is not one of Continuous, Integer, Categorical", p.Kind)
}

func (p Param) validateValues() error {
	if len(p.Values) == 0 {
		return errors.New("a categorical hyperparameter needs at least 1 value")
	}
	if len(p.Values) > MaxValues {
		return fmt.Errorf("it has %d values: at most %d are allowed", len(p.Values), MaxValues)
	}
	seen := map[string]bool{}
	for _, v := range p.Values {
		if seen[v] {
			return fmt.Errorf("value %q is given twice", v)
		}
		seen[v] = true
	}
	return nil
}

func (p Param) validateRange() error {
	for _, v := range []float64{p.Min, p.Max} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("MinValue and MaxValue must be finite numbers")
		}
		if p.Kind == Integer && (v != math.Trunc(v) || math.Abs(v) > maxInteger) {
			return fmt.Errorf("%s is not a whole number within ±2^53", formatFloat(v))
		}
	}
	if p.Min > p.Max {
		return fmt.Errorf("MinValue %s is greater than MaxValue %s", formatFloat(p.Min), formatFloat(p.Max))
	}
	if math.IsInf(p.Max-p.Min, 0) {
		return errors.New("the range from MinValue to MaxValue is too wide for a floating-point number")
	}
	switch p.Scaling {
	case "", Auto, Linear:
		return nil
	case Logarithmic:
		if p.Min <= 0 {
			return fmt.Errorf("Logarithmic scaling needs MinValue > 0, not %s", formatFloat(p.Min))
		}
		return nil
	case ReverseLogarithmic:
		return p.validateReverseLog()
	}
	return fmt.Errorf("scaling %q is not one of Auto, Linear, Logarithmic, ReverseLogarithmic", p.Scaling)
}

func (p Param) validateReverseLog() error {
	if p.Kind != Continuous {
		return errors.New("ReverseLogarithmic scaling is for continuous hyperparameters only")
	}
	if p.Min < 0 || p.Max >= 1 {
		return fmt.Errorf("ReverseLogarithmic scaling needs 0 <= MinValue and MaxValue < 1, not %s and %s",
			formatFloat(p.Min), formatFloat(p.Max))
	}
	return nil
}

func formatFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
