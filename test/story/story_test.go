package story

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/musher/musher/test/musher"
)

// generous is how long a whole notebook may take.
const generous = 20 * time.Minute

// TestNotebookOfSDK2 executes the reference project's notebook in the SageMaker
// Python SDK 2: tune, train, attach, deploy, predict, delete.
func TestNotebookOfSDK2(t *testing.T) {
	lab := newLab(t, "MUSHER_SDK2", ".venv-sdk2")
	n := lab.execute(t, "train_and_deploy.ipynb")
	for tag, want := range map[string]string{
		"trials":  `(?s)Completed.*Completed`,
		"log":     `(?s)Testing Accuracy: 0\.\d+.*Training seconds: \d+\s+Billable seconds: \d+`,
		"metrics": `(?s)Test Loss.*Test Accuracy|Test Accuracy.*Test Loss`,
		"predict": `shape \(1, 10\) right \d+ of 10`,
		"url":     `best guess \d{3}\.\w+`,
		"gone":    `\[\]`,
	} {
		if got := n.printed(t, tag); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the cell %q printed %q, want %s", tag, got, want)
		}
	}
	lab.checkAccuracy(t, n)
	if t.Failed() {
		t.Log(n.transcript())
	}
}

// TestNotebookOfSDK3 does the same in the SageMaker Python SDK 3.
func TestNotebookOfSDK3(t *testing.T) {
	lab := newLab(t, "MUSHER_SDK3", ".venv-sdk3")
	n := lab.execute(t, "train_and_deploy_v3.ipynb")
	for tag, want := range map[string]string{
		"trials":  `Completed \{'learning_rate': '[\d.e-]+', 'batch_size': '\d+'\}`,
		"log":     `Testing Accuracy: 0\.\d+`,
		"metrics": `(?s)Completed s3://\S+/model\.tar\.gz.*'Test Accuracy': 0\.\d+`,
		"deploy":  `dogs-v3 InService`,
		"predict": `shape \(1, 10\) right \d+ of 10`,
		"url":     `best guess \d{3}\.\w+`,
		"gone":    `\[\]`,
	} {
		if got := n.printed(t, tag); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the cell %q printed %q, want %s", tag, got, want)
		}
	}
	lab.checkAccuracy(t, n)
	if t.Failed() {
		t.Log(n.transcript())
	}
}

// TestJobsOfSDK2: a processing job and a batch transform job.
func TestJobsOfSDK2(t *testing.T) {
	lab := newLab(t, "MUSHER_SDK2", ".venv-sdk2")
	out := lab.run(t, "jobs.py")
	for _, want := range []string{"counted 80 photos of 10 breeds", "photos 80 breeds 10", "doubled ['2.0', '5.0', '80.0']"} {
		if !strings.Contains(out, want) {
			t.Errorf("the program did not print %q, but\n%s", want, out)
		}
	}
}

// lab is a server, somebody with an execution role, and a folder to work in.
type lab struct {
	srv    *musher.Server
	python string // with the SDK and Jupyter
	dir    string // copies of the notebooks and scripts
	env    []string
}

func newLab(t *testing.T, variable, venv string) *lab {
	t.Helper()
	l := &lab{python: sdk(t, variable, venv), dir: t.TempDir()}
	needTorch(t)
	photos := musher.Shared(t, "data/dogs-mini")
	if err := os.CopyFS(l.dir, os.DirFS(filepath.Join(musher.Root(t), "test/story/reference"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(photos, filepath.Join(l.dir, "dogImages")); err != nil {
		t.Fatal(err)
	}
	l.srv = musher.New(t, musher.WithoutAssets())
	l.env = append(l.environment(t), "DOG_URL="+photoServer(t, photos))
	return l
}

// sdk is the interpreter of an environment that `make tools` made.
func sdk(t *testing.T, variable, venv string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		dir = filepath.Join(musher.Root(t), venv)
	}
	python := filepath.Join(dir, "bin", "python")
	if out, err := exec.Command(python, "-c", "import sagemaker, nbconvert, ipykernel").CombinedOutput(); err != nil {
		musher.Skip(t, "no SageMaker SDK in %s (make test puts it there): %v\n%s", dir, err, out)
	}
	return python
}

// needTorch skips where no interpreter of the machine has PyTorch.
func needTorch(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("/usr/bin/python3", "-c", "import torch, torchvision, requests").CombinedOutput(); err != nil {
		musher.Skip(t, "this machine has no PyTorch (Debian's packages are python3-torch and python3-torchvision): %v\n%s", err, out)
	}
}

// photoServer gives the address of a test photo of the first breed.
func photoServer(t *testing.T, photos string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(photos, "test/001.*/*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no test photos in %s: %v", photos, err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, found[0]) }))
	t.Cleanup(srv.Close)
	return srv.URL + "/dog.jpg"
}

// environment is that of a person who ran `musher env --proxy` and works with
// an execution role's session, as a notebook does.
func (l *lab) environment(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(musher.Binary(t), "--json", "env", "--proxy", "--data", l.srv.Data).Output()
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	if err := json.Unmarshal(out, &vars); err != nil {
		t.Fatal(err)
	}
	session := l.session(t)
	vars["AWS_ACCESS_KEY_ID"], vars["AWS_SECRET_ACCESS_KEY"], vars["AWS_SESSION_TOKEN"] = session.KeyID, session.Secret, session.Token
	vars["PATH"] = filepath.Dir(l.python) + ":" + filepath.Join(musher.Root(t), ".venv/bin") + ":" + os.Getenv("PATH")
	vars["HOME"] = l.dir
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if _, set := vars[name]; !set && !strings.HasPrefix(name, "AWS_") {
			env = append(env, v)
		}
	}
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return env
}

// session makes an execution role with the managed policy that SageMaker's
// users start from, and takes it.
func (l *lab) session(t *testing.T) musher.Access {
	t.Helper()
	ctx, name := context.Background(), "AmazonSageMaker-ExecutionRole-dogs"
	trust := fmt.Sprintf(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
		"Principal": {"Service": "sagemaker.amazonaws.com", "AWS": "arn:aws:iam::%s:root"}}}`, musher.Account)
	role, err := l.srv.IAM().CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: &name, AssumeRolePolicyDocument: &trust,
		Path: aws.String("/service-role/"), // as the cloud's console makes them, and as the SDK expects
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.srv.IAM().AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{
		RoleName: &name, PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"),
	})
	if err != nil {
		t.Fatal(err)
	}
	user := "scientist"
	if _, err := l.srv.IAM().CreateUser(ctx, &iam.CreateUserInput{UserName: &user}); err != nil {
		t.Fatal(err)
	}
	policy := `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}}`
	if _, err := l.srv.IAM().PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &user, PolicyDocument: &policy}); err != nil {
		t.Fatal(err)
	}
	key, err := l.srv.IAM().CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user})
	if err != nil {
		t.Fatal(err)
	}
	scientist := l.srv.As(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	out, err := scientist.STS().AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("SageMaker")})
	if err != nil {
		t.Fatal(err)
	}
	c := out.Credentials
	return l.srv.As(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

// execute runs a notebook's cells in a kernel and returns them with what they
// printed.
func (l *lab) execute(t *testing.T, name string) notebook {
	t.Helper()
	l.run(t, "-m", "nbconvert", "--to", "notebook", "--execute", "--output", "executed.ipynb", name)
	return readNotebook(t, filepath.Join(l.dir, "executed.ipynb"))
}

// run runs Python with the SDK and returns what it printed.
func (l *lab) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.python, args...)
	cmd.Dir, cmd.Env = l.dir, l.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v failed: %v\n%s", args, err, &out)
	}
	return out.String()
}

// checkAccuracy wants a model that has learned something: by chance, one photo
// in ten would be right.
func (l *lab) checkAccuracy(t *testing.T, n notebook) {
	t.Helper()
	found := regexp.MustCompile(`right (\d+) of 10`).FindStringSubmatch(n.printed(t, "predict"))
	if found == nil {
		return // complained of already
	}
	if right, _ := strconv.Atoi(found[1]); right < 7 { //nolint:errcheck // digits
		t.Errorf("the endpoint knows %d of 10 photos", right)
	}
}
