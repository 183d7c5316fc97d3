package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/progress"
)

// The names of what the demo makes.
const (
	name         = "musher-demo" // bucket, role, model, configuration, endpoint
	jobPrefix    = "demo-"
	outputPrefix = "output"
)

// Config says where and how the job is done.
type Config struct {
	Client   *awsclient.Client
	Photos   *Photos
	Trials   int // of the tuning job
	Parallel int // of them at once
	Epochs   int // of each training job
	Progress *progress.Reporter

	// JobLog names the file that a training job prints to, where this machine
	// has it: the number of photos and epochs is read there. Nil: only the
	// job's status is shown.
	JobLog func(job string) string

	// Before are steps that went before the run; the result lists them first.
	Before []StepTime

	// Ready, which may be nil, is called when the result is there. The endpoint
	// answers until it returns.
	Ready func(*Result) error
}

// run is a demo under way.
type run struct {
	Config
	stamp  string // of this run, in the jobs' names
	role   string // its ARN
	tuning string // the tuning job's name
	best   bestJob
	result *Result
}

// Run does the job. Whatever happens, and also when ctx ends, the endpoint is
// deleted and jobs are stopped before it returns. Errors of the services are
// *awsapi.Error.
func Run(ctx context.Context, c Config) (*Result, error) {
	r := &run{Config: c, stamp: time.Now().UTC().Format("060102-150405"), result: newResult(c)}
	err := r.do(ctx)
	if err == nil && c.Ready != nil {
		err = c.Ready(r.result)
	}
	return r.result, errors.Join(err, r.clear(ctx))
}

func (r *run) do(ctx context.Context) error {
	for _, part := range []func(context.Context) error{
		r.prepare, r.upload, r.train, r.tune, r.deploy, r.predict,
	} {
		if err := part(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
	return nil
}

// step runs a part of the job as a step with a name, and keeps its time.
func (r *run) step(name string, do func(*progress.Step) (summary string, err error)) error {
	s := r.Progress.Step(name)
	summary, err := do(s)
	if err != nil {
		s.Fail(plain(err))
		return fmt.Errorf("%s: %w", name, err)
	}
	s.Done("%s", summary)
	r.took(name, s.Elapsed(), summary)
	return nil
}

// plain is an error as people call it.
func plain(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}

func (r *run) took(name string, d time.Duration, summary string) {
	r.result.Steps = append(r.result.Steps, StepTime{name, d.Seconds(), summary})
}

// clearing is the time that stopping and deleting may take after an interrupt.
const clearing = 30 * time.Second

// clear takes down what would go on by itself.
func (r *run) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearing)
	defer cancel()
	return errors.Join(r.stopJobs(ctx), r.removeEndpoint(ctx))
}

// every looks at something again and again until it is as wanted.
func every(ctx context.Context, wait time.Duration, look func() (ok bool, err error)) error {
	tick := time.NewTicker(wait)
	defer tick.Stop()
	for {
		ok, err := look()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// look is how often a job or an endpoint is asked for its status.
const look = 200 * time.Millisecond

func or[T any](p *T, other T) T {
	if p == nil {
		return other
	}
	return *p
}
