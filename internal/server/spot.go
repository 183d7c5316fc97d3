package server

import (
	"context"

	"github.com/musher/musher/internal/svc/sagemaker/training"
	"github.com/musher/musher/internal/svc/spot"
)

// spotJobs are the training jobs as the spot service sees them.
type spotJobs struct{ training *training.Family }

func (j spotJobs) Interrupt(ctx context.Context, job string, how spot.Interruption) error {
	return j.training.Interrupt(ctx, job, training.Interruption(how))
}

func (j spotJobs) Running(ctx context.Context) ([]spot.Running, error) {
	jobs, err := j.training.SpotJobs(ctx)
	var out []spot.Running
	for _, job := range jobs {
		out = append(out, spot.Running(job))
	}
	return out, err
}
