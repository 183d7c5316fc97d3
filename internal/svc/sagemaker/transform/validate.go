package transform

import (
	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

const (
	maxInstances = 64  // more processes than this never fit a machine
	maxInFlight  = 100 // MB of an instance's requests, as on SageMaker
)

// validate refuses what cannot be done here.
func validate(in *sagemaker.CreateTransformJobInput) error {
	if n := in.TransformResources.InstanceCount; n > maxInstances {
		return awsapi.Errorf("ResourceLimitExceeded", "InstanceCount %d is above the limit of %d.", n, maxInstances)
	}
	if in.DataCaptureConfig != nil {
		return sagemaker.Invalid("DataCaptureConfig is not supported yet: leave it out.")
	}
	for _, check := range []func(*sagemaker.CreateTransformJobInput) error{validateInput, validateSizes, validateProcessing} {
		if err := check(in); err != nil {
			return err
		}
	}
	if _, _, err := sagemaker.SplitS3URI(in.TransformOutput.S3OutputPath); err != nil {
		return sagemaker.Invalid("Invalid S3OutputPath: %v.", err)
	}
	return nil
}

func validateInput(in *sagemaker.CreateTransformJobInput) error {
	from := in.TransformInput.DataSource.S3DataSource
	if from.S3DataType != channel.S3Prefix && from.S3DataType != channel.ManifestFile {
		return sagemaker.Invalid("S3DataType %s is not supported by transform jobs: use S3Prefix or ManifestFile.", from.S3DataType)
	}
	if _, _, err := sagemaker.SplitS3URI(from.S3Uri); err != nil {
		return sagemaker.Invalid("Invalid S3Uri: %v.", err)
	}
	if split := splitType(in); split != "None" && split != "Line" {
		return sagemaker.Invalid("SplitType %s is not supported yet: use Line, or None for whole objects.", split)
	}
	return nil
}

func validateSizes(in *sagemaker.CreateTransformJobInput) error {
	payload := sagemaker.Or(in.MaxPayloadInMB, defaultPayload)
	switch {
	case payload == 0:
		return sagemaker.Invalid("MaxPayloadInMB 0, bodies of any size, is not supported: give a bound of %d at the most.", maxInFlight)
	case payload*concurrent(in) > maxInFlight:
		return sagemaker.Invalid("MaxConcurrentTransforms times MaxPayloadInMB must be %d at the most, not %d times %d.", maxInFlight, concurrent(in), payload)
	}
	return nil
}

func validateProcessing(in *sagemaker.CreateTransformJobInput) error {
	p, err := newProcessing(in)
	if err != nil {
		return sagemaker.Invalid("DataProcessing: %v.", err)
	}
	contentType, accept := in.TransformInput.ContentType, in.TransformOutput.Accept
	from, to := format(sagemaker.Or(contentType, "")), format(sagemaker.Or(accept, ""))
	assemble := sagemaker.Or(in.TransformOutput.AssembleWith, "None")
	switch {
	case p == nil:
		return nil
	case (p.join || p.input.narrows()) && from == opaque:
		return sagemaker.Invalid("DataProcessing needs a ContentType of text/csv, application/json or application/jsonlines, not %q.", sagemaker.Or(contentType, ""))
	case accept != nil && *accept != "" && to == opaque && (p.join || p.output.narrows()):
		return sagemaker.Invalid("DataProcessing needs an Accept of text/csv, application/json or application/jsonlines, not %q.", *accept)
	case p.join && to != opaque && from != to:
		return sagemaker.Invalid("JoinSource Input needs a ContentType and an Accept of one kind, CSV or JSON, not %q and %q.", *contentType, *accept)
	case p.join && splitType(in) != assemble:
		return sagemaker.Invalid("JoinSource Input needs the same SplitType and AssembleWith, not %s and %s.", splitType(in), assemble)
	case from == rows && splitType(in) != "Line":
		return sagemaker.Invalid("DataProcessing of text/csv works line by line: set SplitType to Line.")
	}
	return nil
}

func splitType(in *sagemaker.CreateTransformJobInput) string {
	return sagemaker.Or(in.TransformInput.SplitType, "None")
}

const defaultPayload = 6 // MB

// concurrent is how many requests an instance gets at once.
func concurrent(in *sagemaker.CreateTransformJobInput) int64 {
	return max(1, sagemaker.Or(in.MaxConcurrentTransforms, 1))
}
