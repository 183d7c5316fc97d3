package training

import (
	"context"
	"errors"
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// SpotJob is a job that runs on spot instances right now.
type SpotJob struct {
	Job           string
	InstanceType  string
	Since         time.Time // when its instances came up last
	Interruptions int
}

// Interrupt takes the instances of a managed spot training job away. It fails
// where the job has none at the moment.
func (f *Family) Interrupt(ctx context.Context, name string, how Interruption) error {
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		_, err := f.jobs.Modify(tx, name, func(j *Job) error {
			switch {
			case !j.spot():
				return sagemaker.Invalid("The training job %s does not run on spot instances: EnableManagedSpotTraining is not set.", name)
			case j.Secondary != "Training" || j.StopAsked || j.Over != "":
				return sagemaker.Invalid("The training job %s has no instances that could be taken away: it is %s.", name, j.Secondary)
			case j.Interrupt == nil:
				j.Interrupt = &how
			}
			return nil
		})
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return sagemaker.Invalid("Requested resource not found.")
	}
	if err == nil {
		f.Poke(name)
	}
	return err
}

// SpotJobs lists the jobs on spot instances that train right now.
func (f *Family) SpotJobs(ctx context.Context) (jobs []SpotJob, err error) {
	err = f.db.View(ctx, func(tx *state.Tx) error {
		return f.jobs.Scan(tx, state.Range{}, func(name string, j *Job) (bool, error) {
			if j.spot() && j.Secondary == "Training" && !j.Done() {
				jobs = append(jobs, SpotJob{
					Job: name, InstanceType: j.groups()[0].InstanceType,
					Since: j.Launched, Interruptions: j.interruptions(),
				})
			}
			return true, nil
		})
	})
	return jobs, err
}

func (j *Job) interruptions() (n int) {
	for _, t := range j.Transitions {
		if t.Status == "Interrupted" {
			n++
		}
	}
	return n
}

// takeAway carries an interruption out: the processes get a notice, and as long
// as its grace to save their work.
func (f *Family) takeAway(ctx context.Context, job *Job) (time.Duration, error) {
	g, err := f.gang(ctx, job)
	if err != nil {
		return 0, err
	}
	if len(g.running) > 0 {
		f.accompany(ctx, job)
		return watch, errors.Join(f.stop(ctx, job, g, job.Interrupt.Grace), f.readMetrics(ctx, job, false))
	}
	if len(g.known) > 0 && !g.lost {
		// They ended by themselves before the notice came: let watch decide.
		defer f.Poke(job.Request.TrainingJobName)
		return 0, f.update(ctx, job, func(_ time.Time, j *Job) { j.Interrupt = nil })
	}
	if err := f.readMetrics(ctx, job, true); err != nil {
		return 0, err
	}
	if err := f.dismiss(ctx, job); err != nil {
		return 0, f.failOver(ctx, job, checkpointsLost(err))
	}
	f.Log.Info("a training job was interrupted", "job", job.Request.TrainingJobName, "why", job.Interrupt.Why)
	return 0, f.again(ctx, job, func(now time.Time, j *Job) {
		j.From = f.logEnds(job)
		j.Back = now.Add(j.Interrupt.Away)
		j.enter(now, inProgress, "Interrupted", "The training job was interrupted: "+j.Interrupt.Why)
		j.Interrupt = nil
	})
}

// await begins an interrupted job anew once there are instances again.
func (f *Family) await(ctx context.Context, job *Job) (time.Duration, error) {
	now := time.Now()
	switch left := job.Back.Sub(now); {
	case job.waitIsOver(now):
		return 0, f.runOut(ctx, job, "MaxWaitTimeExceeded", "MaxWaitTimeInSeconds has passed")
	case left > 0:
		return min(left, watch), nil
	}
	defer f.Poke(job.Request.TrainingJobName)
	return 0, f.update(ctx, job, func(now time.Time, j *Job) {
		j.enter(now, inProgress, "Starting", "Starting the training job")
	})
}

// waitIsOver tells whether a spot job has lasted for longer than its user
// wants to wait for it.
func (j *Job) waitIsOver(now time.Time) bool {
	limit := seconds(j.Request.StoppingCondition.MaxWaitTimeInSeconds)
	return j.spot() && limit > 0 && now.Sub(j.Created) > limit
}
