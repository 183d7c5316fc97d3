package training

import (
	"context"
	"errors"
	"time"

	"github.com/musher/musher/internal/runner"
)

// gang is where the instances of a job stand together.
type gang struct {
	all     []instance
	status  []runner.Status // of those that the runner knows
	known   []instance
	running []instance
	failed  int  // the index in known of the first that failed by itself; -1: none
	lost    bool // one went away, or was stopped by somebody else
}

func (f *Family) gang(ctx context.Context, job *Job) (*gang, error) {
	g := &gang{all: job.instances(), failed: -1}
	for _, i := range g.all {
		st, err := f.Runner.Inspect(ctx, workID(job, i))
		if errors.Is(err, runner.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		g.add(i, st)
	}
	return g, nil
}

func (g *gang) add(i instance, st runner.Status) {
	g.known, g.status = append(g.known, i), append(g.status, st)
	n := len(g.known) - 1
	switch {
	case !st.Ended():
		g.running = append(g.running, i)
	case st.Phase == runner.Lost || st.StopAsked:
		g.lost = true
	case st.ExitCode != 0 && (g.failed < 0 || st.ExitedAt.Before(g.status[g.failed].ExitedAt)):
		g.failed = n
	}
}

// stop asks the instances that still run to end.
func (f *Family) stop(ctx context.Context, job *Job, g *gang, grace time.Duration) error {
	for _, i := range g.running {
		if err := f.Runner.Stop(ctx, workID(job, i), grace); err != nil && !errors.Is(err, runner.ErrNotFound) {
			return err
		}
	}
	return nil
}
