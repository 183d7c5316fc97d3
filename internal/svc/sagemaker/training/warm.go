package training

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// A warm pool is what an ended job leaves for the next one like it. In the
// cloud that is machines. Here a machine is always up, and what takes time
// is to install what a script requires: so the folder with that is kept.
const packagesFolder = "code-packages"

// Pool is a job's warm pool, from the end of the job.
type Pool struct {
	Status   string    // WarmPoolResourceStatus
	Until    time.Time // while it is available
	Gone     time.Time // when it was not any more
	ReusedBy string    // a job
}

// The values of WarmPoolResourceStatus.
const (
	poolAvailable  = "Available"
	poolTerminated = "Terminated"
	poolReused     = "Reused"
	poolInUse      = "InUse"
)

// offer is an available pool, listed for jobs that look for one.
type offer struct {
	Match string
	Until time.Time
}

// match is the same for jobs that may share a pool: those of one role, image,
// and kind of instances.
func (j *Job) match() string {
	in := j.Request
	raw, _ := json.Marshal([]any{ //nolint:errchkjson // plain data
		in.RoleArn, in.AlgorithmSpecification.TrainingImage, j.groups(),
		in.ResourceConfig.VolumeSizeInGB, in.ResourceConfig.VolumeKmsKeyId, in.VpcConfig,
		sagemaker.Or(in.EnableNetworkIsolation, false), sagemaker.Or(in.EnableInterContainerTrafficEncryption, false),
	})
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// leavesPool tells whether a pool begins when the job ends.
func (j *Job) leavesPool() bool { return j.keepAlive() > 0 && !j.Started.IsZero() }

func (j *Job) keepAlive() time.Duration {
	return seconds(j.Request.ResourceConfig.KeepAlivePeriodInSeconds)
}

func (f *Family) poolFolder(job string) string { return filepath.Join(f.Dir, job, "pool") }

// keep puts the packages of a job that ends aside, before its pool is offered.
func (f *Family) keep(job *Job) {
	if !job.leavesPool() {
		return
	}
	for _, i := range job.instances() {
		to := filepath.Join(f.poolFolder(job.Request.TrainingJobName), i.host())
		err := os.MkdirAll(filepath.Dir(to), 0o700)
		if err == nil {
			err = os.Rename(filepath.Join(f.folder(job, i), packagesFolder), to)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			f.Log.Warn("a warm pool is without the packages of its job", "job", job.Request.TrainingJobName, "error", err)
		}
	}
}

// openPool offers a job's pool, in the transaction that ends the job.
func (f *Family) openPool(tx *state.Tx, now time.Time, j *Job) error {
	if !j.leavesPool() {
		return nil
	}
	j.Pool = &Pool{Status: poolAvailable, Until: now.Add(j.keepAlive())}
	return f.offers.Put(tx, j.Request.TrainingJobName, &offer{Match: j.match(), Until: j.Pool.Until})
}

// claim takes a pool that fits a job, if there is one, and remembers whose it
// was. A job that starts a second time has its own.
func (f *Family) claim(ctx context.Context, job *Job) error {
	if job.builtin() || job.spot() || job.Attempt > 0 || job.Warm != "" {
		return nil
	}
	now, name := time.Now().UTC(), job.Request.TrainingJobName
	return f.db.Update(ctx, func(tx *state.Tx) error {
		from := ""
		err := f.offers.Scan(tx, state.Range{}, func(owner string, o *offer) (bool, error) {
			if o.Match == job.match() && o.Until.After(now) {
				from = owner
			}
			return from == "", nil
		})
		if err != nil || from == "" {
			return err
		}
		if err := f.closePool(tx, from, now, poolReused, name); err != nil {
			return err
		}
		row, err := f.jobs.Modify(tx, name, func(j *Job) error { j.Warm = from; return nil })
		if err == nil {
			job.Warm = row.Warm
		}
		return err
	})
}

func (f *Family) closePool(tx *state.Tx, owner string, now time.Time, status, by string) error {
	if err := f.offers.Delete(tx, owner); err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	_, err := f.jobs.Modify(tx, owner, func(j *Job) error {
		j.Pool = &Pool{Status: status, Gone: now, ReusedBy: by}
		return nil
	})
	return err
}

// warmUp gives an instance what the pool has for it. After a crash in the
// middle that may be gone; then it is installed anew.
func (f *Family) warmUp(job *Job, i instance) error {
	if job.Warm == "" {
		return nil
	}
	err := os.Rename(filepath.Join(f.poolFolder(job.Warm), i.host()), filepath.Join(f.folder(job, i), packagesFolder))
	return ignoreNone(err)
}

// cool ends the pool of an ended job when its time has come.
func (f *Family) cool(ctx context.Context, job *Job) (time.Duration, error) {
	if job.Pool == nil || job.Pool.Status != poolAvailable {
		return 0, nil
	}
	now := time.Now().UTC()
	if left := job.Pool.Until.Sub(now); left > 0 {
		return left, nil
	}
	name, ended := job.Request.TrainingJobName, false
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		row, err := f.jobs.Get(tx, name)
		if err != nil || row.Pool.Status != poolAvailable || row.Pool.Until.After(now) {
			return err
		}
		ended = true
		return f.closePool(tx, name, now, poolTerminated, "")
	})
	if err != nil || !ended {
		return 0, err
	}
	return 0, os.RemoveAll(f.poolFolder(name))
}

// warmPoolStatus describes a job's pool, nil if it has none.
func (j *Job) warmPoolStatus() *sagemaker.WarmPoolStatus {
	switch {
	case j.Pool != nil:
		out := &sagemaker.WarmPoolStatus{Status: j.Pool.Status, ReusedByJob: sagemaker.NotEmpty(j.Pool.ReusedBy)}
		if !j.Pool.Gone.IsZero() {
			kept := int64(j.Pool.Gone.Sub(j.Ended).Seconds())
			out.ResourceRetainedBillableTimeInSeconds = &kept
		}
		return out
	case j.keepAlive() > 0 && !j.Done():
		return &sagemaker.WarmPoolStatus{Status: poolInUse}
	}
	return nil
}

// updateTrainingJob changes how long a job's pool is kept, also of a job that
// has ended.
func (f *Family) updateTrainingJob(ctx context.Context, in *sagemaker.UpdateTrainingJobInput) (*sagemaker.UpdateTrainingJobOutput, error) {
	f.once.Ignored(f.Log, "UpdateTrainingJob", map[string]bool{
		"ProfilerConfig": in.ProfilerConfig != nil, "ProfilerRuleConfigurations": len(in.ProfilerRuleConfigurations) > 0,
		"RemoteDebugConfig": in.RemoteDebugConfig != nil,
	})
	var arn string
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		row, err := f.jobs.Modify(tx, in.TrainingJobName, func(j *Job) error {
			arn = j.ARN
			if in.ResourceConfig == nil {
				return nil
			}
			return j.prolong(in.ResourceConfig.KeepAlivePeriodInSeconds)
		})
		if err != nil || row.Pool == nil || row.Pool.Status != poolAvailable {
			return err
		}
		return f.offers.Put(tx, in.TrainingJobName, &offer{Match: row.match(), Until: row.Pool.Until})
	})
	if errors.Is(err, state.ErrNotFound) {
		return nil, sagemaker.Invalid("Requested resource not found.")
	}
	if err != nil {
		return nil, err
	}
	f.Poke(in.TrainingJobName)
	return &sagemaker.UpdateTrainingJobOutput{TrainingJobArn: arn}, nil
}

// prolong sets how long the pool is kept after the end of the job; 0 ends it.
func (j *Job) prolong(keep int64) error {
	switch {
	case j.spot() && keep > 0:
		return sagemaker.Invalid("KeepAlivePeriodInSeconds cannot be used with managed spot training.")
	case j.Done() && (j.Pool == nil || j.Pool.Status != poolAvailable):
		return sagemaker.Invalid("The warm pool of the training job %s is not available any more.", j.Request.TrainingJobName)
	}
	j.Request.ResourceConfig.KeepAlivePeriodInSeconds = &keep
	if j.Pool != nil {
		j.Pool.Until = j.Ended.Add(seconds(&keep))
	}
	return nil
}
