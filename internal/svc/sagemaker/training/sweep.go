package training

import (
	"context"
	"time"

	"github.com/musher/musher/internal/state"
)

// Sweep removes staged data that no job has asked for since a time and that no
// unfinished job reads.
func (f *Family) Sweep(ctx context.Context, since time.Time) error {
	used := map[string]bool{}
	err := f.db.View(ctx, func(tx *state.Tx) error {
		return f.jobs.Scan(tx, state.Range{}, func(_ string, job *Job) (bool, error) {
			for _, folder := range job.Inputs {
				used[folder] = used[folder] || !job.Done()
			}
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	return f.Stage.Sweep(since, func(folder string) bool { return used[folder] })
}
