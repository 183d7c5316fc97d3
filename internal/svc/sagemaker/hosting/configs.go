package hosting

import (
	"context"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// maxInstances bounds a variant: more processes than this never fit a machine.
const maxInstances = 64

func (f *Family) handleConfigs(s *awsapi.Service) {
	byName := func(r *awsapi.Request, name string) []awsapi.Permission {
		return []awsapi.Permission{sagemaker.Needs(r, "endpoint-config", name)}
	}
	awsapi.Handle(s, "CreateEndpointConfig", f.createConfig, awsapi.Access(func(r *awsapi.Request, in *sagemaker.CreateEndpointConfigInput) []awsapi.Permission {
		return byName(r, in.EndpointConfigName)
	}))
	awsapi.Handle(s, "DescribeEndpointConfig", f.describeConfig, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DescribeEndpointConfigInput) []awsapi.Permission {
		return byName(r, in.EndpointConfigName)
	}))
	awsapi.Handle(s, "DeleteEndpointConfig", f.deleteConfig, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DeleteEndpointConfigInput) []awsapi.Permission {
		return byName(r, in.EndpointConfigName)
	}))
	awsapi.Handle(s, "ListEndpointConfigs", f.listConfigs)
}

func (f *Family) createConfig(ctx context.Context, in *sagemaker.CreateEndpointConfigInput) (*sagemaker.CreateEndpointConfigOutput, error) {
	if err := validateConfig(in); err != nil {
		return nil, err
	}
	f.noteIgnored("CreateEndpointConfig", map[string]bool{
		"DataCaptureConfig": in.DataCaptureConfig != nil,
		"KmsKeyId":          in.KmsKeyId != nil,
		"VpcConfig":         in.VpcConfig != nil,
		"MetricsConfig":     in.MetricsConfig != nil,
	})
	r := awsapi.RequestFrom(ctx)
	config := &Config{Request: *in, ARN: sagemaker.ARN(r, "endpoint-config", in.EndpointConfigName), Created: time.Now().UTC()}
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		for _, v := range in.ProductionVariants {
			if _, err := find(tx, f.models, *v.ModelName, "model", sagemaker.ARN(r, "model", *v.ModelName)); err != nil {
				return err
			}
		}
		if err := add(tx, f.configs, in.EndpointConfigName, config, "endpoint configuration", config.ARN); err != nil {
			return err
		}
		return f.Tags.Create(tx, config.ARN, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &sagemaker.CreateEndpointConfigOutput{EndpointConfigArn: config.ARN}, nil
}

func validateConfig(in *sagemaker.CreateEndpointConfigInput) error {
	switch {
	case in.EndpointConfigName == "":
		return sagemaker.Invalid("EndpointConfigName must not be empty.")
	case in.AsyncInferenceConfig != nil:
		return sagemaker.Invalid("AsyncInferenceConfig is not supported yet.")
	case len(in.ShadowProductionVariants) > 0:
		return sagemaker.Invalid("ShadowProductionVariants are not supported yet.")
	case in.ExplainerConfig != nil:
		return sagemaker.Invalid("ExplainerConfig is not supported yet.")
	}
	seen, weights := map[string]bool{}, 0.0
	for _, v := range in.ProductionVariants {
		switch {
		case v.VariantName == "":
			return sagemaker.Invalid("VariantName must not be empty.")
		case seen[v.VariantName]:
			return sagemaker.Invalid("Variant name %q is used twice.", v.VariantName)
		case v.ModelName == nil:
			return sagemaker.Invalid("Variant %q: ModelName is required; inference components are not supported yet.", v.VariantName)
		case v.ServerlessConfig != nil:
			return sagemaker.Invalid("Variant %q: ServerlessConfig is not supported yet: give InstanceType and InitialInstanceCount.", v.VariantName)
		case v.InstanceType == nil || v.InitialInstanceCount == nil:
			return sagemaker.Invalid("Variant %q: InstanceType and InitialInstanceCount are required.", v.VariantName)
		case *v.InitialInstanceCount > maxInstances:
			return awsapi.Errorf("ResourceLimitExceeded", "Variant %q: InitialInstanceCount %d is above the limit of %d.", v.VariantName, *v.InitialInstanceCount, maxInstances)
		}
		seen[v.VariantName] = true
		weights += sagemaker.Or(v.InitialVariantWeight, 1)
	}
	if weights <= 0 {
		return sagemaker.Invalid("At least one variant needs an InitialVariantWeight above 0.")
	}
	return nil
}

func (f *Family) describeConfig(ctx context.Context, in *sagemaker.DescribeEndpointConfigInput) (*sagemaker.DescribeEndpointConfigOutput, error) {
	var c *Config
	err := f.db.View(ctx, func(tx *state.Tx) (err error) {
		c, err = f.findConfig(ctx, tx, in.EndpointConfigName)
		return err
	})
	if err != nil {
		return nil, err
	}
	req := c.Request
	return &sagemaker.DescribeEndpointConfigOutput{
		EndpointConfigName: req.EndpointConfigName, EndpointConfigArn: c.ARN, CreationTime: c.Created,
		ProductionVariants: req.ProductionVariants, DataCaptureConfig: req.DataCaptureConfig, KmsKeyId: req.KmsKeyId,
		ExecutionRoleArn: req.ExecutionRoleArn, VpcConfig: req.VpcConfig, EnableNetworkIsolation: req.EnableNetworkIsolation,
		MetricsConfig: req.MetricsConfig,
	}, nil
}

func (f *Family) findConfig(ctx context.Context, tx *state.Tx, name string) (*Config, error) {
	return find(tx, f.configs, name, "endpoint configuration", sagemaker.ARN(awsapi.RequestFrom(ctx), "endpoint-config", name))
}

func (f *Family) deleteConfig(ctx context.Context, in *sagemaker.DeleteEndpointConfigInput) (*sagemaker.DeleteEndpointConfigOutput, error) {
	return nil, f.db.Update(ctx, func(tx *state.Tx) error {
		c, err := f.findConfig(ctx, tx, in.EndpointConfigName)
		if err != nil {
			return err
		}
		if err := f.configs.Delete(tx, in.EndpointConfigName); err != nil {
			return err
		}
		return f.Tags.Delete(tx, c.ARN)
	})
}

func (f *Family) listConfigs(ctx context.Context, in *sagemaker.ListEndpointConfigsInput) (*sagemaker.ListEndpointConfigsOutput, error) {
	listing := sagemaker.Listing{
		NameContains: in.NameContains, CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		SortBy: sagemaker.Or(in.SortBy, "CreationTime"), Descending: sagemaker.Or(in.SortOrder, "Descending") == "Descending",
		MaxResults: in.MaxResults, NextToken: in.NextToken,
	}
	rows, next, err := sagemaker.Rows(ctx, f.db, f.configs, listing, func(c *Config) sagemaker.Entry {
		return sagemaker.Entry{Name: c.Request.EndpointConfigName, Created: c.Created}
	})
	out := &sagemaker.ListEndpointConfigsOutput{NextToken: next, EndpointConfigs: []*sagemaker.EndpointConfigSummary{}}
	for _, c := range rows {
		out.EndpointConfigs = append(out.EndpointConfigs, &sagemaker.EndpointConfigSummary{
			EndpointConfigName: c.Request.EndpointConfigName, EndpointConfigArn: c.ARN, CreationTime: c.Created,
		})
	}
	return out, err
}
