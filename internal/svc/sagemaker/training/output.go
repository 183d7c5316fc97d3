package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/musher/musher/internal/artifact"
	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// maxFailure is how much of output/failure counts, in bytes of the file.
const maxFailure = 1024

// blame says why a process failed: in its own words where it left some, else
// by how it ended and what it printed last.
func (f *Family) blame(job *Job, i instance, st runner.Status) string {
	if text := sagemaker.ReadOwn(f.folder(job, i), "output/failure", maxFailure); text != "" {
		return "AlgorithmError: " + text
	}
	how := fmt.Sprintf("exit code %d", st.ExitCode)
	if st.Signal != "" {
		how = "killed by " + st.Signal
	}
	if st.Reason != "" {
		how += " (" + st.Reason + ")"
	}
	if len(job.instances()) > 1 {
		how += " on " + i.host()
	}
	if last := sagemaker.LastLines(f.logPath(job, i), 500); last != "" {
		how += ", last output: " + last
	}
	return "AlgorithmError: the training process failed: " + how
}

// upload puts the model, and what the job left in output/data, under the job's
// output path, as its role. It returns the model's URI.
func (f *Family) upload(ctx context.Context, job *Job) (string, error) {
	caller, err := f.Roles.Session(ctx, job.Request.RoleArn, sessionName(job))
	if err != nil {
		return "", err
	}
	out := job.Request.OutputDataConfig
	bucket, prefix, err := sagemaker.SplitS3URI(out.S3OutputPath)
	if err != nil {
		return "", err
	}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	prefix += job.Request.TrainingJobName + "/output/"
	if data, err := f.collect(job, "output/data"); err != nil {
		return "", err
	} else if data != "" {
		if err := f.putPacked(ctx, caller, data, bucket, prefix+"output.tar.gz"); err != nil {
			return "", err
		}
	}
	model, err := f.collect(job, "model")
	if err != nil || model == "" {
		return "", err
	}
	if sagemaker.Or(out.CompressionType, "GZIP") == "NONE" {
		prefix += "model/"
		return fmt.Sprintf("s3://%s/%s", bucket, prefix), f.putFiles(ctx, caller, model, bucket, prefix)
	}
	return fmt.Sprintf("s3://%s/%smodel.tar.gz", bucket, prefix), f.putPacked(ctx, caller, model, bucket, prefix+"model.tar.gz")
}

// collect brings together what all instances left in one of their folders, in
// the folder of the first. Of a name that several used, the first one's counts.
// It returns the folder, or nothing where it is empty. A step that is repeated
// finds the files moved already.
func (f *Family) collect(job *Job, name string) (string, error) {
	root, err := os.OpenRoot(f.home(job))
	if err != nil {
		return "", ignoreNone(err)
	}
	defer root.Close()
	all := job.instances()
	to := filepath.Join(all[0].host(), name)
	for _, i := range all[1:] {
		if err := move(root, filepath.Join(i.host(), name), to); err != nil {
			return "", err
		}
	}
	// Nothing of the job runs any more, so what is a folder now stays one.
	if info, err := root.Lstat(to); err != nil || !info.IsDir() {
		return "", ignoreNone(err)
	}
	entries, err := fs.ReadDir(root.FS(), to)
	if err != nil || len(entries) == 0 {
		return "", err
	}
	return filepath.Join(f.home(job), to), nil
}

func ignoreNone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// move takes the files below a folder to another one, where their names are
// free. Both lie below root, which jobs cannot leave by links.
func move(root *os.Root, from, to string) error {
	err := fs.WalkDir(root.FS(), from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		if _, err := root.Lstat(target); err == nil {
			return nil
		}
		if err := root.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return nil // a file has the name that a folder would need
		}
		return root.Rename(path, target)
	})
	return ignoreNone(err)
}

// putPacked uploads a folder as one archive.
func (f *Family) putPacked(ctx context.Context, as *awsapi.Caller, dir, bucket, key string) (err error) {
	packed, err := os.CreateTemp(f.Dir, "upload-")
	if err != nil {
		return err
	}
	defer os.Remove(packed.Name())
	defer func() { err = errors.Join(err, packed.Close()) }()
	if err := artifact.Pack(packed, dir); err != nil {
		return err
	}
	size, err := packed.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return f.Objects.Put(ctx, as, bucket, key, packed, size)
}

// putFiles uploads the files below a folder as they are.
func (f *Family) putFiles(ctx context.Context, as *awsapi.Caller, dir, bucket, prefix string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is no regular file", path)
		}
		file, err := root.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		return f.Objects.Put(ctx, as, bucket, prefix+path, file, info.Size())
	})
}
