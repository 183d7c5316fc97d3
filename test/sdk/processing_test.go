package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/test/musher"
)

// The folders that the requests below name.
const (
	codePath   = "/opt/ml/processing/input/code"
	dataPath   = "/opt/ml/processing/input/data"
	outputPath = "/opt/ml/processing/output"
)

// processingInput is an input from a prefix of the lab's bucket.
func processingInput(lab *musher.Lab, name, prefix, local string) types.ProcessingInput {
	return types.ProcessingInput{InputName: &name, S3Input: &types.ProcessingS3Input{
		S3Uri: aws.String(lab.URI(prefix)), LocalPath: &local,
		S3DataType: types.ProcessingS3DataTypeS3Prefix, S3InputMode: types.ProcessingS3InputModeFile,
	}}
}

// processingOutput is an output to a prefix of the lab's bucket.
func processingOutput(lab *musher.Lab, name, prefix, local string, mode types.ProcessingS3UploadMode) types.ProcessingOutput {
	return types.ProcessingOutput{OutputName: &name, S3Output: &types.ProcessingS3Output{
		S3Uri: aws.String(lab.URI(prefix)), LocalPath: &local, S3UploadMode: mode,
	}}
}

// processingJob is a request as the SDK's ScriptProcessor sends it: the script
// is one of the inputs. What it writes to outputPath goes below out/NAME at its
// end.
func processingJob(t testing.TB, lab *musher.Lab, name, script string, args ...string) *sagemaker.CreateProcessingJobInput {
	t.Helper()
	lab.Upload(t, name+"/code/", map[string][]byte{"process.py": []byte(script)})
	return &sagemaker.CreateProcessingJobInput{
		ProcessingJobName: &name, RoleArn: &lab.Role,
		AppSpecification: &types.AppSpecification{
			ImageUri: aws.String(plainPython), ContainerEntrypoint: []string{"python3", codePath + "/process.py"}, ContainerArguments: args,
		},
		ProcessingInputs: []types.ProcessingInput{processingInput(lab, "code", name+"/code/process.py", codePath)},
		ProcessingOutputConfig: &types.ProcessingOutputConfig{Outputs: []types.ProcessingOutput{
			processingOutput(lab, "result", "out/"+name, outputPath, types.ProcessingS3UploadModeEndOfJob),
		}},
		ProcessingResources: &types.ProcessingResources{ClusterConfig: &types.ProcessingClusterConfig{
			InstanceCount: aws.Int32(1), InstanceType: types.ProcessingInstanceTypeMlM5Large, VolumeSizeInGB: aws.Int32(10),
		}},
	}
}

// startProcessing creates a job, or skips the test where the machine runs none.
func startProcessing(t *testing.T, lab *musher.Lab, in *sagemaker.CreateProcessingJobInput) {
	t.Helper()
	if _, err := lab.SageMaker().CreateProcessingJob(t.Context(), in); err != nil {
		if strings.Contains(musher.Message(err), "mount namespaces") {
			musher.Skip(t, "%v", err)
		}
		t.Fatal(err)
	}
}

func processing(t *testing.T, lab *musher.Lab, name string) *sagemaker.DescribeProcessingJobOutput {
	t.Helper()
	return must(lab.SageMaker().DescribeProcessingJob(t.Context(), &sagemaker.DescribeProcessingJobInput{ProcessingJobName: &name}))(t)
}

// awaitProcessing waits until a job has ended, with a status.
func awaitProcessing(t *testing.T, lab *musher.Lab, name string, status types.ProcessingJobStatus) (job *sagemaker.DescribeProcessingJobOutput) {
	t.Helper()
	musher.Eventually(t, fmt.Sprintf("processing job %s has ended", name), func() bool {
		job = processing(t, lab, name)
		s := job.ProcessingJobStatus
		return s != types.ProcessingJobStatusInProgress && s != types.ProcessingJobStatusStopping
	})
	if job.ProcessingJobStatus != status {
		t.Fatalf("processing job %s is %s, want %s: %s", name, job.ProcessingJobStatus, status, aws.ToString(job.FailureReason))
	}
	return job
}

// keysBelow lists the keys below a prefix, without it.
func keysBelow(t *testing.T, lab *musher.Lab, prefix string) (names []string) {
	t.Helper()
	out := must(lab.S3().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &lab.Bucket, Prefix: &prefix}))(t)
	for _, o := range out.Contents {
		names = append(names, strings.TrimPrefix(*o.Key, prefix))
	}
	return names
}

// TestProcessing: a program gets its inputs, arguments and configuration, may
// change its inputs, and what it writes is in the bucket.
func TestProcessing(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	lab.Upload(t, "data/", map[string][]byte{"a.csv": []byte("1"), "deep/b.csv": []byte("2")})
	lab.Upload(t, "packed/", map[string][]byte{"c.csv.gz": gzipped(t, "3")})
	in := processingJob(t, lab, "once", `
import json, os, sys
print("processing")
data = "/opt/ml/processing/input/data"
names = sorted(os.path.relpath(os.path.join(d, f), data) for d, _, fs in os.walk(data) for f in fs)
open(data + "/a.csv", "a").write("more")
config = json.load(open("/opt/ml/config/processingjobconfig.json"))
resources = json.load(open("/opt/ml/config/resourceconfig.json"))
os.makedirs("/opt/ml/processing/output/deep")
json.dump({"names": names, "args": sys.argv[1:], "colour": os.environ["COLOUR"], "packed": open(data + "/packed/c.csv").read(), "config": config, "resources": resources},
          open("/opt/ml/processing/output/deep/seen.json", "w"))
open("/elsewhere/note", "w").write("noted")
open("/opt/ml/output/message", "w").write("all is well")
os.symlink("/etc/passwd", "/opt/ml/processing/output/leak")
`, "--test-size", "0.2")
	packed := processingInput(lab, "packed", "packed/", dataPath+"/packed")
	packed.S3Input.S3CompressionType = types.ProcessingS3CompressionTypeGzip
	in.ProcessingInputs = append(in.ProcessingInputs, processingInput(lab, "data", "data/", dataPath), packed)
	in.ProcessingOutputConfig.Outputs = append(in.ProcessingOutputConfig.Outputs,
		processingOutput(lab, "notes", "notes/", "/elsewhere", types.ProcessingS3UploadModeEndOfJob))
	in.Environment = map[string]string{"COLOUR": "blue"}
	in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}}
	startProcessing(t, lab, in)
	job := awaitProcessing(t, lab, "once", types.ProcessingJobStatusCompleted)
	if got := aws.ToString(job.ExitMessage); got != "all is well" {
		t.Errorf("the exit message is %q", got)
	}
	if job.ProcessingStartTime == nil || job.ProcessingEndTime.Before(*job.ProcessingStartTime) || *job.StoppingCondition.MaxRuntimeInSeconds != 86400 {
		t.Errorf("started %v, ended %v, within %v", job.ProcessingStartTime, job.ProcessingEndTime, *job.StoppingCondition.MaxRuntimeInSeconds)
	}
	var seen struct {
		Names, Args []string
		Colour      string
		Packed      string
		Config      struct {
			ProcessingJobArn string
			ProcessingInputs []struct{ S3Input map[string]string }
		}
		Resources struct {
			Host  string   `json:"current_host"`
			Hosts []string `json:"hosts"`
		}
	}
	if err := json.Unmarshal(lab.Object(t, "out/once/deep/seen.json"), &seen); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintln(seen.Names, seen.Args, seen.Colour, seen.Packed, seen.Resources); got != "[a.csv deep/b.csv packed/c.csv] [--test-size 0.2] blue 3 {algo-1 [algo-1]}\n" {
		t.Errorf("the program saw %s", got)
	}
	if seen.Config.ProcessingJobArn != *job.ProcessingJobArn || seen.Config.ProcessingInputs[1].S3Input["LocalPath"] != dataPath {
		t.Errorf("the configuration is %+v", seen.Config)
	}
	if got := string(lab.Object(t, "data/a.csv")) + string(lab.Object(t, "notes/note")); got != "1noted" {
		t.Errorf("the input and the note are %q", got)
	}
	if got := keysBelow(t, lab, "out/once/"); len(got) != 1 {
		t.Errorf("the output holds %v", got)
	}
	if got := processingLog(t, srv, "once"); fmt.Sprint(got) != "[processing]" {
		t.Errorf("the log is %q", got)
	}
	tags := must(lab.SageMaker().ListTags(t.Context(), &sagemaker.ListTagsInput{ResourceArn: job.ProcessingJobArn}))(t)
	if len(tags.Tags) != 1 || *tags.Tags[0].Value != "a" {
		t.Errorf("the tags are %v", tags.Tags)
	}
	list := must(lab.SageMaker().ListProcessingJobs(t.Context(), &sagemaker.ListProcessingJobsInput{StatusEquals: types.ProcessingJobStatusCompleted, NameContains: aws.String("NC")}))(t)
	if len(list.ProcessingJobSummaries) != 1 || *list.ProcessingJobSummaries[0].ExitMessage != "all is well" {
		t.Errorf("the list is %v", list.ProcessingJobSummaries)
	}
}

// processingLog is what a job's only instance has printed so far.
func processingLog(t *testing.T, srv *musher.Server, job string) []string {
	t.Helper()
	const group = "/aws/sagemaker/ProcessingJobs"
	streams, err := logsOf(srv.Access).DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{
		LogGroupName: aws.String(group), LogStreamNamePrefix: aws.String(job + "/algo-1-"),
	})
	if err != nil || len(streams.LogStreams) != 1 {
		return nil
	}
	return lines(t, srv.Access, group, *streams.LogStreams[0].LogStreamName)
}

// TestProcessingPackedCode: a script may unpack an archive where it finds it,
// install a package, and is started by a shell, as the SDK's FrameworkProcessor
// does it.
func TestProcessingPackedCode(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	in := processingJob(t, lab, "packed", "")
	lab.Upload(t, "packed/source/", map[string][]byte{
		"sourcedir.tar.gz": sourceDir(t, map[string]string{"main.py": `import sys, helper; helper.say(sys.argv[1])`, "helper.py": `
def say(what):
    open("/opt/ml/processing/output/said", "w").write(what)
`}),
		"entry/run.sh": []byte("cd /opt/ml/processing/input/code\ntar -xzf sourcedir.tar.gz\nset -e\npython main.py \"$@\"\n"),
	})
	in.ProcessingInputs = []types.ProcessingInput{
		processingInput(lab, "code", "packed/source/sourcedir.tar.gz", codePath),
		processingInput(lab, "entry", "packed/source/entry/run.sh", "/opt/ml/processing/input/entrypoint"),
	}
	in.AppSpecification.ContainerEntrypoint = []string{"/bin/bash", "/opt/ml/processing/input/entrypoint/run.sh"}
	in.AppSpecification.ContainerArguments = []string{"two words"}
	startProcessing(t, lab, in)
	awaitProcessing(t, lab, "packed", types.ProcessingJobStatusCompleted)
	if got := string(lab.Object(t, "out/packed/said")); got != "two words" {
		t.Errorf("the script said %q", got)
	}
}

// TestProcessingOnSeveralInstances: instances share out an input, find each
// other by name, and put what they write to the same place.
func TestProcessingOnSeveralInstances(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	lab.Upload(t, "data/", map[string][]byte{"1.txt": {}, "2.txt": {}, "3.txt": {}, "4.txt": {}})
	in := processingJob(t, lab, "shares", `
import json, os, socket
resources = json.load(open("/opt/ml/config/resourceconfig.json"))
hosts, me = resources["hosts"], resources["current_host"]
if me == hosts[0]:
    with socket.create_server((me, 7777)) as server:
        server.accept()
else:
    while True:
        try:
            socket.create_connection((hosts[0], 7777))
            break
        except ConnectionRefusedError:
            pass
open("/opt/ml/processing/output/" + me, "w").write(" ".join(sorted(os.listdir("/opt/ml/processing/input/data"))))
`)
	data := processingInput(lab, "data", "data/", dataPath)
	data.S3Input.S3DataDistributionType = types.ProcessingS3DataDistributionTypeShardedbys3key
	in.ProcessingInputs = append(in.ProcessingInputs, data)
	in.ProcessingResources.ClusterConfig.InstanceCount = aws.Int32(2)
	startProcessing(t, lab, in)
	awaitProcessing(t, lab, "shares", types.ProcessingJobStatusCompleted)
	for host, want := range map[string]string{"algo-1": "1.txt 3.txt", "algo-2": "2.txt 4.txt"} {
		if got := string(lab.Object(t, "out/shares/"+host)); got != want {
			t.Errorf("%s got %s, want %s", host, got, want)
		}
	}
}

// TestProcessingFails: whose words end up in the FailureReason, and what stays.
func TestProcessingFails(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	in := processingJob(t, lab, "breaks", `
open("/opt/ml/processing/output/half", "w").write("half")
open("/opt/ml/processing/kept/half", "w").write("half")
open("/opt/ml/output/message", "w").write("no luck")
raise SystemExit(3)
`)
	in.ProcessingOutputConfig.Outputs = append(in.ProcessingOutputConfig.Outputs,
		processingOutput(lab, "kept", "kept", "/opt/ml/processing/kept", types.ProcessingS3UploadModeContinuous))
	startProcessing(t, lab, in)
	job := awaitProcessing(t, lab, "breaks", types.ProcessingJobStatusFailed)
	if got := aws.ToString(job.FailureReason); got != "AlgorithmError: no luck, exit code: 3" || aws.ToString(job.ExitMessage) != "no luck" {
		t.Errorf("it failed since %q and says %q", got, aws.ToString(job.ExitMessage))
	}
	if end, kept := keysBelow(t, lab, "out/breaks/"), keysBelow(t, lab, "kept/"); len(end) != 0 || fmt.Sprint(kept) != "[half]" {
		t.Errorf("its outputs are %v and %v", end, kept)
	}
	for name, c := range map[string]struct {
		change func(*sagemaker.CreateProcessingJobInput)
		says   []string
	}{
		"no-data": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingInputs[0].S3Input.S3Uri = aws.String(lab.URI("nothing/here"))
		}, []string{"ClientError", "input code", "nothing/here"}},
		"no-program": {func(in *sagemaker.CreateProcessingJobInput) {
			in.AppSpecification.ContainerEntrypoint = []string{"smspark-submit"}
		}, []string{"AlgorithmError", "smspark-submit"}},
		"no-bucket": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri = aws.String("s3://nowhere/out")
		}, []string{"ClientError", "output result", "nowhere"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := processingJob(t, lab, name, `open("/opt/ml/processing/output/x", "w").write("x")`)
			c.change(in)
			startProcessing(t, lab, in)
			job := awaitProcessing(t, lab, name, types.ProcessingJobStatusFailed)
			for _, text := range c.says {
				if !strings.Contains(aws.ToString(job.FailureReason), text) {
					t.Errorf("it failed since %q; want %q in it", aws.ToString(job.FailureReason), text)
				}
			}
		})
	}
}

// patient writes to a continuous output until it is asked to end.
const patient = `
import signal, sys, time
def end(*_):
    open("/opt/ml/processing/output/ended", "w").write("in peace")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open("/opt/ml/processing/output/begun", "w").write("begun")
while True:
    time.sleep(0.1)
`

// continuously makes a job's output continuous.
func continuously(in *sagemaker.CreateProcessingJobInput) *sagemaker.CreateProcessingJobInput {
	in.ProcessingOutputConfig.Outputs[0].S3Output.S3UploadMode = types.ProcessingS3UploadModeContinuous
	return in
}

// awaitOutput waits until an object of a running job is in the bucket.
func awaitOutput(t *testing.T, lab *musher.Lab, key string) {
	t.Helper()
	musher.Eventually(t, key+" is in the bucket", func() bool {
		_, err := lab.S3().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &lab.Bucket, Key: &key})
		return err == nil
	})
}

// TestProcessingIsStopped: a job's outputs get to S3 while it runs, it goes on
// while its server is dead, and what it writes when it is stopped is kept.
func TestProcessingIsStopped(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	startProcessing(t, lab, continuously(processingJob(t, lab, "long", patient)))
	awaitOutput(t, lab, "out/long/begun")
	before := *processing(t, lab, "long").ProcessingStartTime
	restartAfterKill(srv)
	must(lab.SageMaker().StopProcessingJob(t.Context(), &sagemaker.StopProcessingJobInput{ProcessingJobName: aws.String("long")}))(t)
	job := awaitProcessing(t, lab, "long", types.ProcessingJobStatusStopped)
	if got := string(lab.Object(t, "out/long/ended")); got != "in peace" || !before.Equal(*job.ProcessingStartTime) {
		t.Errorf("it ended %q, and began at %v and at %v", got, before, job.ProcessingStartTime)
	}
	_, err := lab.SageMaker().StopProcessingJob(t.Context(), &sagemaker.StopProcessingJobInput{ProcessingJobName: aws.String("long")})
	wantError(t, err, "ValidationException", "Stopped")
}

// TestProcessingStartsAgain: a job that ended with its server runs once more,
// on its inputs as they were.
func TestProcessingStartsAgain(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	startProcessing(t, lab, processingJob(t, lab, "twice", `
import os, time
print("attempt", flush=True)
os.mkdir("/opt/ml/processing/input/code/once")
time.sleep(3600)
`))
	awaitAttempts := func(n int) {
		musher.Eventually(t, fmt.Sprintf("attempt %d runs", n), func() bool { return len(processingLog(t, srv, "twice")) == n })
	}
	awaitAttempts(1)
	srv.Stop()
	srv.Restart()
	awaitAttempts(2)
	must(lab.SageMaker().StopProcessingJob(t.Context(), &sagemaker.StopProcessingJobInput{ProcessingJobName: aws.String("twice")}))(t)
	awaitProcessing(t, lab, "twice", types.ProcessingJobStatusStopped)
	if got := processingLog(t, srv, "twice"); fmt.Sprint(got) != "[attempt attempt]" {
		t.Errorf("the log is %q", got)
	}
}

// TestProcessingSurvives: whatever a job is in when the server dies, the next
// server brings it to its end, and its program ran once.
func TestProcessingSurvives(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	lab.Upload(t, "data/", map[string][]byte{"big": bytes.Repeat([]byte("x"), 20<<20)})
	for name, reached := range map[string]func(name string){
		"accepted": func(string) {},
		"running": func(name string) {
			musher.Eventually(t, name+" runs", func() bool { return processing(t, lab, name).ProcessingStartTime != nil })
		},
		"uploading": func(name string) { awaitOutput(t, lab, "out/"+name+"/00") },
	} {
		in := processingJob(t, lab, name, `
import os
print("begin")
for n in range(20):
    open("/opt/ml/processing/output/%02d" % n, "wb").write(os.urandom(2 << 20))
`)
		in.ProcessingInputs = append(in.ProcessingInputs, processingInput(lab, "data", "data/", dataPath))
		startProcessing(t, lab, in)
		reached(name)
		restartAfterKill(srv)
		awaitProcessing(t, lab, name, types.ProcessingJobStatusCompleted)
		if got := processingLog(t, srv, name); fmt.Sprint(got) != "[begin]" {
			t.Errorf("%s: the log is %q", name, got)
		}
		if got := keysBelow(t, lab, "out/"+name+"/"); len(got) != 20 || len(lab.Object(t, "out/"+name+"/19")) != 2<<20 {
			t.Errorf("%s: the output holds %v", name, got)
		}
		musher.Eventually(t, name+" has left nothing but its log and the names of its hosts", func() bool {
			left, err := filepath.Glob(filepath.Join(srv.Data, "processing", name, "*"))
			return err == nil && len(left) == 2
		})
	}
}

// TestProcessingRunsOut: MaxRuntimeInSeconds ends a job.
func TestProcessingRunsOut(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	in := continuously(processingJob(t, lab, "late", patient))
	in.StoppingCondition = &types.ProcessingStoppingCondition{MaxRuntimeInSeconds: aws.Int32(1)}
	startProcessing(t, lab, in)
	job := awaitProcessing(t, lab, "late", types.ProcessingJobStatusStopped)
	if got := aws.ToString(job.FailureReason); !strings.Contains(got, "MaxRuntimeInSeconds") {
		t.Errorf("it was stopped since %q", got)
	}
	if got := keysBelow(t, lab, "out/late/"); fmt.Sprint(got) != "[begun ended]" {
		t.Errorf("its output is %v", got)
	}
}

// TestProcessingIsolated: an isolated program reaches nobody, not even this
// server, and still has its inputs and outputs.
func TestProcessingIsolated(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	in := processingJob(t, lab, "alone", `
import os, socket, urllib.parse
to = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
try:
    socket.create_connection((to.hostname, to.port), timeout=5)
    found = "somebody"
except OSError:
    found = "nobody"
open("/opt/ml/processing/output/found", "w").write(found)
`)
	in.NetworkConfig = &types.NetworkConfig{EnableNetworkIsolation: aws.Bool(true)}
	if _, err := lab.SageMaker().CreateProcessingJob(t.Context(), in); err != nil {
		wantError(t, err, "ValidationException", "this machine")
		t.Skipf("this machine cannot isolate: %v", err)
	}
	awaitProcessing(t, lab, "alone", types.ProcessingJobStatusCompleted)
	if got := string(lab.Object(t, "out/alone/found")); got != "nobody" {
		t.Errorf("the program found %s", got)
	}
}

// TestProcessingIsRefused: what cannot run here is refused, with a hint.
func TestProcessingIsRefused(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	for name, c := range map[string]struct {
		change func(*sagemaker.CreateProcessingJobInput)
		says   string
	}{
		"image":      {func(in *sagemaker.CreateProcessingJobInput) { in.AppSpecification.ImageUri = aws.String(musher.Image) }, "built-in algorithm"},
		"entrypoint": {func(in *sagemaker.CreateProcessingJobInput) { in.AppSpecification.ContainerEntrypoint = nil }, "ContainerEntrypoint"},
		"pipe": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingInputs[0].S3Input.S3InputMode = types.ProcessingS3InputModePipe
		}, "Pipe"},
		"outside": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingInputs[0].S3Input.LocalPath = aws.String("/opt/ml/processing/../model")
		}, "/opt/ml/processing/"},
		"nowhere": {func(in *sagemaker.CreateProcessingJobInput) { in.ProcessingInputs[0].S3Input.LocalPath = nil }, "LocalPath"},
		"dataset": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingInputs[0].DatasetDefinition = &types.DatasetDefinition{LocalPath: aws.String(dataPath)}
		}, "DatasetDefinition"},
		"twice": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingInputs = append(in.ProcessingInputs, in.ProcessingInputs[0])
		}, "twice"},
		"over": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingInputs = append(in.ProcessingInputs, processingInput(lab, "other", "x", codePath+"/"))
		}, "another input"},
		"all": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingOutputConfig.Outputs[0].S3Output.LocalPath = aws.String("/opt/ml")
		}, "LocalPath"},
		"features": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingOutputConfig.Outputs[0] = types.ProcessingOutput{OutputName: aws.String("f"), AppManaged: aws.Bool(true),
				FeatureStoreOutput: &types.ProcessingFeatureStoreOutput{FeatureGroupName: aws.String("g")}}
		}, "feature store"},
		"within": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingOutputConfig.Outputs = append(in.ProcessingOutputConfig.Outputs,
				processingOutput(lab, "inner", "x", outputPath+"/inner", types.ProcessingS3UploadModeEndOfJob))
		}, "lies in"},
		"bucket": {func(in *sagemaker.CreateProcessingJobInput) {
			in.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri = aws.String("https://bucket/key")
		}, "S3 URI"},
	} {
		in := processingJob(t, lab, name, "")
		c.change(in)
		_, err := lab.SageMaker().CreateProcessingJob(t.Context(), in)
		t.Run(name, func(t *testing.T) { wantError(t, err, "ValidationException", c.says) })
	}
	_, err := lab.SageMaker().DescribeProcessingJob(t.Context(), &sagemaker.DescribeProcessingJobInput{ProcessingJobName: aws.String("none")})
	wantError(t, err, "ValidationException", "Could not find requested job with name: none")
}

// bare is a machine that can only show folders where they are.
type bare struct{ runner.Runner }

func (bare) Abilities() runner.Abilities { return runner.Abilities{} }

// TestProcessingNeedsItsFolders: without /opt/ml a job is refused.
func TestProcessingNeedsItsFolders(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t, musher.Doings{Wrap: func(r runner.Runner) runner.Runner { return bare{r} }})
	lab := srv.Lab(t)
	_, err := lab.SageMaker().CreateProcessingJob(t.Context(), processingJob(t, lab, "none", ""))
	wantError(t, err, "ValidationException", "mount namespaces")
}
