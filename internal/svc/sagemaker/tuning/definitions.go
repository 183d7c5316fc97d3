package tuning

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// definition is what trials are made from: one of a tuning job's training job
// definitions, with what it searches and by what it is judged.
type definition struct {
	*sagemaker.HyperParameterTrainingJobDefinition
	ranges    *sagemaker.ParameterRanges
	objective *sagemaker.HyperParameterTuningJobObjective
}

// definitions are those of a request. Ranges and objective of a single one may
// stand in the configuration.
func definitions(in *sagemaker.CreateHyperParameterTuningJobInput) []definition {
	given, cfg := in.TrainingJobDefinitions, in.HyperParameterTuningJobConfig
	if in.TrainingJobDefinition != nil {
		given = append(slices.Clone(given), in.TrainingJobDefinition)
	}
	var out []definition
	for _, g := range given {
		d := definition{g, g.HyperParameterRanges, g.TuningObjective}
		if d.ranges == nil {
			d.ranges = cfg.ParameterRanges
		}
		if d.objective == nil {
			d.objective = cfg.HyperParameterTuningJobObjective
		}
		out = append(out, d)
	}
	return out
}

// objectiveParameter is the static hyperparameter by which a trial learns what
// it is tuned for. Describe shows it with the others, and the SDK counts on it.
const objectiveParameter = "_tuning_objective_metric"

// nameObjective puts the objective among the static hyperparameters.
func (d definition) nameObjective() {
	static := maps.Clone(d.StaticHyperParameters)
	if static == nil {
		static = map[string]string{}
	}
	static[objectiveParameter] = d.objective.MetricName
	d.StaticHyperParameters = static
}

// definition is the one that a trial is made from.
func (j *Job) definition(t *Trial) definition { return definitions(&j.Request)[t.Definition] }

func (d definition) goal() hpo.Goal { return hpo.Goal(d.objective.Type) }

// space turns the API's parameter ranges into a space to search.
func (d definition) space() (hpo.Space, error) {
	ranges := d.ranges
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

// strategyTag is a tag of a tuning job that asks for a strategy which the API
// has no name for.
const strategyTag = "musher:strategy"

// strategy is the name of what hpo shall do.
func strategy(in *sagemaker.CreateHyperParameterTuningJobInput) string {
	for _, t := range in.Tags {
		if t.Key == strategyTag {
			return t.Value
		}
	}
	return in.HyperParameterTuningJobConfig.Strategy
}

// stopper is how trials of a definition are stopped early; nil where they are
// not.
func (d definition) stopper(in *sagemaker.CreateHyperParameterTuningJobInput) (hpo.Stopper, error) {
	switch s := strategy(in); {
	case s == hpo.Hyperband, s == hpo.ASHA:
		return d.halving(in.HyperParameterTuningJobConfig.StrategyConfig, s == hpo.ASHA)
	case sagemaker.Or(in.HyperParameterTuningJobConfig.TrainingJobEarlyStoppingType, "Off") == "Auto":
		return hpo.Median{Goal: d.goal()}, nil
	}
	return nil, nil //nolint:nilnil // most jobs stop no trial
}

// halving takes the resources from the configuration or, as the service does,
// from a static hyperparameter that holds the number of epochs.
func (d definition) halving(cfg *sagemaker.HyperParameterTuningJobStrategyConfig, oneBracket bool) (hpo.Stopper, error) {
	epochs := d.epochs()
	o := hpo.HalvingOptions{Goal: d.goal(), Min: 1, Max: epochs, OneBracket: oneBracket}
	if cfg != nil && cfg.HyperbandStrategyConfig != nil {
		o.Min = int(sagemaker.Or(cfg.HyperbandStrategyConfig.MinResource, 1))
		o.Max = int(sagemaker.Or(cfg.HyperbandStrategyConfig.MaxResource, int64(epochs)))
	}
	if o.Max == 0 {
		return nil, sagemaker.Invalid("MaxResource is required with strategy Hyperband: it is neither in HyperbandStrategyConfig, nor is any of %s a whole number in StaticHyperParameters.", strings.Join(epochNames(), ", "))
	}
	// A job that knows when to end saves its model then; it is not cut short.
	o.RunsLonger = epochs == 0 || epochs > o.Max
	h, err := hpo.NewHalving(o)
	if err != nil {
		return nil, sagemaker.Invalid("Invalid HyperbandStrategyConfig: MinResource %d, MaxResource %d: they must be 1 <= MinResource <= MaxResource <= %d.", o.Min, o.Max, hpo.MaxResource)
	}
	return h, nil
}

// epochNames are the hyperparameters that the service looks for.
func epochNames() []string {
	return []string{"epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs"}
}

// epochs is how long trials run by themselves, 0 where it is not known. Some
// clients send the number as JSON text.
func (d definition) epochs() int {
	for _, name := range epochNames() {
		n, err := strconv.Atoi(strings.Trim(d.StaticHyperParameters[name], `"`))
		if err == nil && n > 0 {
			return n
		}
	}
	return 0
}

// plan is how a job searches: worked out from its request, and kept while it
// runs for the caches of its parts. The history is not in it.
type plan struct {
	suggesters []hpo.Suggester // per definition
	stoppers   []hpo.Stopper   // per definition; nil where trials run to their end
	parents    []hpo.Trial     // of a warm start
}

func newPlan(job *Job, parents []*parent) (*plan, error) {
	p := &plan{}
	for i, d := range definitions(&job.Request) {
		space, err := d.space()
		if err != nil {
			return nil, err
		}
		name := strategy(&job.Request)
		suggester, err := hpo.New(name, space, d.goal(), job.Seed+int64(i))
		if err != nil {
			return nil, fmt.Errorf("strategy %s: %w", name, err)
		}
		stopper, err := d.stopper(&job.Request)
		if err != nil {
			return nil, err
		}
		p.suggesters, p.stoppers = append(p.suggesters, suggester), append(p.stoppers, stopper)
		for _, parent := range parents {
			p.parents = append(p.parents, parent.history(d, space)...)
		}
	}
	return p, nil
}

// next suggests the values of the next trial. The definitions take turns; one
// whose grid is exhausted is passed over. It fails with hpo.ErrExhausted when
// all are.
func (p *plan) next(trials []*Trial) (number int, values map[string]string, err error) {
	for k := range p.suggesters {
		i := (len(trials) + k) % len(p.suggesters)
		history, _ := histories(trials, i)
		found, err := p.suggesters[i].Suggest(append(slices.Clone(p.parents), history...), 1)
		if err == nil {
			return i, found[0], nil
		}
		if !errors.Is(err, hpo.ErrExhausted) {
			return 0, nil, err
		}
	}
	return 0, nil, hpo.ErrExhausted
}

// stop names the running trials that need not go on.
func (p *plan) stop(trials []*Trial) (named []*Trial) {
	for i, s := range p.stoppers {
		if s == nil {
			continue
		}
		history, of := histories(trials, i)
		for _, k := range s.Stop(history) {
			named = append(named, of[k])
		}
	}
	return named
}

// stops tells whether trials may be stopped, so that their reports are needed.
func (p *plan) stops() bool {
	return slices.ContainsFunc(p.stoppers, func(s hpo.Stopper) bool { return s != nil })
}

// histories are the trials of one definition, as hpo sees them and as they are.
func histories(trials []*Trial, definition int) (history []hpo.Trial, of []*Trial) {
	for _, t := range trials {
		if t.Definition == definition {
			history, of = append(history, t.history()), append(of, t)
		}
	}
	return history, of
}
