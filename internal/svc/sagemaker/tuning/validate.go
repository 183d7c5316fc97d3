package tuning

import (
	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// The service's limits on one tuning job.
const (
	maxTrials       = 750
	maxTrialsRandom = 10_000
	maxParallel     = 100
)

// validate checks all of a request but what depends on other jobs.
func validate(in *sagemaker.CreateHyperParameterTuningJobInput) error {
	cfg := in.HyperParameterTuningJobConfig
	switch limits := cfg.ResourceLimits; {
	case in.Autotune != nil:
		return sagemaker.Invalid("Autotune is not supported: it would choose ranges, limits and strategy by rules that only the service has. Give ParameterRanges, ResourceLimits and Strategy.")
	case limits.MaxParallelTrainingJobs > maxParallel:
		return awsapi.Errorf("ResourceLimitExceeded", "MaxParallelTrainingJobs %d is above the limit of %d.", limits.MaxParallelTrainingJobs, maxParallel)
	}
	if err := validateStrategy(in); err != nil {
		return err
	}
	if err := validateDefinitions(in); err != nil {
		return err
	}
	grid := int64(0)
	for _, d := range definitions(in) {
		space, err := d.validate(in)
		if err != nil {
			return err
		}
		grid += combinations(space)
	}
	return validateCount(cfg, grid)
}

// validateStrategy checks what belongs to some strategies only.
func validateStrategy(in *sagemaker.CreateHyperParameterTuningJobInput) error {
	cfg := in.HyperParameterTuningJobConfig
	hyperband := cfg.Strategy == hpo.Hyperband
	switch s := strategy(in); {
	case s != cfg.Strategy && s != hpo.ASHA:
		return sagemaker.Invalid("The tag %s can only have the value %s.", strategyTag, hpo.ASHA)
	case s == hpo.ASHA && !hyperband:
		return sagemaker.Invalid("The tag %s=%s goes with Strategy Hyperband.", strategyTag, hpo.ASHA)
	case hyperband && sagemaker.Or(cfg.TrainingJobEarlyStoppingType, "Off") != "Off":
		return sagemaker.Invalid("TrainingJobEarlyStoppingType must be Off with strategy Hyperband, which stops training jobs by itself.")
	case !hyperband && cfg.StrategyConfig != nil && cfg.StrategyConfig.HyperbandStrategyConfig != nil:
		return sagemaker.Invalid("HyperbandStrategyConfig is only for strategy Hyperband, not for %s.", cfg.Strategy)
	case in.WarmStartConfig != nil && s != hpo.Bayesian && s != hpo.Random:
		return sagemaker.Invalid("WarmStartConfig is only for the strategies Bayesian and Random, not for %s.", s)
	}
	return nil
}

// validateDefinitions checks how the definitions go together.
func validateDefinitions(in *sagemaker.CreateHyperParameterTuningJobInput) error {
	cfg, several := in.HyperParameterTuningJobConfig, in.TrainingJobDefinitions
	switch {
	case in.TrainingJobDefinition == nil && len(several) == 0:
		return sagemaker.Invalid("TrainingJobDefinition is required.")
	case len(several) == 0:
		return nil
	case in.TrainingJobDefinition != nil:
		return sagemaker.Invalid("Give either TrainingJobDefinition or TrainingJobDefinitions, not both.")
	case cfg.ParameterRanges != nil || cfg.HyperParameterTuningJobObjective != nil:
		return sagemaker.Invalid("With TrainingJobDefinitions, ranges and objective stand in each definition, as HyperParameterRanges and TuningObjective, not in HyperParameterTuningJobConfig.")
	case len(several) > 1 && in.WarmStartConfig != nil:
		return sagemaker.Invalid("WarmStartConfig is only for one training job definition, not for %d.", len(several))
	case len(several) > 1 && sagemaker.Or(cfg.TrainingJobEarlyStoppingType, "Off") != "Off":
		return sagemaker.Invalid("TrainingJobEarlyStoppingType Auto is only for one training job definition, not for %d.", len(several))
	}
	seen := map[string]bool{}
	for _, d := range several {
		name := sagemaker.Or(d.DefinitionName, "")
		switch {
		case name == "":
			return sagemaker.Invalid("Each of the TrainingJobDefinitions needs a DefinitionName.")
		case seen[name]:
			return sagemaker.Invalid("DefinitionName %q is used twice.", name)
		case d.TuningObjective != nil && several[0].TuningObjective != nil && d.TuningObjective.Type != several[0].TuningObjective.Type:
			return sagemaker.Invalid("The objectives of %q and %q have different types: no best training job could be told.", *several[0].DefinitionName, name)
		}
		seen[name] = true
	}
	return nil
}

// validate checks one definition and returns its space.
func (d definition) validate(in *sagemaker.CreateHyperParameterTuningJobInput) (hpo.Space, error) {
	switch {
	case d.objective == nil:
		return nil, sagemaker.Invalid("HyperParameterTuningJobObjective is required.")
	case d.ResourceConfig == nil && d.HyperParameterTuningResourceConfig == nil:
		return nil, sagemaker.Invalid("ResourceConfig is required: name an InstanceType, InstanceCount and VolumeSizeInGB.")
	}
	space, err := d.space()
	if err != nil {
		return nil, err
	}
	for _, p := range space {
		if _, both := d.StaticHyperParameters[p.Name]; both {
			return nil, sagemaker.Invalid("Hyperparameter %q is both static and tuned.", p.Name)
		}
	}
	if _, err := hpo.New(strategy(in), space, d.goal(), 0); err != nil {
		return nil, sagemaker.Invalid("%v.", err)
	}
	_, err = d.stopper(in)
	return space, err
}

func validateCount(cfg *sagemaker.HyperParameterTuningJobConfig, grid int64) error {
	n, most := cfg.ResourceLimits.MaxNumberOfTrainingJobs, mostTrials(cfg.Strategy)
	switch {
	case cfg.Strategy == hpo.Grid && n != nil && *n != grid:
		return sagemaker.Invalid("With strategy Grid, MaxNumberOfTrainingJobs is left out or is the number of combinations, %d.", grid)
	case cfg.Strategy == hpo.Grid:
		n = &grid
	case n == nil:
		return sagemaker.Invalid("ResourceLimits.MaxNumberOfTrainingJobs is required with strategy %s.", cfg.Strategy)
	}
	if *n > most {
		return awsapi.Errorf("ResourceLimitExceeded", "MaxNumberOfTrainingJobs %d is above the limit of %d for strategy %s.", *n, most, cfg.Strategy)
	}
	return nil
}

func mostTrials(strategy string) int64 {
	if strategy == hpo.Random {
		return maxTrialsRandom
	}
	return maxTrials
}

func (f *Family) noteIgnored(in *sagemaker.CreateHyperParameterTuningJobInput) {
	for _, d := range definitions(in) {
		r := d.HyperParameterTuningResourceConfig
		f.once.Ignored(f.Log, "CreateHyperParameterTuningJob", map[string]bool{
			"HyperParameterTuningResourceConfig.AllocationStrategy": r != nil && r.AllocationStrategy != nil,
		})
	}
}
