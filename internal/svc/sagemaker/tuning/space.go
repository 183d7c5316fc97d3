package tuning

import (
	"fmt"
	"strconv"

	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// spaceOf turns the API's parameter ranges into a space to search.
func spaceOf(ranges *sagemaker.ParameterRanges) (hpo.Space, error) {
	if ranges == nil {
		return nil, sagemaker.Invalid("ParameterRanges is required: name at least one hyperparameter to tune.")
	}
	if len(ranges.AutoParameters) > 0 {
		return nil, sagemaker.Invalid("AutoParameters are not supported yet: give each hyperparameter a range.")
	}
	var space hpo.Space
	for _, r := range ranges.ContinuousParameterRanges {
		p, err := number(hpo.Continuous, r.Name, r.MinValue, r.MaxValue, r.ScalingType)
		if err != nil {
			return nil, err
		}
		space = append(space, p)
	}
	for _, r := range ranges.IntegerParameterRanges {
		p, err := number(hpo.Integer, r.Name, r.MinValue, r.MaxValue, r.ScalingType)
		if err != nil {
			return nil, err
		}
		space = append(space, p)
	}
	for _, r := range ranges.CategoricalParameterRanges {
		space = append(space, hpo.Param{Name: r.Name, Kind: hpo.Categorical, Values: r.Values})
	}
	if err := space.Validate(); err != nil {
		return nil, sagemaker.Invalid("Invalid ParameterRanges: %v.", err)
	}
	return space, nil
}

func number(kind hpo.Kind, name, low, high string, scaling *string) (hpo.Param, error) {
	p := hpo.Param{Name: name, Kind: kind, Scaling: hpo.Scaling(sagemaker.Or(scaling, string(hpo.Auto)))}
	for _, bound := range []struct {
		what, text string
		to         *float64
	}{{"MinValue", low, &p.Min}, {"MaxValue", high, &p.Max}} {
		v, err := strconv.ParseFloat(bound.text, 64)
		if err != nil {
			return p, sagemaker.Invalid("Hyperparameter %q: %s %q is not a number.", name, bound.what, bound.text)
		}
		*bound.to = v
	}
	return p, nil
}

// combinations counts the grid of a space.
func combinations(space hpo.Space) int64 {
	n := int64(1)
	for _, p := range space {
		n *= int64(max(1, len(p.Values)))
	}
	return n
}

// suggester returns the sampler of a job.
func suggester(job *Job) (hpo.Suggester, error) {
	cfg := job.Request.HyperParameterTuningJobConfig
	space, err := spaceOf(ranges(&job.Request))
	if err != nil {
		return nil, err
	}
	goal := hpo.Goal(objective(&job.Request).Type)
	s, err := hpo.New(cfg.Strategy, space, goal, job.Seed)
	if err != nil {
		return nil, fmt.Errorf("strategy %s: %w", cfg.Strategy, err)
	}
	return s, nil
}

// ranges and objective may stand in the configuration or in the definition.
func ranges(in *sagemaker.CreateHyperParameterTuningJobInput) *sagemaker.ParameterRanges {
	if r := in.TrainingJobDefinition.HyperParameterRanges; r != nil {
		return r
	}
	return in.HyperParameterTuningJobConfig.ParameterRanges
}

func objective(in *sagemaker.CreateHyperParameterTuningJobInput) *sagemaker.HyperParameterTuningJobObjective {
	if o := in.TrainingJobDefinition.TuningObjective; o != nil {
		return o
	}
	return in.HyperParameterTuningJobConfig.HyperParameterTuningJobObjective
}
