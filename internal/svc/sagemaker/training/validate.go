package training

import (
	"path"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// validate refuses what cannot run here, and tells what the image stands for.
func (f *Family) validate(in *sagemaker.CreateTrainingJobInput) (runtimes.Kind, error) {
	spec, res := in.AlgorithmSpecification, in.ResourceConfig
	switch {
	case spec == nil || spec.TrainingImage == nil && spec.AlgorithmName == nil:
		return "", sagemaker.Invalid("AlgorithmSpecification must name a TrainingImage.")
	case spec.TrainingImage == nil:
		return "", sagemaker.Invalid("AlgorithmName is not supported yet: name a TrainingImage, as %q.", runtimes.ImageClassification)
	case res == nil:
		return "", sagemaker.Invalid("ResourceConfig is required: name an InstanceType, InstanceCount and VolumeSizeInGB.")
	case in.StoppingCondition == nil:
		return "", sagemaker.Invalid("StoppingCondition is required: set its MaxRuntimeInSeconds.")
	}
	rt, err := f.Images.Resolve(*spec.TrainingImage)
	if err != nil {
		return "", sagemaker.Invalid("Cannot find the training image: %v.", err)
	}
	if err := f.validateWork(in, rt); err != nil {
		return "", err
	}
	for _, check := range []func(*sagemaker.CreateTrainingJobInput) error{validateResources, validateSpot, validateStorage} {
		if err := check(in); err != nil {
			return "", err
		}
	}
	if _, err := definitions(spec.MetricDefinitions, false); err != nil {
		return "", sagemaker.Invalid("%v", err)
	}
	return rt.Kind, validateChannels(in, rt.Kind)
}

// validateWork looks at what would run.
func (f *Family) validateWork(in *sagemaker.CreateTrainingJobInput, rt runtimes.Runtime) error {
	spec, can := in.AlgorithmSpecification, f.Runner.Abilities()
	several := len((&Job{Request: *in}).instances()) > 1
	isolated := sagemaker.Or(in.EnableNetworkIsolation, false)
	switch {
	case rt.Kind == runtimes.Builtin && several:
		return sagemaker.Invalid("More than one instance is not supported for the built-in algorithm: it runs on one.")
	case rt.Kind == runtimes.Builtin && len(spec.ContainerEntrypoint)+len(spec.ContainerArguments) > 0:
		return sagemaker.Invalid("The built-in algorithm has no container, so it takes no ContainerEntrypoint or ContainerArguments.")
	case rt.Kind == runtimes.Container && !can.Images:
		return sagemaker.Invalid("The image %q is a container, and this machine runs none: start a container engine, or add a Python runtime for the image with `musher runtime add`.", *spec.TrainingImage)
	case rt.Kind == runtimes.Python && len(spec.ContainerEntrypoint) == 0 && len(spec.ContainerArguments) > 0:
		return sagemaker.Invalid("ContainerArguments need a ContainerEntrypoint: %q is a Python runtime here, which has none of its own.", rt.Name)
	case isolated && rt.Kind != runtimes.Builtin && !can.Isolate:
		return sagemaker.Invalid("EnableNetworkIsolation cannot be enforced on this machine: it gives no network namespaces. Leave it out.")
	case isolated && several:
		return sagemaker.Invalid("EnableNetworkIsolation is not supported yet with more than one instance: they could not reach each other.")
	}
	return nil
}

func validateResources(in *sagemaker.CreateTrainingJobInput) error {
	res := in.ResourceConfig
	if len(res.InstanceGroups) == 0 {
		if sagemaker.Or(res.InstanceCount, 1) < 1 {
			return sagemaker.Invalid("InstanceCount must be at least 1.")
		}
		return nil
	}
	if res.InstanceType != nil || res.InstanceCount != nil {
		return sagemaker.Invalid("ResourceConfig has either InstanceGroups, or an InstanceType and InstanceCount, but not both.")
	}
	seen := map[string]bool{}
	for _, g := range res.InstanceGroups {
		if seen[g.InstanceGroupName] || g.InstanceCount < 1 {
			return sagemaker.Invalid("Instance group %q: names must differ, and each group needs an instance.", g.InstanceGroupName)
		}
		seen[g.InstanceGroupName] = true
	}
	for _, c := range in.InputDataConfig {
		if c.DataSource == nil || c.DataSource.S3DataSource == nil {
			continue
		}
		for _, name := range c.DataSource.S3DataSource.InstanceGroupNames {
			if !seen[name] {
				return sagemaker.Invalid("Channel %q is for the instance group %q, which ResourceConfig lacks.", c.ChannelName, name)
			}
		}
	}
	return nil
}

func validateSpot(in *sagemaker.CreateTrainingJobInput) error {
	stop := in.StoppingCondition
	wait, run := stop.MaxWaitTimeInSeconds, sagemaker.Or(stop.MaxRuntimeInSeconds, 0)
	spot := sagemaker.Or(in.EnableManagedSpotTraining, false)
	switch {
	case spot && wait == nil:
		return sagemaker.Invalid("MaxWaitTimeInSeconds must be set when EnableManagedSpotTraining is true.")
	case spot && *wait < run:
		return sagemaker.Invalid("Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds.")
	case !spot && wait != nil:
		return sagemaker.Invalid("MaxWaitTimeInSeconds is for managed spot training only: set EnableManagedSpotTraining, or leave it out.")
	case spot && sagemaker.Or(in.ResourceConfig.KeepAlivePeriodInSeconds, 0) > 0:
		return sagemaker.Invalid("KeepAlivePeriodInSeconds cannot be used with managed spot training.")
	}
	return nil
}

func validateStorage(in *sagemaker.CreateTrainingJobInput) error {
	if _, _, err := sagemaker.SplitS3URI(in.OutputDataConfig.S3OutputPath); err != nil {
		return sagemaker.Invalid("Invalid S3OutputPath: %v.", err)
	}
	if c := in.CheckpointConfig; c != nil {
		if _, _, err := sagemaker.SplitS3URI(c.S3Uri); err != nil {
			return sagemaker.Invalid("Invalid S3Uri of CheckpointConfig: %v.", err)
		}
		if local := sagemaker.Or(c.LocalPath, checkpointPath); !path.IsAbs(local) || path.Clean(local) == "/" {
			return sagemaker.Invalid("LocalPath %q of CheckpointConfig must be the absolute path of a folder.", local)
		}
	}
	return nil
}

func validateChannels(in *sagemaker.CreateTrainingJobInput, kind runtimes.Kind) error {
	seen := map[string]bool{}
	for _, c := range in.InputDataConfig {
		s3 := c.DataSource.S3DataSource
		mode := sagemaker.Or(c.InputMode, in.AlgorithmSpecification.TrainingInputMode)
		switch {
		case seen[c.ChannelName]:
			return sagemaker.Invalid("Channel name %q is used twice.", c.ChannelName)
		case c.ChannelName == "." || c.ChannelName == "..":
			return sagemaker.Invalid("Channel name %q cannot be the name of a folder.", c.ChannelName)
		case s3 == nil:
			return sagemaker.Invalid("Channel %q: only an S3DataSource is supported.", c.ChannelName)
		case mode == "Pipe" && (kind == runtimes.Builtin || kind == ""):
			return sagemaker.Invalid("Channel %q: InputMode Pipe is not supported by the built-in algorithm: use File or FastFile.", c.ChannelName)
		case mode == "FastFile" && s3.S3DataType != "S3Prefix":
			return sagemaker.Invalid("Channel %q: InputMode FastFile takes the S3DataType S3Prefix only.", c.ChannelName)
		case s3.S3DataType == "AugmentedManifestFile" && mode != "Pipe":
			return sagemaker.Invalid("Channel %q: an AugmentedManifestFile is for InputMode Pipe alone.", c.ChannelName)
		case s3.S3DataType != "S3Prefix" && s3.S3DataType != "ManifestFile" && s3.S3DataType != "AugmentedManifestFile":
			return sagemaker.Invalid("Channel %q: S3DataType %s is not supported: use S3Prefix, ManifestFile or AugmentedManifestFile.", c.ChannelName, s3.S3DataType)
		case c.ShuffleConfig != nil && mode != "Pipe":
			return sagemaker.Invalid("Channel %q: ShuffleConfig is for InputMode Pipe only.", c.ChannelName)
		}
		if _, _, err := sagemaker.SplitS3URI(s3.S3Uri); err != nil {
			return sagemaker.Invalid("Channel %q: %v.", c.ChannelName, err)
		}
		seen[c.ChannelName] = true
	}
	return nil
}

// network is what of it the job's processes may reach. The built-in algorithm
// calls nobody, so it is no loss where that cannot be enforced.
func (f *Family) network(job *Job) runner.Network {
	if sagemaker.Or(job.Request.EnableNetworkIsolation, false) && f.Runner.Abilities().Isolate {
		return runner.NoNetwork
	}
	return ""
}
