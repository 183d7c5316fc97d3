package tuning

import (
	"context"
	"log/slog"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Trainer runs the trials.
type Trainer interface {
	// Create starts a training job of a tuning job; ResourceInUse if the name
	// is taken. The context carries the request that region and account come
	// from.
	Create(ctx context.Context, in *sagemaker.CreateTrainingJobInput, tuningJob string) (arn string, err error)
	Describe(ctx context.Context, name string) (*sagemaker.DescribeTrainingJobOutput, error)
	Stop(ctx context.Context, name string) error
}

// Deps is what the family needs of the rest.
type Deps struct {
	DB      *state.DB
	Trainer Trainer
	Tags    *sagemaker.Tags
	Log     *slog.Logger
}
