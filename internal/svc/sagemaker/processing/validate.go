package processing

import (
	"path"
	"strings"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
)

const (
	optML     = "/opt/ml"
	inputRoot = optML + "/processing/" // where the service lets inputs be
)

// validate refuses what cannot run here.
func (f *Family) validate(in *sagemaker.CreateProcessingJobInput) error {
	if err := f.validateWork(in); err != nil {
		return err
	}
	if err := validateInputs(in); err != nil {
		return err
	}
	return validateOutputs(in)
}

func (f *Family) validateWork(in *sagemaker.CreateProcessingJobInput) error {
	app, cluster, can := in.AppSpecification, in.ProcessingResources.ClusterConfig, f.Runner.Abilities()
	rt, err := f.Images.Resolve(app.ImageUri)
	several := sagemaker.Or(cluster.InstanceCount, 1) > 1
	switch {
	case err != nil:
		return sagemaker.Invalid("Cannot find the image: %v.", err)
	case rt.Kind == runtimes.Builtin:
		return sagemaker.Invalid("The image %q is the built-in algorithm, which processes nothing: name an image with Python, as %q.", app.ImageUri, "python:3.11")
	case rt.Kind == runtimes.Container && !can.Images:
		return sagemaker.Invalid("The image %q is a container, and this machine runs none: start a container engine, or add a Python runtime for the image with `musher runtime add`.", app.ImageUri)
	case len(app.ContainerEntrypoint) == 0:
		return sagemaker.Invalid("AppSpecification needs a ContainerEntrypoint: that of the image %q itself is not known here.", app.ImageUri)
	case !can.Remap:
		return sagemaker.Invalid("Processing jobs cannot run on this machine: it gives no mount namespaces, so there can be no folder %s for each job. Run the server as root, or allow unprivileged user namespaces.", optML)
	case cluster.InstanceCount == nil || cluster.InstanceType == nil:
		return sagemaker.Invalid("ClusterConfig needs an InstanceCount and an InstanceType; InstancePreferences are not supported.")
	case isolated(in) && !can.Isolate:
		return sagemaker.Invalid("EnableNetworkIsolation cannot be enforced on this machine: it gives no network namespaces. Leave it out.")
	case isolated(in) && several:
		return sagemaker.Invalid("EnableNetworkIsolation is not supported yet with more than one instance: they could not reach each other.")
	}
	return nil
}

func validateInputs(in *sagemaker.CreateProcessingJobInput) error {
	names, paths := map[string]bool{}, map[string]bool{}
	for _, i := range in.ProcessingInputs {
		if names[i.InputName] {
			return sagemaker.Invalid("InputName %q is used twice.", i.InputName)
		}
		names[i.InputName] = true
		if err := validateInput(i); err != nil {
			return err
		}
		if sagemaker.Or(i.AppManaged, false) {
			continue
		}
		local := path.Clean(*i.S3Input.LocalPath)
		if paths[local] {
			return sagemaker.Invalid("Input %q: another input has the LocalPath %q.", i.InputName, local)
		}
		paths[local] = true
	}
	return nil
}

func validateInput(i *sagemaker.ProcessingInput) error {
	s3 := i.S3Input
	switch {
	case i.DatasetDefinition != nil:
		return sagemaker.Invalid("Input %q: a DatasetDefinition asks Athena or Redshift, which are not here: use an S3Input.", i.InputName)
	case s3 == nil:
		return sagemaker.Invalid("Input %q needs an S3Input.", i.InputName)
	case sagemaker.Or(i.AppManaged, false):
		return nil
	case sagemaker.Or(s3.S3InputMode, "File") == "Pipe":
		return sagemaker.Invalid("Input %q: S3InputMode Pipe is not supported: use File.", i.InputName)
	case s3.LocalPath == nil || !strings.HasPrefix(path.Clean(*s3.LocalPath)+"/", inputRoot):
		return sagemaker.Invalid("Input %q: LocalPath is required and must begin with %s.", i.InputName, inputRoot)
	}
	if _, _, err := sagemaker.SplitS3URI(s3.S3Uri); err != nil {
		return sagemaker.Invalid("Input %q: %v.", i.InputName, err)
	}
	return nil
}

func validateOutputs(in *sagemaker.CreateProcessingJobInput) error {
	names := map[string]bool{}
	var paths []string
	for _, o := range outputs(in) {
		if names[o.OutputName] {
			return sagemaker.Invalid("OutputName %q is used twice.", o.OutputName)
		}
		names[o.OutputName] = true
		if err := validateOutput(o); err != nil {
			return err
		}
		if !sagemaker.Or(o.AppManaged, false) {
			paths = append(paths, path.Clean(*o.S3Output.LocalPath))
		}
	}
	for _, inner := range paths {
		for _, outer := range paths {
			if strings.HasPrefix(inner, outer+"/") {
				return sagemaker.Invalid("The output at %s lies in the one at %s, which is not supported: give each a folder beside the other's.", inner, outer)
			}
		}
	}
	return nil
}

func validateOutput(o *sagemaker.ProcessingOutput) error {
	s3 := o.S3Output
	switch {
	case o.FeatureStoreOutput != nil:
		return sagemaker.Invalid("Output %q: there is no feature store here: use an S3Output.", o.OutputName)
	case s3 == nil:
		return sagemaker.Invalid("Output %q needs an S3Output.", o.OutputName)
	case sagemaker.Or(o.AppManaged, false):
		return nil
	case s3.LocalPath == nil || !path.IsAbs(*s3.LocalPath) || strings.HasPrefix(optML+"/", strings.TrimSuffix(path.Clean(*s3.LocalPath), "/")+"/"):
		return sagemaker.Invalid("Output %q: LocalPath is required and must be the absolute path of a folder, as one below %s.", o.OutputName, inputRoot)
	}
	if _, _, err := sagemaker.SplitS3URI(s3.S3Uri); err != nil {
		return sagemaker.Invalid("Output %q: %v.", o.OutputName, err)
	}
	return nil
}

func outputs(in *sagemaker.CreateProcessingJobInput) []*sagemaker.ProcessingOutput {
	return sagemaker.Or(in.ProcessingOutputConfig, sagemaker.ProcessingOutputConfig{}).Outputs
}

func isolated(in *sagemaker.CreateProcessingJobInput) bool {
	return sagemaker.Or(sagemaker.Or(in.NetworkConfig, sagemaker.NetworkConfig{}).EnableNetworkIsolation, false)
}

// network is what of it the job's processes may reach.
func (j *Job) network() runner.Network {
	if isolated(&j.Request) {
		return runner.NoNetwork
	}
	return ""
}
