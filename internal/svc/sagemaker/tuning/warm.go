package tuning

import (
	"maps"
	"slices"
	"strings"

	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// identical is the WarmStartType of jobs that differ in what they search only.
const identical = "IdenticalDataAndAlgorithm"

// maxChanges is how much a warm start may change of what its parents fixed.
const maxChanges = 10

// parent is an earlier tuning job whose trials a warm start knows.
type parent struct {
	*Job
	trials []*Trial
}

// parents reads the parents of a request, and only them: what those in turn
// started from is not looked at.
func (s store) parents(tx *state.Tx, in *sagemaker.CreateHyperParameterTuningJobInput) (all []*parent, err error) {
	if in.WarmStartConfig == nil {
		return nil, nil
	}
	seen := map[string]bool{}
	for _, p := range in.WarmStartConfig.ParentHyperParameterTuningJobs {
		name := sagemaker.Or(p.HyperParameterTuningJobName, "")
		if name == "" || seen[name] {
			return nil, sagemaker.Invalid("Each of the ParentHyperParameterTuningJobs needs a HyperParameterTuningJobName of its own.")
		}
		seen[name] = true
		job, trials, err := s.get(tx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, &parent{job, trials})
	}
	return all, nil
}

// validateParents checks what a warm start may not change.
func validateParents(in *sagemaker.CreateHyperParameterTuningJobInput, parents []*parent) error {
	if len(parents) == 0 {
		return nil
	}
	d := definitions(in)[0]
	known := 0
	for _, p := range parents {
		if err := p.validate(d, in.WarmStartConfig.WarmStartType); err != nil {
			return err
		}
		known += len(p.trials)
	}
	strategy := in.HyperParameterTuningJobConfig.Strategy
	n, most := *in.HyperParameterTuningJobConfig.ResourceLimits.MaxNumberOfTrainingJobs, mostTrials(strategy)
	if n+int64(known) > most {
		return sagemaker.Invalid("MaxNumberOfTrainingJobs %d and the %d training jobs of the parents are above the limit of %d for strategy %s.", n, known, most, strategy)
	}
	return nil
}

func (p *parent) validate(d definition, kind string) error {
	name, all := p.Request.HyperParameterTuningJobName, definitions(&p.Request)
	old := all[0]
	was, is := kinds(old.ranges), kinds(d.ranges)
	switch {
	case !p.Done():
		return sagemaker.Invalid("The parent tuning job %s is %s: a parent must be Completed, Stopped or Failed.", name, p.Status)
	case len(all) > 1:
		return sagemaker.Invalid("The parent tuning job %s has several training job definitions: a parent must have one.", name)
	case *old.objective != *d.objective:
		return sagemaker.Invalid("The parent tuning job %s has another objective, %s %s: it must be the same.", name, old.objective.Type, old.objective.MetricName)
	case len(was)+len(old.StaticHyperParameters) != len(is)+len(d.StaticHyperParameters):
		return sagemaker.Invalid("The parent tuning job %s has %d static and tuned hyperparameters, this one %d: the number must be the same.",
			name, len(was)+len(old.StaticHyperParameters), len(is)+len(d.StaticHyperParameters))
	case kind == identical && !slices.Equal(sources(old), sources(d)):
		return sagemaker.Invalid("The parent tuning job %s has other input data or another training image: with %s they are the same, use TransferLearning.", name, identical)
	}
	for param, k := range is {
		if before, tuned := was[param]; tuned && before != k {
			return sagemaker.Invalid("Hyperparameter %q is %s, and %s in the parent tuning job %s: the type must not change.", param, k, before, name)
		}
	}
	if n := changes(old, d); n > maxChanges {
		return sagemaker.Invalid("There are %d changes of static hyperparameters to the parent tuning job %s: at most %d are allowed.", n, name, maxChanges)
	}
	return nil
}

// kinds gives the type of each tuned hyperparameter.
func kinds(r *sagemaker.ParameterRanges) map[string]hpo.Kind {
	out := map[string]hpo.Kind{}
	for _, p := range r.ContinuousParameterRanges {
		out[p.Name] = hpo.Continuous
	}
	for _, p := range r.IntegerParameterRanges {
		out[p.Name] = hpo.Integer
	}
	for _, p := range r.CategoricalParameterRanges {
		out[p.Name] = hpo.Categorical
	}
	return out
}

// sources are what a definition trains with, versions of the image aside.
func sources(d definition) []string {
	image, _, _ := strings.Cut(sagemaker.Or(d.AlgorithmSpecification.TrainingImage, ""), ":")
	out := []string{image}
	for _, c := range d.InputDataConfig {
		uri := ""
		if s3 := c.DataSource.S3DataSource; s3 != nil {
			uri = strings.TrimSuffix(s3.S3Uri, "/")
		}
		out = append(out, c.ChannelName+" "+uri)
	}
	slices.Sort(out[1:])
	return out
}

// changes counts as the service's guide does: two for each hyperparameter that
// was tuned and is fixed now, and for each fixed one with another value.
func changes(old, d definition) (n int) {
	tuned := kinds(old.ranges)
	for name, value := range d.StaticHyperParameters {
		before, fixed := old.StaticHyperParameters[name]
		if _, was := tuned[name]; was || fixed && before != value {
			n += 2
		}
	}
	return n
}

// history gives the parent's trials that could be trials of a definition: their
// values lie in its space, and what it has fixed since had the same value. The
// others are left out; an objective says nothing about a place at which it was
// not measured. With TransferLearning objectives are taken as they are.
func (p *parent) history(d definition, space hpo.Space) (out []hpo.Trial) {
	old := definitions(&p.Request)[0]
	for _, t := range p.trials {
		values := maps.Clone(old.StaticHyperParameters)
		if values == nil {
			values = map[string]string{}
		}
		maps.Copy(values, t.Values)
		comparable := t.Judged() && space.Contains(values)
		for name := range t.Values {
			if fixed, is := d.StaticHyperParameters[name]; is && fixed != t.Values[name] {
				comparable = false
			}
		}
		if comparable {
			h := t.history()
			h.Values = values
			out = append(out, h)
		}
	}
	return out
}
