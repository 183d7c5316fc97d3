package processing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
)

// maxMessage is how much of output/message counts, in bytes of the file.
const maxMessage = 1024

// copyFolder copies what lies in from to a folder that is there, or ends early
// with ctx.
func copyFolder(ctx context.Context, to, from string) error {
	return os.CopyFS(to, interruptible{os.DirFS(from), ctx})
}

// interruptible is a file system whose files cannot be opened once ctx is done.
type interruptible struct {
	fs.FS
	ctx context.Context
}

func (i interruptible) Open(name string) (fs.File, error) {
	if err := context.Cause(i.ctx); err != nil {
		return nil, err
	}
	return i.FS.Open(name)
}

// memory is where is written down what of an instance's nth output is in S3.
func (f *Family) memory(job *Job, i instance, n int) string {
	return filepath.Join(f.home(job), fmt.Sprintf("output.%s.%d.json", i.host(), n))
}

// continuous tells whether an output goes to S3 while the job runs.
func continuous(o *sagemaker.ProcessingOutput) bool { return o.S3Output.S3UploadMode == "Continuous" }

// save makes a pass over those outputs of all instances that wanted says, as
// the job's role.
func (f *Family) save(ctx context.Context, job *Job, wanted func(*sagemaker.ProcessingOutput) bool, pass func(*channel.Mirror, context.Context, *awsapi.Caller) error) error {
	var caller *awsapi.Caller
	var failed []error
	for n, o := range job.outputs() {
		if !wanted(o) {
			continue
		}
		if caller == nil {
			var err error
			if caller, err = f.Roles.Session(ctx, job.Request.RoleArn, sessionName(job)); err != nil {
				return err
			}
		}
		for _, i := range job.instances() {
			m, err := channel.NewMirror(f.Objects, f.localFolder(job, i, *o.S3Output.LocalPath), o.S3Output.S3Uri, f.memory(job, i, n))
			if err == nil {
				err = pass(m, ctx, caller)
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("output %s: %w", o.OutputName, err))
			}
		}
	}
	return errors.Join(failed...)
}

// saveAsItRuns takes what has been written to continuous outputs to S3.
func (f *Family) saveAsItRuns(ctx context.Context, job *Job) {
	err := f.save(ctx, job, continuous, (*channel.Mirror).Up)
	if err != nil && ctx.Err() == nil && f.once.First("output."+job.ARN) {
		f.Log.Warn("outputs do not get to S3; it is tried again", "job", job.Request.ProcessingJobName, "error", err)
	}
}

// message is what an instance wrote to be told to the user.
func (f *Family) message(job *Job) string {
	for _, i := range job.instances() {
		if text := sagemaker.ReadOwn(f.optFolder(job, i), "output/message", maxMessage); text != "" {
			return text
		}
	}
	return ""
}

// blame says why a process failed: in its own words where it left some, else
// by what it printed last.
func (f *Family) blame(job *Job, i instance, st runner.Status) string {
	how := fmt.Sprintf("exit code: %d", st.ExitCode)
	if st.Signal != "" {
		how = "killed by " + st.Signal
	}
	if st.Reason != "" {
		how += " (" + st.Reason + ")"
	}
	if job.count() > 1 {
		how += " on " + i.host()
	}
	if text := sagemaker.ReadOwn(f.optFolder(job, i), "output/message", maxMessage); text != "" {
		return fmt.Sprintf("AlgorithmError: %s, %s", text, how)
	}
	if last := sagemaker.LastLines(f.logPath(job, i), 500); last != "" {
		how += ", last output: " + last
	}
	return "AlgorithmError: the processing program failed: " + how
}
