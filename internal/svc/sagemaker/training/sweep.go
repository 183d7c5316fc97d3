package training

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/musher/musher/internal/runner"
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

// tidy clears up behind jobs that ended just before a server died: their row
// is written, and the loop does not look at them any more.
func (f *Family) tidy(ctx context.Context) error {
	work, err := f.Runner.List(ctx)
	if err != nil {
		return err
	}
	for _, st := range work {
		if st.Labels["kind"] != "training" || !st.Ended() {
			continue
		}
		job, err := f.Get(ctx, st.Labels["job"])
		if err = ignoreMissing(err); err != nil {
			return err
		}
		if job != nil && job.Done() {
			f.clearUp(job)
		}
		if job == nil || job.Done() || !current(job, st.ID) {
			if err := f.Runner.Remove(ctx, st.ID); err != nil && !errors.Is(err, runner.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// current tells whether a piece of work is of the attempt that a job is in.
func current(job *Job, id string) bool {
	return slices.ContainsFunc(job.instances(), func(i instance) bool { return workID(job, i) == id })
}
