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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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
func sourceDir(t testing.TB, files map[string]string) []byte {
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
func scriptJob(t testing.TB, lab *musher.Lab, name, script string, hyperparameters map[string]string) *sagemaker.CreateTrainingJobInput {
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

func wantCompleted(t testing.TB, job *sagemaker.DescribeTrainingJobOutput) {
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
		"leaks":  {`import os; os.symlink("/etc/hostname", "/opt/ml/output/failure")` + "\nraise SystemExit(3)", []string{"AlgorithmError", "exit code 3"}},
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

// meet lets the instances of a job find each other by name. Each leaves a file
// in the model.
const meet = `
import json, os, socket
hosts, me = json.loads(os.environ["SM_HOSTS"]), os.environ["SM_CURRENT_HOST"]
port = int(os.environ["MASTER_PORT"])
if me == hosts[0]:
    with socket.create_server((me, port)) as server:
        got = sorted(server.accept()[0].makefile().readline() for _ in hosts[1:])
else:
    while True:
        try:
            socket.create_connection((hosts[0], port)).sendall((me + "\n").encode())
            break
        except ConnectionRefusedError:
            pass
    got = []
group = json.load(open(os.environ["SM_INPUT_CONFIG_DIR"] + "/resourceconfig.json"))["current_group_name"]
channels = sorted(json.loads(os.environ["SM_CHANNELS"]))
print("metric=%d" % len(hosts))
out = os.environ["SM_MODEL_DIR"]
os.makedirs(out + "/each")
json.dump({"got": [g.strip() for g in got], "group": group, "channels": channels}, open(out + "/each/" + me + ".json", "w"))
open(out + "/shared", "w").write(me)
`

// TestSeveralInstances: the instances of a job reach each other by their
// names, get the channels of their group, and leave one model, as it is.
func TestSeveralInstances(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	lab.Upload(t, "data/", map[string][]byte{"1.txt": []byte("1")})
	in := scriptJob(t, lab, "gang", meet, nil)
	in.ResourceConfig = &types.ResourceConfig{VolumeSizeInGB: aws.Int32(1), InstanceGroups: []types.InstanceGroup{
		{InstanceGroupName: aws.String("lead"), InstanceCount: aws.Int32(1), InstanceType: types.TrainingInstanceTypeMlM5Large},
		{InstanceGroupName: aws.String("crew"), InstanceCount: aws.Int32(2), InstanceType: types.TrainingInstanceTypeMlM5Xlarge},
	}}
	in.InputDataConfig = []types.Channel{lab.Channel("all", "data/"), lab.Channel("some", "data/")}
	in.InputDataConfig[1].DataSource.S3DataSource.InstanceGroupNames = []string{"crew"}
	in.OutputDataConfig.CompressionType = types.OutputCompressionTypeNone
	in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("m"), Regex: aws.String(`metric=(\d+)`)}}
	job := runScript(t, lab, in)
	wantCompleted(t, job)
	if got, want := *job.ModelArtifacts.S3ModelArtifacts, lab.URI("out/gang/output/model/"); got != want {
		t.Errorf("the model is at %s, want %s", got, want)
	}
	for host, want := range map[string]string{
		"algo-1": `{"got": ["algo-2", "algo-3"], "group": "lead", "channels": ["all"]}`,
		"algo-2": `{"got": [], "group": "crew", "channels": ["all", "some"]}`,
		"algo-3": `{"got": [], "group": "crew", "channels": ["all", "some"]}`,
	} {
		if got := string(lab.Object(t, "out/gang/output/model/each/"+host+".json")); got != want {
			t.Errorf("%s left %s, want %s", host, got, want)
		}
	}
	if got := string(lab.Object(t, "out/gang/output/model/shared")); got != "algo-1" {
		t.Errorf("of a clash the file of %s stays", got)
	}
	if got := metric(t, job, "m"); got != 3 {
		t.Errorf("the metric is %v", got)
	}
}

// TestOneInstanceFails: the others do not wait for it for ever.
func TestOneInstanceFails(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	in := scriptJob(t, lab, "halves", `
import os, time
if os.environ["SM_CURRENT_HOST"] == "algo-2":
    raise ValueError("the second one broke")
time.sleep(3600)
`, nil)
	in.ResourceConfig.InstanceCount = aws.Int32(2)
	wantFailed(t, runScript(t, lab, in), "AlgorithmError", "the second one broke")
}

// TestTorchDistributed: torch.distributed with gloo adds up over two
// instances. Two such jobs at once do not meet.
func TestTorchDistributed(t *testing.T) {
	t.Parallel()
	needTorch(t)
	_, lab := scripts(t)
	names := []string{"ranks-a", "ranks-b"}
	for n, name := range names {
		in := scriptJob(t, lab, name, `
import argparse, json, os, torch, torch.distributed as dist
parser = argparse.ArgumentParser()
parser.add_argument("--add", type=int)
hosts = json.loads(os.environ["SM_HOSTS"])
rank = hosts.index(os.environ["SM_CURRENT_HOST"])
dist.init_process_group("gloo", rank=rank, world_size=len(hosts))
x = torch.tensor([float(rank + 1 + parser.parse_args().add)])
dist.all_reduce(x)
print("sum=%g" % x.item())
if rank == 0:
    torch.save({"sum": x}, os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
`, map[string]string{"add": fmt.Sprint(10 * n)})
		in.AlgorithmSpecification.TrainingImage = aws.String(pytorch)
		in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("sum"), Regex: aws.String(`sum=(\d+)`)}}
		in.ResourceConfig.InstanceCount = aws.Int32(2)
		must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	}
	for n, name := range names {
		job := lab.AwaitTraining(t, name)
		wantCompleted(t, job)
		if got, want := metric(t, job, "sum"), float64(3+20*n); got != want {
			t.Errorf("the sum of %s is %v, want %v", name, got, want)
		}
	}
}

// TestEntrypoint: a command of the request's own runs as it is given, with the
// runtime's Python before all others. This is how version 3 of the SDK trains.
func TestEntrypoint(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	lab.Upload(t, "", map[string][]byte{
		"drivers/sm_train.sh": []byte("#!/bin/sh\ncd /opt/ml/input/data/code && exec python train.py --from driver\n"),
		"code/train.py":       []byte("import sys; open('/opt/ml/model/argv', 'w').write(' '.join(sys.argv[1:]))\n"),
	})
	in := lab.Job("driven", nil)
	in.AlgorithmSpecification.TrainingImage = aws.String(plainPython)
	in.AlgorithmSpecification.ContainerEntrypoint = []string{"/bin/bash"}
	in.AlgorithmSpecification.ContainerArguments = []string{"-c", "chmod +x /opt/ml/input/data/sm_drivers/sm_train.sh && /opt/ml/input/data/sm_drivers/sm_train.sh"}
	in.InputDataConfig = []types.Channel{lab.Channel("sm_drivers", "drivers/"), lab.Channel("code", "code/")}
	wantCompleted(t, runScript(t, lab, in))
	if model := untar(t, lab.Object(t, "out/driven/output/model.tar.gz")); model["argv"] != "--from driver" {
		t.Errorf("the model holds %v", model)
	}
}

// TestTrainingIsRefused: what cannot run is refused when it is asked for.
func TestTrainingIsRefused(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	for _, c := range []struct {
		name   string
		change func(in *sagemaker.CreateTrainingJobInput)
		says   string
	}{
		{"image", func(in *sagemaker.CreateTrainingJobInput) {
			in.AlgorithmSpecification.TrainingImage = aws.String("nobody/knows:1")
		}, "musher runtime"},
		{"arguments", func(in *sagemaker.CreateTrainingJobInput) {
			in.AlgorithmSpecification.ContainerArguments = []string{"x"}
		}, "ContainerEntrypoint"},
		{"wait", func(in *sagemaker.CreateTrainingJobInput) {
			in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(1)
		}, "EnableManagedSpotTraining"},
		{"short wait", func(in *sagemaker.CreateTrainingJobInput) {
			in.EnableManagedSpotTraining = aws.Bool(true)
			in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(1)
		}, "MaxWaitTimeInSeconds"},
		{"warm spot", func(in *sagemaker.CreateTrainingJobInput) {
			in.EnableManagedSpotTraining = aws.Bool(true)
			in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(3600)
			in.ResourceConfig.KeepAlivePeriodInSeconds = aws.Int32(60)
		}, "KeepAlivePeriodInSeconds"},
		{"group", func(in *sagemaker.CreateTrainingJobInput) {
			c := lab.Channel("train", "data/")
			c.DataSource.S3DataSource.InstanceGroupNames = []string{"nobody"}
			in.InputDataConfig = []types.Channel{c}
			in.ResourceConfig = &types.ResourceConfig{VolumeSizeInGB: aws.Int32(1), InstanceGroups: []types.InstanceGroup{
				{InstanceGroupName: aws.String("a"), InstanceCount: aws.Int32(1), InstanceType: types.TrainingInstanceTypeMlM5Large},
			}}
		}, "nobody"},
		{"checkpoints", func(in *sagemaker.CreateTrainingJobInput) {
			in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://lab/x"), LocalPath: aws.String("here")}
		}, "LocalPath"},
		{"metric", func(in *sagemaker.CreateTrainingJobInput) {
			in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("m"), Regex: aws.String("(")}}
		}, "regular expression"},
	} {
		in := scriptJob(t, lab, "refused", "", nil)
		c.change(in)
		_, err := srv.SageMaker().CreateTrainingJob(t.Context(), in)
		if err == nil {
			t.Errorf("%s was taken", c.name)
			continue
		}
		wantError(t, err, "ValidationException", c.says)
	}
}

// musherCommand runs a command of the binary against a server.
func musherCommand(t *testing.T, srv *musher.Server, args ...string) string {
	t.Helper()
	cmd := exec.Command(musher.Binary(t), args...)
	cmd.Env = append(srv.Env(), "MUSHER_DATA_DIR="+srv.Data, "MUSHER_CACHE="+srv.Cache)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("musher %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// onSpot makes a request one for spot instances.
func onSpot(in *sagemaker.CreateTrainingJobInput) *sagemaker.CreateTrainingJobInput {
	in.EnableManagedSpotTraining = aws.Bool(true)
	in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(7200)
	return in
}

// eventsOf reads what a job has in CloudWatch Logs.
func eventsOf(t *testing.T, srv *musher.Server, job string) (lines []string, streams int) {
	t.Helper()
	group := aws.String("/aws/sagemaker/TrainingJobs")
	client := cloudwatchlogs.NewFromConfig(srv.Config())
	found := must(client.DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: group, LogStreamNamePrefix: aws.String(job + "/")}))(t)
	for _, s := range found.LogStreams {
		out := must(client.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: group, LogStreamName: s.LogStreamName, StartFromHead: aws.Bool(true)}))(t)
		for _, e := range out.Events {
			lines = append(lines, *e.Message)
		}
	}
	return lines, len(found.LogStreams)
}

// TestLogsAndMetrics: who sees that a job has ended finds all that it printed,
// from each instance in a stream of its own, and every value of its metrics.
func TestLogsAndMetrics(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	in := scriptJob(t, lab, "talks", `
import os
for i in range(500):
    print(os.environ["SM_CURRENT_HOST"], "line", i)
print("loss=%d" % len(os.environ["SM_CURRENT_HOST"]))
`, nil)
	in.ResourceConfig.InstanceCount = aws.Int32(2)
	in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{
		{Name: aws.String("loss"), Regex: aws.String(`loss=(\d+)`)}, {Name: aws.String("line"), Regex: aws.String(`algo-1 line (\d+)`)},
	}
	wantCompleted(t, runScript(t, lab, in))
	lines, streams := eventsOf(t, srv, "talks")
	seen := map[string]bool{}
	for _, l := range lines {
		seen[l] = true
	}
	for _, host := range []string{"algo-1", "algo-2"} {
		for i := range 500 {
			if line := fmt.Sprintf("%s line %d", host, i); !seen[line] {
				t.Fatalf("%q is not in the %d lines of %d streams", line, len(lines), streams)
			}
		}
	}
	if streams != 2 || !seen["loss=6"] {
		t.Errorf("%d streams, the last line is there: %v", streams, seen["loss=6"])
	}
	client := cloudwatch.NewFromConfig(srv.Config())
	stats := must(client.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("/aws/sagemaker/TrainingJobs"), MetricName: aws.String("line"), Period: aws.Int32(3600),
		Dimensions: []cwtypes.Dimension{{Name: aws.String("TrainingJobName"), Value: aws.String("talks")}},
		StartTime:  aws.Time(time.Now().Add(-2 * time.Hour)), EndTime: aws.Time(time.Now().Add(2 * time.Hour)),
		Statistics: []cwtypes.Statistic{cwtypes.StatisticSampleCount, cwtypes.StatisticMaximum},
	}))(t)
	var count, largest float64
	for _, p := range stats.Datapoints {
		count, largest = count+*p.SampleCount, max(largest, *p.Maximum)
	}
	if count != 500 || largest != 499 {
		t.Errorf("CloudWatch has %v values up to %v", count, largest)
	}
}

// TestInterruption: a job on spot instances loses them, and goes on when there
// are others. It pays for the time that it had some.
func TestInterruption(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	in := onSpot(scriptJob(t, lab, "taken", `
import os, signal, sys, time
first = not os.path.exists("/opt/ml/checkpoints/step")
if first:
    signal.signal(signal.SIGTERM, lambda *_: (open("/opt/ml/checkpoints/step", "w").write("7"), print("saved"), sys.exit(0)))
    open("/opt/ml/checkpoints/gone", "w").write("x")
    print("ready")
    time.sleep(3600)
step = open("/opt/ml/checkpoints/step").read()
print("resumed at", step)
open("/opt/ml/model/step", "w").write(step)
`, nil))
	in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String(lab.URI("checkpoints/taken"))}
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	awaitLine(t, srv, "taken", "ready")
	if got := musherCommand(t, srv, "spot", "ls"); !strings.Contains(got, "taken") || !strings.Contains(got, "ml.m5.xlarge") {
		t.Errorf("musher spot ls prints\n%s", got)
	}
	musherCommand(t, srv, "spot", "interrupt", "taken", "--away", "1s")
	job := lab.AwaitTraining(t, "taken")
	wantCompleted(t, job)
	want := "Starting Downloading Training Interrupted Starting Downloading Training Uploading Completed"
	if got := transitions(job); got != want {
		t.Errorf("the job went through %s, want %s", got, want)
	}
	if *job.BillableTimeInSeconds >= *job.TrainingTimeInSeconds {
		t.Errorf("%d of %d seconds are paid", *job.BillableTimeInSeconds, *job.TrainingTimeInSeconds)
	}
	if model := untar(t, lab.Object(t, "out/taken/output/model.tar.gz")); model["step"] != "7" {
		t.Errorf("the model holds %v", model)
	}
	if got := string(lab.Object(t, "checkpoints/taken/step")); got != "7" {
		t.Errorf("the checkpoint is %q", got)
	}
	if lines, streams := eventsOf(t, srv, "taken"); streams != 1 || !slices.Contains(lines, "saved") || !slices.Contains(lines, "resumed at 7") {
		t.Errorf("the log of %d streams is %q", streams, lines)
	}
}

// awaitLine waits until a job has printed a line.
func awaitLine(t *testing.T, srv *musher.Server, job, line string) {
	t.Helper()
	musher.Eventually(t, fmt.Sprintf("%s says %s", job, line), func() bool {
		log, err := os.ReadFile(filepath.Join(srv.Data, "jobs", job, "log"))
		return err == nil && slices.Contains(strings.Split(string(log), "\n"), line)
	})
}

// TestWaitIsOver: who does not get instances back in time stops, with nothing
// left over.
func TestWaitIsOver(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	in := onSpot(scriptJob(t, lab, "waits", "import time\nprint('ready')\ntime.sleep(3600)", nil))
	in.StoppingCondition = &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(4), MaxWaitTimeInSeconds: aws.Int32(4)}
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	awaitLine(t, srv, "waits", "ready")
	musherCommand(t, srv, "spot", "interrupt", "waits", "--grace", "1s", "--away", "1h")
	job := lab.AwaitTraining(t, "waits")
	if job.TrainingJobStatus != types.TrainingJobStatusStopped || job.SecondaryStatus != types.SecondaryStatusMaxWaitTimeExceeded {
		t.Errorf("the job is %s, %s", job.TrainingJobStatus, job.SecondaryStatus)
	}
}

// TestRehearsal: a rule for an instance type interrupts its jobs.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	musherCommand(t, srv, "spot", "rehearse", "ml.m5.xlarge", "--every", "1s", "--grace", "1s")
	in := onSpot(scriptJob(t, lab, "rehearsed", "import time\ntime.sleep(3600)", nil))
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	lab.AwaitSecondary(t, "rehearsed", types.SecondaryStatusInterrupted)
	if got := musherCommand(t, srv, "spot", "ls"); !strings.Contains(got, "every 1s") {
		t.Errorf("musher spot ls prints\n%s", got)
	}
	musherCommand(t, srv, "spot", "rehearse", "ml.m5.xlarge", "--off")
	must(lab.SageMaker().StopTrainingJob(t.Context(), &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String("rehearsed")}))(t)
	if job := lab.AwaitTraining(t, "rehearsed"); job.SecondaryStatus != types.SecondaryStatusStopped {
		t.Errorf("the job is %s", job.SecondaryStatus)
	}
}

// TestWhoMayInterrupt: it takes a permission, and a job on spot instances.
func TestWhoMayInterrupt(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	in := scriptJob(t, lab, "safe", "import time\nprint('ready')\ntime.sleep(3600)", nil)
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	awaitLine(t, srv, "safe", "ready")
	policy := `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "musher:InterruptTrainingJob",
		"Resource": "arn:aws:sagemaker:*:*:training-job/safe"}}`
	for name, c := range map[string]struct {
		job  string
		says string
	}{
		"other": {"another", "not authorized to perform: musher:InterruptTrainingJob"},
		"safe":  {"safe", "does not run on spot instances"},
	} {
		user := srv.NewUser(t, name, policy)
		cmd := exec.Command(musher.Binary(t), "spot", "interrupt", c.job)
		cmd.Env = user.Env()
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	must(lab.SageMaker().StopTrainingJob(t.Context(), &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String("safe")}))(t)
	lab.AwaitTraining(t, "safe")
}

// TestCheckpoints: they come down, go up while the job runs, and what the job
// deletes goes in S3 as well.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	lab.Upload(t, "checkpoints/", map[string][]byte{"old/a": []byte("a"), "old/b": []byte("b")})
	in := scriptJob(t, lab, "keeps", `
import os, time
print(sorted(os.listdir("/var/ckpt/old")))
os.remove("/var/ckpt/old/a")
open("/var/ckpt/new", "w").write("new")
open("/var/ckpt/late", "w").write("0")
while not os.path.exists("/var/ckpt/never"):
    time.sleep(0.05)
`, nil)
	in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String(lab.URI("checkpoints")), LocalPath: aws.String("/var/ckpt")}
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	keys := func() string {
		out := must(lab.S3().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &lab.Bucket, Prefix: aws.String("checkpoints/")}))(t)
		var all []string
		for _, o := range out.Contents {
			all = append(all, strings.TrimPrefix(*o.Key, "checkpoints/"))
		}
		return strings.Join(all, " ")
	}
	musher.Eventually(t, "the checkpoints are in S3 while the job runs", func() bool { return keys() == "late new old/b" })
	must(lab.SageMaker().StopTrainingJob(t.Context(), &sagemaker.StopTrainingJobInput{TrainingJobName: in.TrainingJobName}))(t)
	if job := lab.AwaitTraining(t, "keeps"); job.SecondaryStatus != types.SecondaryStatusStopped {
		t.Errorf("the job is %s: %s", job.SecondaryStatus, aws.ToString(job.FailureReason))
	}
	in = scriptJob(t, lab, "denied", `open("/opt/ml/checkpoints/x", "w").write("x")`, nil)
	in.RoleArn = aws.String(lab.NewRole(t, "reader", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}}`))
	in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String(lab.URI("forbidden"))}
	wantFailed(t, runScript(t, lab, in), "ClientError", "Checkpoint upload failed", "s3:PutObject")
}

// TestInputs: the ways of data to a job.
func TestInputs(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte("unzipped")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	lab.Upload(t, "data/", map[string][]byte{"p/1": []byte("one "), "p/2": []byte("two "), "p/3": []byte("three"), "z/a.gz": zipped.Bytes()})
	lab.Upload(t, "data/", map[string][]byte{"manifest": fmt.Appendf(nil, `[{"prefix": %q}, "1", "3"]`, lab.URI("data/p/"))})
	in := scriptJob(t, lab, "inputs", `
import json, os
top = "/opt/ml/input/data/"
def text(name):
    return {f: open(os.path.join(top, name, f)).read() for f in sorted(os.listdir(top + name))}
seen = {n: text(n) for n in ("shared", "picked", "zipped", "fast")}
seen["pipe"] = [open(top + "piped_%d" % epoch).read() for epoch in range(2)]
json.dump(seen, open("/opt/ml/model/" + os.environ["SM_CURRENT_HOST"], "w"), sort_keys=True)
`, nil)
	in.ResourceConfig.InstanceCount = aws.Int32(2)
	with := func(name, prefix string, change func(c *types.Channel, s3 *types.S3DataSource)) types.Channel {
		c := lab.Channel(name, prefix)
		change(&c, c.DataSource.S3DataSource)
		return c
	}
	in.InputDataConfig = []types.Channel{
		with("shared", "data/p/", func(_ *types.Channel, s3 *types.S3DataSource) {
			s3.S3DataDistributionType = types.S3DataDistributionShardedByS3Key
		}),
		with("picked", "data/manifest", func(_ *types.Channel, s3 *types.S3DataSource) { s3.S3DataType = types.S3DataTypeManifestFile }),
		with("zipped", "data/z/", func(c *types.Channel, _ *types.S3DataSource) { c.CompressionType = types.CompressionTypeGzip }),
		with("fast", "data/p/", func(c *types.Channel, _ *types.S3DataSource) { c.InputMode = types.TrainingInputModeFastfile }),
		with("piped", "data/p/", func(c *types.Channel, _ *types.S3DataSource) { c.InputMode = types.TrainingInputModePipe }),
	}
	in.OutputDataConfig.CompressionType = types.OutputCompressionTypeNone
	wantCompleted(t, runScript(t, lab, in))
	for host, shared := range map[string]string{"algo-1": `{"1": "one ", "3": "three"}`, "algo-2": `{"2": "two "}`} {
		want := `{"fast": {"1": "one ", "2": "two ", "3": "three"}, "picked": {"1": "one ", "3": "three"}, ` +
			`"pipe": ["one two three", "one two three"], "shared": ` + shared + `, "zipped": {"a": "unzipped"}}`
		if got := string(lab.Object(t, "out/inputs/output/model/"+host)); got != want {
			t.Errorf("%s saw\n%s, want\n%s", host, got, want)
		}
	}
}

// once counts the lines that begin in some way.
func once(lines []string, prefix string) (n int) {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// restartAfterKill ends the server in the middle of what it does.
func restartAfterKill(srv *musher.Server) {
	srv.Kill()
	srv.Restart()
}

// TestKilledWhileInstancesTrain: all instances go on without a server, and the
// next one has every line and value once.
func TestKilledWhileInstancesTrain(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	in := scriptJob(t, lab, "adopted", `
import os, time
host = os.environ["SM_CURRENT_HOST"]
print("begin", host)
for i in range(60):
    print("step=%d %s" % (i, host))
    time.sleep(0.1)
open("/opt/ml/model/" + host, "w").write("done")
`, nil)
	in.ResourceConfig.InstanceCount = aws.Int32(2)
	in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("step"), Regex: aws.String(`step=(\d+)`)}}
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	awaitLine(t, srv, "adopted", "step=5 algo-1")
	restartAfterKill(srv)
	awaitLine(t, srv, "adopted", "step=25 algo-1")
	restartAfterKill(srv)
	job := lab.AwaitTraining(t, "adopted")
	wantCompleted(t, job)
	if got, want := transitions(job), "Starting Downloading Training Uploading Completed"; got != want {
		t.Errorf("the job went through %s, want %s", got, want)
	}
	lines, streams := eventsOf(t, srv, "adopted")
	if begun, steps := once(lines, "begin"), once(lines, "step="); begun != 2 || steps != 120 || streams != 2 {
		t.Errorf("%d beginnings and %d steps are in %d streams", begun, steps, streams)
	}
	if model := untar(t, lab.Object(t, "out/adopted/output/model.tar.gz")); len(model) != 2 {
		t.Errorf("the model holds %v", model)
	}
}

// TestKilledInEachPhase: whatever a job is in when the server dies, the next
// server brings it to its end, and its script ran once.
func TestKilledInEachPhase(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	lab.Upload(t, "data/", map[string][]byte{"big": bytes.Repeat([]byte("x"), 20<<20)})
	for _, phase := range []types.SecondaryStatus{
		types.SecondaryStatusStarting, types.SecondaryStatusDownloading, types.SecondaryStatusTraining, types.SecondaryStatusUploading,
	} {
		name := "dies-" + strings.ToLower(string(phase))
		in := scriptJob(t, lab, name, `
import os
print("begin")
open("/opt/ml/model/big", "wb").write(os.urandom(20 << 20))
`, nil)
		in.InputDataConfig = []types.Channel{lab.Channel("train", "data/")}
		must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
		lab.AwaitSecondary(t, name, phase)
		restartAfterKill(srv)
		wantCompleted(t, lab.AwaitTraining(t, name))
		if lines, _ := eventsOf(t, srv, name); once(lines, "begin") != 1 {
			t.Errorf("%s: the script ran %d times", name, once(lines, "begin"))
		}
		if model := untar(t, lab.Object(t, "out/"+name+"/output/model.tar.gz")); len(model["big"]) != 20<<20 {
			t.Errorf("%s: the model has %d bytes", name, len(model["big"]))
		}
	}
}

// TestKilledDuringInterruption: a notice that the server could not see through
// is not forgotten, and neither is what the script saved after it.
func TestKilledDuringInterruption(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	in := onSpot(scriptJob(t, lab, "noticed", `
import os, signal, sys, time
at = "/opt/ml/checkpoints/step"
def save(*_):
    print("saving")
    time.sleep(2)
    open(at, "w").write("1")
    sys.exit(0)
if not os.path.exists(at):
    signal.signal(signal.SIGTERM, save)
    print("ready")
    time.sleep(3600)
print("resumed")
`, nil))
	in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String(lab.URI("checkpoints/noticed/"))}
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	awaitLine(t, srv, "noticed", "ready")
	musherCommand(t, srv, "spot", "interrupt", "noticed", "--away", "2s")
	awaitLine(t, srv, "noticed", "saving")
	restartAfterKill(srv)
	lab.AwaitSecondary(t, "noticed", types.SecondaryStatusInterrupted)
	restartAfterKill(srv)
	job := lab.AwaitTraining(t, "noticed")
	wantCompleted(t, job)
	want := "Starting Downloading Training Interrupted Starting Downloading Training Uploading Completed"
	if got := transitions(job); got != want {
		t.Errorf("the job went through %s, want %s", got, want)
	}
	if lines, _ := eventsOf(t, srv, "noticed"); once(lines, "resumed") != 1 {
		t.Errorf("the log is %q", lines)
	}
}

// TestKilledWhileFeeding: a pipe ends with the server that feeds it. The job
// must not take that for the end of its data, so it starts again.
func TestKilledWhileFeeding(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	lab.Upload(t, "data/", map[string][]byte{"big": bytes.Repeat([]byte("x"), 8<<20)})
	in := scriptJob(t, lab, "fed", `
import os, time
pipe = open("/opt/ml/input/data/train_0", "rb")
size = len(pipe.read(1000))
print("reading")
while not os.path.exists("/opt/ml/checkpoints/on"):
    time.sleep(0.05)
size += len(pipe.read())
print("size=%d" % size)
`, nil)
	in.InputDataConfig = []types.Channel{lab.Channel("train", "data/")}
	in.InputDataConfig[0].InputMode = types.TrainingInputModePipe
	in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("size"), Regex: aws.String(`size=(\d+)`)}}
	must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	awaitLine(t, srv, "fed", "reading")
	goOn := func() error {
		return os.WriteFile(filepath.Join(srv.Data, "jobs/fed/algo-1/checkpoints/on"), nil, 0o600)
	}
	srv.Kill()
	if err := goOn(); err != nil { // the script ends well, with half of the data
		t.Fatal(err)
	}
	awaitPrefix(t, srv, "fed", "size=")
	srv.Restart()
	lab.AwaitSecondary(t, "fed", types.SecondaryStatusRestarting)
	musher.Eventually(t, "the second attempt reads", func() bool {
		log, err := os.ReadFile(filepath.Join(srv.Data, "jobs/fed/log"))
		return err == nil && once(strings.Split(string(log), "\n"), "reading") == 2
	})
	if err := goOn(); err != nil {
		t.Fatal(err)
	}
	job := lab.AwaitTraining(t, "fed")
	wantCompleted(t, job)
	if got := metric(t, job, "size"); got != 8<<20 {
		t.Errorf("the job read %v bytes", got)
	}
}

// awaitPrefix waits until a job has printed a line that begins in some way.
func awaitPrefix(t *testing.T, srv *musher.Server, job, prefix string) {
	t.Helper()
	musher.Eventually(t, fmt.Sprintf("%s says %s", job, prefix), func() bool {
		log, err := os.ReadFile(filepath.Join(srv.Data, "jobs", job, "log"))
		return err == nil && once(strings.Split(string(log), "\n"), prefix) > 0
	})
}

// TestWarmPool: what a script required is there for the next job like it, for
// as long as it was asked to be, and for no other.
func TestWarmPool(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	lab.Upload(t, "", map[string][]byte{"code/sourcedir.tar.gz": sourceDir(t, map[string]string{
		"train.py": `
import os, tiny
mark = os.path.dirname(tiny.__file__) + "/mark"
print("warm=%d" % os.path.exists(mark))
open(mark, "w").close()
`,
		"requirements.txt":          "./tiny-1.0-py3-none-any.whl\n",
		"tiny-1.0-py3-none-any.whl": string(wheel(t, "tiny", "x = 1\n")),
	})})
	job := func(name string, change func(in *sagemaker.CreateTrainingJobInput)) *sagemaker.DescribeTrainingJobOutput {
		in := scriptJob(t, lab, name, "", map[string]string{"sagemaker_submit_directory": fmt.Sprintf("%q", lab.URI("code/sourcedir.tar.gz"))})
		in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("warm"), Regex: aws.String(`warm=(\d)`)}}
		in.ResourceConfig.KeepAlivePeriodInSeconds = aws.Int32(600)
		change(in)
		job := runScript(t, lab, in)
		wantCompleted(t, job)
		return job
	}
	wantPool := func(name string, status types.WarmPoolResourceStatus, reused string) {
		t.Helper()
		got := lab.TrainingJob(t, name).WarmPoolStatus
		if got == nil || got.Status != status || aws.ToString(got.ReusedByJob) != reused {
			t.Errorf("the pool of %s is %+v, want %s %s", name, got, status, reused)
		}
	}
	same := func(*sagemaker.CreateTrainingJobInput) {}
	if got := metric(t, job("first", same), "warm"); got != 0 {
		t.Errorf("the first job is warm")
	}
	wantPool("first", types.WarmPoolResourceStatusAvailable, "")
	restartAfterKill(srv)
	other := job("other", func(in *sagemaker.CreateTrainingJobInput) { in.ResourceConfig.VolumeSizeInGB = aws.Int32(11) })
	if got := metric(t, other, "warm"); got != 0 {
		t.Errorf("a job of another kind is warm")
	}
	if got := metric(t, job("second", same), "warm"); got != 1 {
		t.Errorf("the second job is cold")
	}
	wantPool("first", types.WarmPoolResourceStatusReused, "second")
	wantPool("second", types.WarmPoolResourceStatusAvailable, "")
	must(lab.SageMaker().UpdateTrainingJob(t.Context(), &sagemaker.UpdateTrainingJobInput{
		TrainingJobName: aws.String("second"), ResourceConfig: &types.ResourceConfigForUpdate{KeepAlivePeriodInSeconds: aws.Int32(0)},
	}))(t)
	musher.Eventually(t, "the pool is gone", func() bool {
		_, err := os.Stat(filepath.Join(srv.Data, "jobs/second/pool"))
		return os.IsNotExist(err)
	})
	wantPool("second", types.WarmPoolResourceStatusTerminated, "")
}

// TestScriptIsStopped: a script that is asked to end, by its user or by the
// clock, has time to leave what it has.
func TestScriptIsStopped(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	for name, c := range map[string]struct {
		limit  int32
		status types.SecondaryStatus
	}{
		"asked": {3600, types.SecondaryStatusStopped},
		"late":  {2, types.SecondaryStatusMaxRuntimeExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := scriptJob(t, lab, name, `
import signal, sys, time
def save(*_):
    open("/opt/ml/model/half", "w").write("half")
    sys.exit(1)
signal.signal(signal.SIGTERM, save)
print("ready")
time.sleep(3600)
`, nil)
			in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(c.limit)
			must(lab.SageMaker().CreateTrainingJob(t.Context(), in))(t)
			awaitLine(t, srv, name, "ready")
			if name == "asked" {
				must(lab.SageMaker().StopTrainingJob(t.Context(), &sagemaker.StopTrainingJobInput{TrainingJobName: &name}))(t)
			}
			job := lab.AwaitTraining(t, name)
			if job.TrainingJobStatus != types.TrainingJobStatusStopped || job.SecondaryStatus != c.status {
				t.Errorf("the job is %s, %s: %s", job.TrainingJobStatus, job.SecondaryStatus, aws.ToString(job.FailureReason))
			}
			if model := untar(t, lab.Object(t, "out/"+name+"/output/model.tar.gz")); model["half"] != "half" {
				t.Errorf("the model holds %v", model)
			}
		})
	}
}

// TestNetworkIsolation: an isolated script reaches nobody, not even this
// server, and still has its data and its model.
func TestNetworkIsolation(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	in := scriptJob(t, lab, "alone", `
import os, socket, urllib.parse
to = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
try:
    socket.create_connection((to.hostname, to.port), timeout=5)
    found = "somebody"
except OSError:
    found = "nobody"
with socket.create_server((os.environ["SM_CURRENT_HOST"], 0)):
    open("/opt/ml/model/found", "w").write(found)
`, nil)
	in.EnableNetworkIsolation = aws.Bool(true)
	if _, err := srv.SageMaker().CreateTrainingJob(t.Context(), in); err != nil {
		wantError(t, err, "ValidationException", "EnableNetworkIsolation")
		t.Skipf("this machine cannot isolate: %v", err)
	}
	job := lab.AwaitTraining(t, "alone")
	wantCompleted(t, job)
	if model := untar(t, lab.Object(t, "out/alone/output/model.tar.gz")); model["found"] != "nobody" {
		t.Errorf("the script found %q", model["found"])
	}
}
