package training

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// saveEvery is how often checkpoints go up while a job runs.
const saveEvery = 2 * time.Second

// companion is what this server does beside the processes of one attempt: it
// feeds their pipes and takes their checkpoints to S3. It has the job's data in
// its hands, so it ends with the server; checkpoints go on with the next one,
// pipes cannot.
type companion struct {
	mu     sync.Mutex
	pipes  map[string][]*channel.Pipe // by host; from before the process starts
	cancel context.CancelFunc         // nil: it does not run yet
	done   sync.WaitGroup
	fault  error // of a pipe: the job has seen an end that was none
}

// beside returns the job's companion, made if there is none.
func (f *Family) beside(job *Job) *companion {
	c, _ := f.companions.LoadOrStore(job.Request.TrainingJobName, &companion{pipes: map[string][]*channel.Pipe{}})
	return c.(*companion)
}

// lay keeps the pipes of an instance for run.
func (c *companion) lay(host string, pipes []*channel.Pipe) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pipes[host] = pipes
}

// pipesAreCut tells whether an instance reads pipes that an earlier server fed.
func (f *Family) pipesAreCut(job *Job) bool {
	c := f.beside(job)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range job.instances() {
		if piped(job, i) && c.pipes[i.host()] == nil {
			return true
		}
	}
	return false
}

// feedFault is why a pipe ended too early, or nil.
func (f *Family) feedFault(job *Job) error {
	c := f.beside(job)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault
}

// accompany begins what goes on beside the processes of a job, if it does not
// go on already. It lasts until dismiss or leave, or until ctx ends.
func (f *Family) accompany(ctx context.Context, job *Job) {
	c := f.beside(job)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		return
	}
	ctx, c.cancel = context.WithCancel(ctx)
	for _, pipes := range c.pipes {
		for _, p := range pipes {
			c.done.Go(func() { c.feed(ctx, p, func() { f.Poke(job.Request.TrainingJobName) }) })
		}
	}
	if job.Request.CheckpointConfig != nil {
		c.done.Go(func() { f.save(ctx, job) })
	}
}

func (c *companion) feed(ctx context.Context, p *channel.Pipe, failed func()) {
	err := p.Run(ctx)
	if err == nil || ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	c.fault = err
	c.mu.Unlock()
	failed()
}

// save takes the checkpoints of all instances to S3, again and again.
func (f *Family) save(ctx context.Context, job *Job) {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := f.eachMirror(ctx, job, (*channel.Mirror).Up)
		if err != nil && ctx.Err() == nil && !failing {
			f.Log.Warn("checkpoints do not get to S3; it is tried again", "job", job.Request.TrainingJobName, "error", err)
		}
		failing = err != nil
	}
}

// leave ends what goes on beside the processes of a job.
func (f *Family) leave(job *Job) {
	kept, ok := f.companions.LoadAndDelete(job.Request.TrainingJobName)
	if !ok {
		return
	}
	c := kept.(*companion)
	c.mu.Lock()
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	c.done.Wait()
}

// dismiss ends what goes on beside the processes of a job, which have ended,
// with all checkpoints in S3.
func (f *Family) dismiss(ctx context.Context, job *Job) error {
	f.leave(job)
	if job.Request.CheckpointConfig == nil {
		return nil
	}
	err := f.eachMirror(ctx, job, (*channel.Mirror).Finish)
	if errors.Is(err, fs.ErrNotExist) {
		f.Log.Warn("the checkpoints of a training job are gone", "job", job.Request.TrainingJobName, "error", err)
		return nil
	}
	return err
}

// eachMirror makes a pass over the checkpoints of every instance, as the job's
// role.
func (f *Family) eachMirror(ctx context.Context, job *Job, pass func(*channel.Mirror, context.Context, *awsapi.Caller) error) error {
	caller, err := f.Roles.Session(ctx, job.Request.RoleArn, sessionName(job))
	if err != nil {
		return err
	}
	var failed []error
	for _, i := range job.instances() {
		m, err := f.mirror(job, i)
		if err == nil {
			err = pass(m, ctx, caller)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// mirror is the checkpoints of an instance. What it knows lies beside the
// instance's folder, so that each pass may begin with it anew.
func (f *Family) mirror(job *Job, i instance) (*channel.Mirror, error) {
	return channel.NewMirror(f.Objects, filepath.Join(f.folder(job, i), "checkpoints"),
		job.Request.CheckpointConfig.S3Uri, filepath.Join(f.home(job), "checkpoints."+i.host()+".json"))
}

// restoreCheckpoints brings down what earlier attempts, or jobs, have saved.
func (f *Family) restoreCheckpoints(ctx context.Context, caller *awsapi.Caller, job *Job, i instance) error {
	if job.Request.CheckpointConfig == nil {
		return nil
	}
	m, err := f.mirror(job, i)
	if err != nil {
		return err
	}
	return m.Down(ctx, caller)
}

// checkpointsLost are the words for checkpoints that could not be saved.
func checkpointsLost(err error) string { return channel.Reason("Checkpoint upload failed", err) }
