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
	// Series returns all values that a job has printed of a metric so far, or
	// until it ended, in order.
	Series(ctx context.Context, name, metric string) ([]float64, error)
	// Unmatched says in words that a job has printed lines, and none of them
	// held a value of the metric; it is empty where one did, or none was printed.
	Unmatched(ctx context.Context, name, metric string) (string, error)
}

// Deps is what the family needs of the rest.
type Deps struct {
	DB      *state.DB
	Trainer Trainer
	Tags    *sagemaker.Tags
	Log     *slog.Logger
}
