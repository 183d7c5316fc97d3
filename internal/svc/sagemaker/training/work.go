package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/musher/musher/internal/artifact"
	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// folder is where a job's process works; it has the layout of /opt/ml.
func (f *Family) folder(job *Job) string {
	return filepath.Join(f.Dir, job.Request.TrainingJobName)
}

// logPath is the log of the job's current attempt.
func (f *Family) logPath(job *Job) string {
	if job.Attempt == 0 {
		return filepath.Join(f.folder(job), "log")
	}
	return filepath.Join(f.folder(job), fmt.Sprintf("log.%d", job.Attempt))
}

func workID(job *Job) string {
	return fmt.Sprintf("training.%s.%d", job.Request.TrainingJobName, job.Attempt)
}

func sessionName(job *Job) string { return "SageMaker-" + job.Request.TrainingJobName }

// layOut makes the job's folder anew: configuration, links to the staged
// data, and empty folders for what the process writes.
func (f *Family) layOut(job *Job, inputs map[string]string) error {
	dir := f.folder(job)
	for _, d := range []string{"input", "model", "output"} {
		if err := os.RemoveAll(filepath.Join(dir, d)); err != nil {
			return err
		}
	}
	for _, d := range []string{"input/config", "input/data", "model", "output/data", "checkpoints"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	for name, folder := range inputs {
		if err := os.Symlink(folder, filepath.Join(dir, "input/data", name)); err != nil {
			return err
		}
	}
	for name, content := range map[string]any{
		"hyperparameters.json": orEmpty(job.Request.HyperParameters),
		"inputdataconfig.json": inputDataConfig(job),
		"resourceconfig.json":  resourceConfig(job),
	} {
		raw, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "input/config", name), raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func inputDataConfig(job *Job) map[string]any {
	out := map[string]any{}
	for _, c := range job.Request.InputDataConfig {
		out[c.ChannelName] = map[string]any{
			"TrainingInputMode":  sagemaker.Or(c.InputMode, job.Request.AlgorithmSpecification.TrainingInputMode),
			"S3DistributionType": sagemaker.Or(c.DataSource.S3DataSource.S3DataDistributionType, "FullyReplicated"),
			"RecordWrapperType":  sagemaker.Or(c.RecordWrapperType, "None"),
			"ContentType":        sagemaker.Or(c.ContentType, ""),
		}
	}
	return out
}

func resourceConfig(job *Job) map[string]any {
	return map[string]any{
		"current_host": "algo-1", "hosts": []string{"algo-1"}, "network_interface_name": "lo",
		"current_instance_type": sagemaker.Or(job.Request.ResourceConfig.InstanceType, ""),
	}
}

// spec is the job's process. Its own variables win over those of the request:
// a job must not be talked out of its own name and keys.
func (f *Family) spec(job *Job, inputs map[string]string, provided sagemaker.Provision) runner.Spec {
	env := sagemaker.WorkEnvironment(f.folder(job), job.Request.Environment)
	maps.Copy(env, f.Environment)
	maps.Copy(env, provided.Env)
	maps.Copy(env, f.Roles.Environment(workID(job), job.Request.RoleArn, sessionName(job)))
	maps.Copy(env, map[string]string{
		"TRAINING_JOB_NAME": job.Request.TrainingJobName, "TRAINING_JOB_ARN": job.ARN,
		"AWS_REGION": job.Region, "AWS_DEFAULT_REGION": job.Region,
	})
	mounts := slices.Concat(f.Mounts, provided.Mounts)
	for _, folder := range inputs {
		mounts = append(mounts, runner.Mount{Source: folder, ReadOnly: true})
	}
	return runner.Spec{
		ID:      workID(job),
		Labels:  map[string]string{"kind": "training", "job": job.Request.TrainingJobName},
		Command: append(append([]string{}, f.Algorithm...), f.folder(job)),
		Env:     env, Dir: f.folder(job), Mounts: mounts, LogPath: f.logPath(job),
	}
}

// blame says why a process failed: in its own words where it left some, else
// by how it ended and what it printed last.
func (f *Family) blame(job *Job, st runner.Status) string {
	if text, err := os.ReadFile(filepath.Join(f.folder(job), "output/failure")); err == nil && len(text) > 0 {
		return "AlgorithmError: " + string(text)
	}
	how := fmt.Sprintf("exit code %d", st.ExitCode)
	if st.Signal != "" {
		how = "killed by " + st.Signal
	}
	if st.Reason != "" {
		how += " (" + st.Reason + ")"
	}
	if last := sagemaker.LastLines(f.logPath(job), 500); last != "" {
		how += ", last output: " + last
	}
	return "AlgorithmError: the training process failed: " + how
}

// upload packs the model, and what the job left in output/data, and puts both
// under the job's output path, as its role. It returns the model's URI.
func (f *Family) upload(ctx context.Context, job *Job) (string, error) {
	caller, err := f.Roles.Session(ctx, job.Request.RoleArn, sessionName(job))
	if err != nil {
		return "", err
	}
	bucket, prefix, err := sagemaker.SplitS3URI(job.Request.OutputDataConfig.S3OutputPath)
	if err != nil {
		return "", err
	}
	key := strings.TrimSuffix(prefix, "/")
	if key != "" {
		key += "/"
	}
	key += job.Request.TrainingJobName + "/output/"
	if data := filepath.Join(f.folder(job), "output/data"); !empty(data) {
		if err := f.put(ctx, caller, data, bucket, key+"output.tar.gz"); err != nil {
			return "", err
		}
	}
	model := filepath.Join(f.folder(job), "model")
	if empty(model) {
		return "", nil
	}
	return fmt.Sprintf("s3://%s/%smodel.tar.gz", bucket, key), f.put(ctx, caller, model, bucket, key+"model.tar.gz")
}

func empty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err != nil || len(entries) == 0
}

func (f *Family) put(ctx context.Context, as *awsapi.Caller, dir, bucket, key string) (err error) {
	packed, err := os.CreateTemp(f.Dir, "upload-")
	if err != nil {
		return err
	}
	defer os.Remove(packed.Name())
	defer func() { err = errors.Join(err, packed.Close()) }()
	if err := artifact.Pack(packed, dir); err != nil {
		return err
	}
	size, err := packed.Seek(0, 1)
	if err != nil {
		return err
	}
	if _, err := packed.Seek(0, 0); err != nil {
		return err
	}
	return f.Objects.Put(ctx, as, bucket, key, packed, size)
}
