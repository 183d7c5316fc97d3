package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// errStopAsked cancels a preparation that StopTrainingJob made useless.
var errStopAsked = errors.New("the job was stopped")

// prepare brings the data, and starts the process.
func (f *Family) prepare(ctx context.Context, job *Job) error {
	name := job.Request.TrainingJobName
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.steps.Store(name, cancel)
	defer f.steps.Delete(name)

	err := f.launch(ctx, job)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errStopAsked):
		return nil // Stop has poked: the next step winds the job up
	case ctx.Err() != nil:
		return ctx.Err() // the server ends; the next one continues
	}
	f.kill(ctx, job)
	return f.end(ctx, job, func(now time.Time, j *Job) { j.fail(now, channel.Reason("The job cannot start", err)) })
}

// interrupt cancels the preparation of a job, if one is under way.
func (f *Family) interrupt(name string) {
	if cancel, ok := f.steps.Load(name); ok {
		cancel.(context.CancelCauseFunc)(errStopAsked)
	}
}

// launch brings the instances up that do not run yet. A server that died in
// the middle has started some: those have their folders, which must not be laid
// out anew.
func (f *Family) launch(ctx context.Context, job *Job) error {
	missing, err := f.missing(ctx, job)
	if err != nil {
		return err
	}
	if len(missing) == 0 {
		return f.launched(ctx, job)
	}
	rt, err := f.Images.Resolve(*job.Request.AlgorithmSpecification.TrainingImage)
	if err != nil {
		return sagemaker.Invalid("%v", err)
	}
	caller, err := f.Roles.Session(ctx, job.Request.RoleArn, sessionName(job))
	if err != nil {
		return err
	}
	var provided sagemaker.Provision
	if job.builtin() {
		if provided, err = f.Algorithm.Provide(ctx, job.Request.HyperParameters); err != nil {
			return err
		}
	}
	if err := f.beginDownload(ctx, job); err != nil {
		return err
	}
	inputs, err := f.bring(ctx, caller, job)
	if err != nil {
		return err
	}
	// From here on Sweep keeps its hands off the data.
	if err := f.update(ctx, job, func(_ time.Time, j *Job) { j.Inputs = inputs }); err != nil {
		return err
	}
	if err := f.claim(ctx, job); err != nil {
		return err
	}
	if err := os.MkdirAll(f.home(job), 0o700); err != nil {
		return err
	}
	code, err := f.fetchCode(ctx, caller, job)
	if err != nil {
		return err
	}
	defer os.Remove(code)
	if err := sagemaker.WriteHosts(f.hostsPath(job), job.ARN, len(job.instances())); err != nil {
		return err
	}
	for _, i := range missing {
		if err := f.furnish(ctx, caller, job, i, code); err != nil {
			return err
		}
	}
	for _, i := range missing {
		spec, err := f.spec(job, i, rt, provided)
		if err != nil {
			return err
		}
		if err := f.Runner.Start(ctx, spec); err != nil {
			return err
		}
	}
	return f.launched(ctx, job)
}

// missing are the instances that the runner does not know.
func (f *Family) missing(ctx context.Context, job *Job) (none []instance, err error) {
	for _, i := range job.instances() {
		switch _, err := f.Runner.Inspect(ctx, workID(job, i)); {
		case errors.Is(err, runner.ErrNotFound):
			none = append(none, i)
		case err != nil:
			return nil, err
		}
	}
	return none, nil
}

// beginDownload enters Downloading, and settles what all instances of this
// attempt have in common.
func (f *Family) beginDownload(ctx context.Context, job *Job) error {
	port := job.Port
	if port == 0 && !job.builtin() {
		var err error
		if port, err = freePort(); err != nil {
			return err
		}
	}
	return f.update(ctx, job, func(now time.Time, j *Job) {
		j.Port = port
		if j.LogEpoch == 0 {
			j.LogEpoch = now.Unix()
		}
		j.enter(now, inProgress, "Downloading", "Downloading input data")
	})
}

// furnish makes the folder of an instance, with all that it reads.
func (f *Family) furnish(ctx context.Context, caller *awsapi.Caller, job *Job, i instance, code string) error {
	if err := f.layOut(job, i, job.Inputs); err != nil {
		return err
	}
	if err := f.warmUp(job, i); err != nil {
		return err
	}
	if code != "" {
		if err := copyFile(filepath.Join(f.folder(job, i), codeArchive), code); err != nil {
			return err
		}
	}
	if err := f.restoreCheckpoints(ctx, caller, job, i); err != nil {
		return err
	}
	pipes, err := f.pipes(ctx, caller, job, i)
	if err != nil {
		return err
	}
	f.beside(job).lay(i.host(), pipes)
	return nil
}

// kill ends what runs of a job that could not be started as a whole.
func (f *Family) kill(ctx context.Context, job *Job) {
	for ctx.Err() == nil {
		g, err := f.gang(ctx, job)
		if err != nil || len(g.running) == 0 || f.stop(ctx, job, g, 0) != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (f *Family) launched(ctx context.Context, job *Job) error {
	for _, i := range job.instances() {
		if f.Logs == nil {
			break
		}
		if err := f.Logs.Follow(ctx, logGroup, logStream(job, i), f.logPath(job, i)); err != nil {
			return err
		}
	}
	err := f.update(ctx, job, func(now time.Time, j *Job) {
		if j.Started.IsZero() {
			j.Started = now
		}
		j.Launched = now
		j.enter(now, inProgress, "Training", "Training in-progress")
	})
	f.Poke(job.Request.TrainingJobName)
	return err
}

// logGroup is where CloudWatch Logs has what training jobs print.
const logGroup = "/aws/sagemaker/TrainingJobs"

// logStream names an instance's stream. It stays the same in all attempts:
// clients look for the streams once.
func logStream(job *Job, i instance) string {
	return fmt.Sprintf("%s/%s-%d", job.Request.TrainingJobName, i.host(), job.LogEpoch)
}
