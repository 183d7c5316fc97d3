package sdk

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/test/musher"
)

// Images that stand for Python runtimes.
const (
	plainPython = "python:3.11"
	pytorch     = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.1-cpu-py310"
)

// scripts is a server whose jobs run Python.
func scripts(t *testing.T, opts ...musher.Option) (*musher.Server, *musher.Lab) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		musher.Skip(t, "no python3: %v", err)
	}
	srv := musher.New(t, append(opts, musher.WithoutAssets())...)
	return srv, srv.Lab(t)
}

// needTorch skips where no interpreter of the machine has PyTorch.
func needTorch(t *testing.T) {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import torch").Run() == nil {
			return
		}
	}
	t.Skip("no python3 that imports torch (Debian: python3-torch)")
}

// sourceDir packs files as the SDK packs a source_dir.
func sourceDir(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	packed := tar.NewWriter(zipped)
	for name, text := range files {
		if err := packed.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := packed.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// scriptJob is a request as version 2 of the SDK sends it: the script in an
// archive in the bucket, hyperparameters written as JSON.
func scriptJob(t *testing.T, lab *musher.Lab, name, script string, hyperparameters map[string]string) *sagemaker.CreateTrainingJobInput {
	t.Helper()
	key := name + "/source/sourcedir.tar.gz"
	lab.Upload(t, "", map[string][]byte{key: sourceDir(t, map[string]string{"train.py": script})})
	in := lab.Job(name, map[string]string{
		"sagemaker_program": `"train.py"`, "sagemaker_submit_directory": fmt.Sprintf("%q", lab.URI(key)),
		"sagemaker_job_name": fmt.Sprintf("%q", name), "sagemaker_region": `"eu-central-1"`,
		"sagemaker_container_log_level": "20",
	})
	for k, v := range hyperparameters {
		in.HyperParameters[k] = v
	}
	in.AlgorithmSpecification.TrainingImage = aws.String(plainPython)
	in.InputDataConfig = nil
	return in
}

// runScript runs such a job to its end.
func runScript(t *testing.T, lab *musher.Lab, in *sagemaker.CreateTrainingJobInput) *sagemaker.DescribeTrainingJobOutput {
	t.Helper()
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	return lab.AwaitTraining(t, *in.TrainingJobName)
}

func wantCompleted(t *testing.T, job *sagemaker.DescribeTrainingJobOutput) {
	t.Helper()
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Fatalf("the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
}

// dump writes what a script sees of its world into its model.
const dump = `
import json, os, sys
def names(top):
    return sorted(os.path.relpath(os.path.join(d, f), top) for d, _, fs in os.walk(top) for f in fs)
seen = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(),
        "train": names(os.environ["SM_CHANNEL_TRAIN"]),
        "weights": open(os.environ["TORCH_HOME"] + "/hub/checkpoints/net.pth").read(),
        "resources": json.load(open(os.path.join(os.environ["SM_INPUT_CONFIG_DIR"], "resourceconfig.json")))}
try:
    open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "mine"), "w")
    seen["data"] = "writable"
except OSError:
    seen["data"] = "read only"
open(os.path.join(os.environ["TORCH_HOME"], "hub/checkpoints/other.pth"), "w").write("downloaded")
try:
    open(os.environ["TORCH_HOME"] + "/hub/checkpoints/net.pth", "w").write("poison")
except OSError:
    pass
json.dump(seen, open(os.path.join(os.environ["SM_MODEL_DIR"], "seen.json"), "w"))
open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "note.txt"), "w").write("noted")
print("loss: 0.25")
print("no accuracy here")
`

// TestScript: a script gets all that it may expect, and what it leaves is in
// the bucket.
func TestScript(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	weights := filepath.Join(cache, "torch/hub/checkpoints/net.pth")
	if err := errors.Join(os.MkdirAll(filepath.Dir(weights), 0o755), os.WriteFile(weights, []byte("weights"), 0o644)); err != nil {
		t.Fatal(err)
	}
	srv, lab := scripts(t, musher.WithEnv("MUSHER_CACHE="+cache))
	lab.Upload(t, "data/", map[string][]byte{"a/1.txt": []byte("1"), "a/2.txt": []byte("2")})
	in := scriptJob(t, lab, "script", dump, map[string]string{"epochs": "3", "name": `"two words"`})
	in.InputDataConfig = []types.Channel{lab.Channel("train", "data/")}
	in.Environment = map[string]string{"COLOUR": "blue", "TRAINING_JOB_NAME": "another"}
	in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{
		{Name: aws.String("loss"), Regex: aws.String(`loss: ([0-9.]+)`)},
	}
	in.VpcConfig = &types.VpcConfig{SecurityGroupIds: []string{"sg-1"}, Subnets: []string{"subnet-1"}}
	job := runScript(t, lab, in)
	wantCompleted(t, job)
	if got := metric(t, job, "loss"); got != 0.25 || len(job.FinalMetricDataList) != 1 {
		t.Errorf("the metrics are %v", job.FinalMetricDataList)
	}
	var seen struct {
		Argv      []string
		Env       map[string]string
		Train     []string
		Data      string
		Weights   string
		Resources struct {
			Host   string   `json:"current_host"`
			Hosts  []string `json:"hosts"`
			Groups []any    `json:"instance_groups"`
		}
	}
	model := untar(t, lab.Object(t, "out/script/output/model.tar.gz"))
	if err := json.Unmarshal([]byte(model["seen.json"]), &seen); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(seen.Argv, " "), "--epochs 3 --name two words"; got != want {
		t.Errorf("the arguments are %q, want %q", got, want)
	}
	for name, want := range map[string]string{
		"COLOUR": "blue", "TRAINING_JOB_NAME": "script", "AWS_ENDPOINT_URL": srv.Endpoint,
		"SM_NUM_GPUS": "0", "SM_HP_EPOCHS": "3", "SM_USER_ENTRY_POINT": "train.py",
	} {
		if seen.Env[name] != want {
			t.Errorf("%s is %q, want %q", name, seen.Env[name], want)
		}
	}
	if got := strings.Join(seen.Train, " "); got != "a/1.txt a/2.txt" || seen.Data != "read only" {
		t.Errorf("the channel holds %s and is %s", got, seen.Data)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "torch/hub/checkpoints/*")); seen.Weights != "weights" || len(left) != 1 || err != nil {
		t.Errorf("the job found the weights %q and left %v, %v", seen.Weights, left, err)
	}
	if text, err := os.ReadFile(weights); string(text) != "weights" {
		t.Errorf("the weights are %q now, %v", text, err)
	}
	if len(seen.Resources.Hosts) != 1 || seen.Resources.Hosts[0] != seen.Resources.Host || len(seen.Resources.Groups) != 1 {
		t.Errorf("the resources are %+v", seen.Resources)
	}
	if out := untar(t, lab.Object(t, "out/script/output/output.tar.gz")); out["note.txt"] != "noted" {
		t.Errorf("the output holds %v", out)
	}
}

// TestScriptFails: whose words end up in the FailureReason.
func TestScriptFails(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	for name, c := range map[string]struct {
		script string
		says   []string
	}{
		"raises": {`raise ValueError("no luck")`, []string{"AlgorithmError", "ExecuteUserScriptError", "no luck"}},
		"says":   {`open("/opt/ml/output/failure", "w").write("my own words")` + "\nraise SystemExit(3)", []string{"AlgorithmError", "my own words"}},
		"leaks": {`import os; os.symlink("/etc/hostname", "/opt/ml/output/failure")` + "\nraise SystemExit(3)", []string{"AlgorithmError", "exit code 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := runScript(t, lab, scriptJob(t, lab, name, c.script, nil))
			t.Log(aws.ToString(job.FailureReason))
			wantFailed(t, job, c.says...)
		})
	}
	in := scriptJob(t, lab, "none", "", nil)
	in.HyperParameters["sagemaker_submit_directory"] = `"s3://lab/not/there.tar.gz"`
	wantFailed(t, runScript(t, lab, in), "ClientError", "s3://lab/not/there.tar.gz")
}
