package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/musher/musher/test/musher"
)

// awsCLI runs `aws` against a server.
type awsCLI struct {
	t      *testing.T
	python string
	access musher.Access
	dir    string
}

// call runs a command; the exit code says whether it went well.
func (c awsCLI) call(args ...string) (out, errs string, code int) {
	c.t.Helper()
	cmd := exec.Command(c.python, append([]string{"-m", "awscli"}, args...)...)
	cmd.Dir, cmd.Env = c.dir, append(c.access.Env(), "PYTHONDONTWRITEBYTECODE=1")
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// ok runs a command that must go well and returns what it printed.
func (c awsCLI) ok(args ...string) string {
	c.t.Helper()
	out, errs, code := c.call(args...)
	if code != 0 {
		c.t.Fatalf("aws %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return strings.TrimSpace(out)
}

// TestAWSCLI is the main job from a shell. A run of the CLI takes a second, so
// this goes one way through it, and leaves the corners to the other clients.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	c := awsCLI{t: t, python: python(t), dir: writePictures(t)}
	srv := musher.New(t)
	c.access = srv.Access

	if got := c.ok("sts", "get-caller-identity", "--query", "Arn", "--output", "text"); got != "arn:aws:iam::123456789012:root" {
		t.Errorf("root is %s", got)
	}
	c.ok("s3", "mb", "s3://lab")
	c.ok("s3", "sync", ".", "s3://lab/data", "--only-show-errors")
	again := c.ok("s3", "sync", ".", "s3://lab/data")
	if again != "" {
		t.Errorf("the second sync did %s", again)
	}
	c.ok("s3", "sync", "s3://lab/data/validation", "back", "--only-show-errors")
	sameFiles(t, filepath.Join(c.dir, "validation"), filepath.Join(c.dir, "back"))

	lab := &musher.Lab{Access: srv.Access, Bucket: "lab"}
	lab.Role = c.ok("iam", "create-role", "--role-name", "trainer", "--assume-role-policy-document", musher.TrustSageMaker, "--query", "Role.Arn", "--output", "text")
	c.ok("iam", "put-role-policy", "--role-name", "trainer", "--policy-name", "s3", "--policy-document",
		`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}`)
	channel := func(name string) string {
		return fmt.Sprintf(`{"ChannelName": %q, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://lab/data/%s"}}}`, name, name)
	}
	c.ok("sagemaker", "create-training-job", "--training-job-name", "job", "--role-arn", lab.Role,
		"--algorithm-specification", "TrainingImage="+musher.Image+",TrainingInputMode=File",
		"--hyper-parameters", "epochs=10,learning_rate=0.002", "--input-data-config", "["+channel("train")+","+channel("validation")+"]",
		"--output-data-config", "S3OutputPath=s3://lab/out", "--resource-config", "InstanceType=ml.m5.large,InstanceCount=1,VolumeSizeInGB=5",
		"--stopping-condition", "MaxRuntimeInSeconds=600", "--tags", "Key=team,Value=dogs")
	job := lab.AwaitTraining(t, "job")
	c.ok("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", "job")
	model := c.ok("sagemaker", "describe-training-job", "--training-job-name", "job", "--query", "ModelArtifacts.S3ModelArtifacts", "--output", "text")
	if model != *job.ModelArtifacts.S3ModelArtifacts {
		t.Errorf("the model is at %s", model)
	}
	if got := c.ok("sagemaker", "list-training-jobs", "--query", "TrainingJobSummaries[].TrainingJobStatus", "--output", "text"); got != "Completed" {
		t.Errorf("the list says %s", got)
	}
	if got := c.ok("sagemaker", "list-tags", "--resource-arn", *job.TrainingJobArn, "--query", "Tags[0].Value", "--output", "text"); got != "dogs" {
		t.Errorf("the tag is %s", got)
	}
	c.ok("sagemaker", "create-model", "--model-name", "m", "--execution-role-arn", lab.Role, "--primary-container", "Image="+musher.Image+",ModelDataUrl="+model)
	c.ok("sagemaker", "create-endpoint-config", "--endpoint-config-name", "c", "--production-variants",
		"VariantName=all,ModelName=m,InitialInstanceCount=1,InstanceType=ml.m5.large")
	c.ok("sagemaker", "create-endpoint", "--endpoint-name", "e", "--endpoint-config-name", "c")
	lab.AwaitEndpoint(t, "e")
	c.ok("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "e")
	pictures, _ := filepath.Glob(filepath.Join(c.dir, "validation", musher.Classes[1], "*")) //nolint:errcheck // the pattern is fine
	c.ok("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "e", "--content-type", "application/x-image", "--body", "fileb://"+pictures[0], "answer.json")
	var answer [][]float64
	raw := must(os.ReadFile(filepath.Join(c.dir, "answer.json")))(t)
	if err := json.Unmarshal(raw, &answer); err != nil || len(answer) != 1 {
		t.Fatalf("the answer is %s", raw)
	}
	checkClass(t, answer[0], 1)
	_, errs, code := c.call("sagemaker", "describe-endpoint", "--endpoint-name", "none")
	if code != 254 && code != 255 || !strings.Contains(errs, "(ValidationException)") || !strings.Contains(errs, "Could not find endpoint") {
		t.Errorf("a missing endpoint: exit code %d, %s", code, errs)
	}
	c.ok("sagemaker", "delete-endpoint", "--endpoint-name", "e")
	awaitGone(t, srv.Access, "e")
	c.ok("s3", "rb", "s3://lab", "--force")
}

// sameFiles compares two folders.
func sameFiles(t *testing.T, want, got string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(want, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		rel := must(filepath.Rel(want, path))(t)
		if a, b := must(os.ReadFile(path))(t), must(os.ReadFile(filepath.Join(got, rel)))(t); !bytes.Equal(a, b) {
			t.Errorf("%s came back different", rel)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d files compared: %v", n, err)
	}
}
