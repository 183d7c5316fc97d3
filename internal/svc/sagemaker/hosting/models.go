package hosting

import (
	"context"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

func (f *Family) handleModels(s *awsapi.Service) {
	byName := func(r *awsapi.Request, name string) []awsapi.Permission {
		return []awsapi.Permission{sagemaker.Needs(r, "model", name)}
	}
	awsapi.Handle(s, "CreateModel", f.createModel, awsapi.Access(func(r *awsapi.Request, in *sagemaker.CreateModelInput) []awsapi.Permission {
		needs := byName(r, in.ModelName)
		if in.ExecutionRoleArn != nil {
			needs = append(needs, sagemaker.NeedsToPass(*in.ExecutionRoleArn))
		}
		return needs
	}))
	awsapi.Handle(s, "DescribeModel", f.describeModel, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DescribeModelInput) []awsapi.Permission {
		return byName(r, in.ModelName)
	}))
	awsapi.Handle(s, "DeleteModel", f.deleteModel, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DeleteModelInput) []awsapi.Permission {
		return byName(r, in.ModelName)
	}))
	awsapi.Handle(s, "ListModels", f.listModels)
}

func (f *Family) createModel(ctx context.Context, in *sagemaker.CreateModelInput) (*sagemaker.CreateModelOutput, error) {
	if err := f.validateModel(in); err != nil {
		return nil, err
	}
	c := container(in)
	f.noteIgnored("CreateModel", map[string]bool{
		"VpcConfig":                in.VpcConfig != nil,
		"InferenceExecutionConfig": in.InferenceExecutionConfig != nil,
		"ImageConfig":              c.ImageConfig != nil,
		"ContainerMetricsConfig":   c.ContainerMetricsConfig != nil,
	})
	model := &Model{Request: *in, ARN: sagemaker.ARN(awsapi.RequestFrom(ctx), "model", in.ModelName), Created: time.Now().UTC()}
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		if err := add(tx, f.models, in.ModelName, model, "model", model.ARN); err != nil {
			return err
		}
		return f.Tags.Create(tx, model.ARN, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &sagemaker.CreateModelOutput{ModelArn: model.ARN}, nil
}

func (f *Family) validateModel(in *sagemaker.CreateModelInput) error {
	c := container(in)
	switch {
	case in.ModelName == "":
		return sagemaker.Invalid("ModelName must not be empty.")
	case in.PrimaryContainer != nil && len(in.Containers) > 0:
		return sagemaker.Invalid("Give PrimaryContainer or Containers, not both.")
	case len(in.Containers) > 1:
		return sagemaker.Invalid("Inference pipelines are not supported yet: give one container, not %d.", len(in.Containers))
	case c == nil:
		return sagemaker.Invalid("PrimaryContainer is required.")
	case c.Image == nil:
		return sagemaker.Invalid("The container must name an Image; ModelPackageName is not supported yet.")
	case c.Mode != nil && *c.Mode != "SingleModel":
		return sagemaker.Invalid("Container mode %s is not supported yet: use SingleModel.", *c.Mode)
	case c.MultiModelConfig != nil:
		return sagemaker.Invalid("MultiModelConfig is not supported yet: create an endpoint per model.")
	case len(c.AdditionalModelDataSources) > 0:
		return sagemaker.Invalid("AdditionalModelDataSources are not supported yet: put all files into one ModelDataSource.")
	case in.ExecutionRoleArn == nil:
		return sagemaker.Invalid("ExecutionRoleArn is required: the model's data is read as that role.")
	}
	rt, err := f.Images.Resolve(*c.Image)
	if err != nil {
		return sagemaker.Invalid("Cannot find the inference image: %v.", err)
	}
	if rt.Kind == runtimes.Container {
		return sagemaker.Invalid("The image %s has a server of its own, and containers cannot be run here yet: name an image of a Python runtime (musher runtime ls).", *c.Image)
	}
	data, err := modelSource(c)
	if err == nil && data.uri == "" && rt.Kind == runtimes.Builtin {
		return sagemaker.Invalid("ModelDataUrl is required: the built-in model server serves a trained model.")
	}
	if err == nil {
		_, err = codeSource(c)
	}
	return err
}

func (f *Family) describeModel(ctx context.Context, in *sagemaker.DescribeModelInput) (*sagemaker.DescribeModelOutput, error) {
	var m *Model
	err := f.db.View(ctx, func(tx *state.Tx) (err error) {
		m, err = find(tx, f.models, in.ModelName, "model", sagemaker.ARN(awsapi.RequestFrom(ctx), "model", in.ModelName))
		return err
	})
	if err != nil {
		return nil, err
	}
	return &sagemaker.DescribeModelOutput{
		ModelName: m.Request.ModelName, ModelArn: m.ARN, CreationTime: m.Created,
		PrimaryContainer: m.Request.PrimaryContainer, Containers: m.Request.Containers,
		ExecutionRoleArn: m.Request.ExecutionRoleArn, VpcConfig: m.Request.VpcConfig,
		EnableNetworkIsolation: m.Request.EnableNetworkIsolation, InferenceExecutionConfig: m.Request.InferenceExecutionConfig,
	}, nil
}

func (f *Family) deleteModel(ctx context.Context, in *sagemaker.DeleteModelInput) (*sagemaker.DeleteModelOutput, error) {
	return nil, f.db.Update(ctx, func(tx *state.Tx) error {
		m, err := find(tx, f.models, in.ModelName, "model", sagemaker.ARN(awsapi.RequestFrom(ctx), "model", in.ModelName))
		if err != nil {
			return err
		}
		if err := f.models.Delete(tx, in.ModelName); err != nil {
			return err
		}
		return f.Tags.Delete(tx, m.ARN)
	})
}

func (f *Family) listModels(ctx context.Context, in *sagemaker.ListModelsInput) (*sagemaker.ListModelsOutput, error) {
	listing := sagemaker.Listing{
		NameContains: in.NameContains, CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		SortBy: sagemaker.Or(in.SortBy, "CreationTime"), Descending: sagemaker.Or(in.SortOrder, "Descending") == "Descending",
		MaxResults: in.MaxResults, NextToken: in.NextToken,
	}
	rows, next, err := sagemaker.Rows(ctx, f.db, f.models, listing, func(m *Model) sagemaker.Entry {
		return sagemaker.Entry{Name: m.Request.ModelName, Created: m.Created}
	})
	out := &sagemaker.ListModelsOutput{NextToken: next, Models: []*sagemaker.ModelSummary{}}
	for _, m := range rows {
		out.Models = append(out.Models, &sagemaker.ModelSummary{ModelName: m.Request.ModelName, ModelArn: m.ARN, CreationTime: m.Created})
	}
	return out, err
}
