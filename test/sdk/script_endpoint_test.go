package sdk

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	runtimetypes "github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"

	"github.com/musher/musher/test/musher"
)

// pytorchInference is the image of PyTorch's model server.
const pytorchInference = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.1-cpu-py310"

// scriptModel registers a model as version 2 of the SDK does it: the archive
// holds the script in code/, and variables name it.
func scriptModel(t *testing.T, lab *musher.Lab, name string, files map[string]string, change ...func(*types.ContainerDefinition)) {
	t.Helper()
	key := "models/" + name + "/model.tar.gz"
	lab.Upload(t, "", map[string][]byte{key: sourceDir(t, files)})
	container := &types.ContainerDefinition{
		Image: aws.String(plainPython), ModelDataUrl: aws.String(lab.URI(key)),
		Environment: map[string]string{
			"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
			"SAGEMAKER_REGION": musher.Region, "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
		},
	}
	for _, c := range change {
		c(container)
	}
	must(lab.SageMaker().CreateModel(t.Context(), &sagemaker.CreateModelInput{
		ModelName: &name, ExecutionRoleArn: &lab.Role, PrimaryContainer: container,
	}))(t)
}

// deploy makes an endpoint of a model, both of one name, and waits for it.
func deploy(t *testing.T, lab *musher.Lab, name string, instances int32) *sagemaker.DescribeEndpointOutput {
	t.Helper()
	lab.Config(t, name, name, instances)
	lab.Endpoint(t, name, name)
	return lab.AwaitEndpoint(t, name)
}

func wantInService(t *testing.T, out *sagemaker.DescribeEndpointOutput) {
	t.Helper()
	if out.EndpointStatus != types.EndpointStatusInService {
		t.Fatalf("the endpoint is %s: %s", out.EndpointStatus, aws.ToString(out.FailureReason))
	}
}

// variable sets a variable of a model's container.
func variable(name, value string) func(*types.ContainerDefinition) {
	return func(c *types.ContainerDefinition) { c.Environment[name] = value }
}

// ask sends a request; an empty accept is none.
func ask(a musher.Access, endpoint, contentType, accept, body string) (*sagemakerruntime.InvokeEndpointOutput, error) {
	in := &sagemakerruntime.InvokeEndpointInput{EndpointName: &endpoint, ContentType: &contentType, Body: []byte(body)}
	if accept != "" {
		in.Accept = &accept
	}
	return a.Runtime().InvokeEndpoint(background(), in)
}

func wantModelError(t *testing.T, err error, status int32, says string) {
	t.Helper()
	var e *runtimetypes.ModelError
	if !asError(err, &e) || aws.ToInt32(e.OriginalStatusCode) != status || !strings.Contains(aws.ToString(e.OriginalMessage), says) {
		t.Errorf("got %v, want a ModelError of %d that says %q", err, status, says)
	}
}

// echo answers with what each function was given.
const echo = `
import json, os
from helper import shout

def model_fn(model_dir):
    with open(os.path.join(model_dir, "weights.txt")) as f:
        return {"weights": f.read(), "dir": model_dir, "name": os.environ["MODEL_NAME"]}

def input_fn(body, content_type, context):
    if content_type == "text/broken":
        raise ValueError("this input is broken")
    return {"kind": type(body).__name__, "size": len(body), "type": content_type,
            "attributes": context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")}

def predict_fn(data, model):
    if data["type"] == "application/x-rows":
        return [[1, 2], [3, 4.5]]
    return dict(data, shout=shout("x"), **model)

def output_fn(prediction, accept, context):
    from musher_toolkit import serve_handlers
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "seen")
    return serve_handlers.encode(prediction, accept)
`

// TestScriptEndpoint: each function of a script gets what the toolkits give
// it, and its answers and errors arrive.
func TestScriptEndpoint(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	scriptModel(t, lab, "echo", map[string]string{
		"weights.txt": "0.5", "code/inference.py": echo, "code/helper.py": "def shout(x): return x.upper()",
	}, variable("MODEL_NAME", "parrot"))
	wantInService(t, deploy(t, lab, "echo", 1))

	out, err := srv.Runtime().InvokeEndpoint(background(), &sagemakerruntime.InvokeEndpointInput{
		EndpointName: aws.String("echo"), ContentType: aws.String("application/json"), Body: []byte(`{"ä": 1}`), CustomAttributes: aws.String("mine"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Kind, Type, Attributes, Shout, Weights, Dir, Name string
		Size                                              int
	}
	if err := json.Unmarshal(out.Body, &got); err != nil {
		t.Fatalf("%s: %v", out.Body, err)
	}
	if got.Kind != "str" || got.Size != 8 || got.Attributes != "mine" || got.Shout != "X" || got.Weights != "0.5" || got.Name != "parrot" {
		t.Errorf("the script saw %+v", got)
	}
	if got.Dir != "/opt/ml/model" && !strings.HasPrefix(got.Dir, srv.Data) {
		t.Errorf("the model is at %s", got.Dir)
	}
	if aws.ToString(out.ContentType) != "application/json" || aws.ToString(out.CustomAttributes) != "seen" || aws.ToString(out.InvokedProductionVariant) != "all" {
		t.Errorf("the answer is %+v", out)
	}
	out, err = ask(srv.Access, "echo", "image/jpeg", "", "\xff\xd8")
	if err != nil || !strings.Contains(string(out.Body), `"kind": "bytes", "size": 2`) {
		t.Errorf("bytes: %s, %v", out.Body, err)
	}
	out, err = ask(srv.Access, "echo", "application/x-rows", "text/csv", "x")
	if err != nil || string(out.Body) != "1,2\n3,4.5\n" || *out.ContentType != "text/csv" {
		t.Errorf("CSV: %s, %v", out.Body, err)
	}
	_, err = ask(srv.Access, "echo", "text/broken", "", "x")
	wantModelError(t, err, 500, "ValueError: this input is broken")
	_, err = ask(srv.Access, "echo", "text/x", "image/png", "x")
	wantModelError(t, err, 406, "image/png")
	musher.Eventually(t, "the log holds the traceback", func() bool {
		return strings.Contains(endpointLog(srv.Access, "echo"), `raise ValueError("this input is broken")`)
	})
	model, err := srv.SageMaker().DescribeModel(t.Context(), &sagemaker.DescribeModelInput{ModelName: aws.String("echo")})
	if err != nil || model.PrimaryContainer.Environment["MODEL_NAME"] != "parrot" || *model.PrimaryContainer.Image != plainPython || model.VpcConfig != nil {
		t.Errorf("the model is described as %+v, %v", model, err)
	}
}

// endpointLog is what CloudWatch Logs has of an endpoint's instances.
func endpointLog(a musher.Access, endpoint string) string {
	client, group := cloudwatchlogs.NewFromConfig(a.Config()), "/aws/sagemaker/Endpoints/"+endpoint
	found, err := client.FilterLogEvents(background(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, LogStreamNamePrefix: aws.String("all/i-")})
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, e := range found.Events {
		text.WriteString(*e.Message + "\n")
	}
	return text.String()
}

// TestScriptLogStays: what an endpoint has printed can be read when it is gone,
// and one that is made anew under its name has a log of its own.
func TestScriptLogStays(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	scriptModel(t, lab, "talk", map[string]string{"code/inference.py": "def model_fn(d): pass\ndef transform_fn(m, body, c, a):\n    print('said', body)\n    return body"})
	for i, word := range []string{"one", "two"} {
		lab.Config(t, fmt.Sprint("talk", i), "talk", 1)
		lab.Endpoint(t, "talk", fmt.Sprint("talk", i))
		wantInService(t, lab.AwaitEndpoint(t, "talk"))
		if _, err := ask(srv.Access, "talk", "text/csv", "", word); err != nil {
			t.Fatal(err)
		}
		must(srv.SageMaker().DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: aws.String("talk")}))(t)
		awaitGone(t, srv.Access, "talk")
	}
	if text := endpointLog(srv.Access, "talk"); strings.Count(text, "said one") != 1 || strings.Count(text, "said two") != 1 {
		t.Errorf("the log is %q", text)
	}
}

// TestInvocationMetrics: requests are counted in CloudWatch, by variant. A stop
// hands on what the minute has so far.
func TestInvocationMetrics(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	putModel(t, lab, "one")
	lab.Config(t, "config", "one", 1)
	lab.Endpoint(t, "photos", "config")
	wantInService(t, lab.AwaitEndpoint(t, "photos"))
	began := time.Now()
	for range 7 {
		if _, err := invoke(srv.Access, "photos"); err != nil {
			t.Fatal(err)
		}
	}
	srv.Stop()
	srv.Start()
	client := cloudwatch.NewFromConfig(srv.Config())
	for name, want := range map[string]float64{"Invocations": 7, "Invocation5XXErrors": 0, "ModelLatency": -1, "OverheadLatency": -1} {
		out, err := client.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{
			Namespace: aws.String("AWS/SageMaker"), MetricName: &name, Period: aws.Int32(60),
			StartTime: aws.Time(began.Add(-time.Minute)), EndTime: aws.Time(time.Now().Add(time.Minute)),
			Dimensions: []cwtypes.Dimension{{Name: aws.String("EndpointName"), Value: aws.String("photos")}, {Name: aws.String("VariantName"), Value: aws.String("all")}},
			Statistics: []cwtypes.Statistic{cwtypes.StatisticSum, cwtypes.StatisticSampleCount},
		})
		if err != nil {
			t.Fatal(err)
		}
		sum, count := 0.0, 0.0
		for _, d := range out.Datapoints {
			sum, count = sum+*d.Sum, count+*d.SampleCount
		}
		if count != 7 || want >= 0 && sum != want || want < 0 && sum <= 0 {
			t.Errorf("%s: %v in sum, %v times", name, sum, count)
		}
	}
}

// TestScriptSources: a script may lie in an archive of its own, a model may be
// files as they are, or there may be none. Weights that the cache has need no
// download, and cannot be changed.
func TestScriptSources(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	weights := filepath.Join(cache, "torch/hub/checkpoints/net.pth")
	if err := errors.Join(os.MkdirAll(filepath.Dir(weights), 0o755), os.WriteFile(weights, []byte("weights"), 0o644)); err != nil {
		t.Fatal(err)
	}
	srv, lab := scripts(t, musher.WithEnv("MUSHER_CACHE="+cache))
	script := `
import os
def transform_fn(model, body, content_type, accept):
    if body == "weights":
        folder = os.environ["TORCH_HOME"] + "/hub/checkpoints/"
        open(folder + "other.pth", "w").write("downloaded")
        try:
            open(folder + "net.pth", "w").write("poison")
        except OSError:
            return open(folder + "net.pth").read()
    return ",".join(sorted(os.listdir(model))), "text/plain"
def model_fn(model_dir):
    return model_dir
`
	lab.Upload(t, "plain/", map[string][]byte{"a.bin": []byte("1"), "more/b.bin": []byte("2")})
	lab.Upload(t, "", map[string][]byte{"code.tar.gz": sourceDir(t, map[string]string{"list.py": script})})
	own := func(c *types.ContainerDefinition) {
		c.Environment["SAGEMAKER_SUBMIT_DIRECTORY"], c.Environment["SAGEMAKER_PROGRAM"] = lab.URI("code.tar.gz"), "list.py"
	}
	scriptModel(t, lab, "own", map[string]string{"x": ""}, own)
	scriptModel(t, lab, "none", nil, own, func(c *types.ContainerDefinition) { c.ModelDataUrl = nil })
	scriptModel(t, lab, "files", nil, own, func(c *types.ContainerDefinition) {
		c.ModelDataUrl, c.ModelDataSource = nil, &types.ModelDataSource{S3DataSource: &types.S3ModelDataSource{
			S3Uri: aws.String(lab.URI("plain/")), S3DataType: types.S3ModelDataTypeS3Prefix, CompressionType: types.ModelCompressionTypeNone,
		}}
	})
	for name, want := range map[string]string{"own": "x", "none": "", "files": "a.bin,more"} {
		wantInService(t, deploy(t, lab, name, 1))
		out, err := ask(srv.Access, name, "text/plain", "", "?")
		if err != nil || string(out.Body) != want || *out.ContentType != "text/plain" {
			t.Errorf("%s: %v, %v; want %q", name, out, err, want)
		}
	}
	out, err := ask(srv.Access, "own", "text/csv", "", "weights")
	if err != nil || string(out.Body) != "weights" {
		t.Errorf("the weights are %v, %v", out, err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(weights), "other.pth")); err == nil {
		t.Error("a script wrote into the shared weights")
	}
}

// TestScriptDoesNotStart: the endpoint fails, and says what the script said.
func TestScriptDoesNotStart(t *testing.T) {
	t.Parallel()
	_, lab := scripts(t)
	cases := map[string]struct{ file, script, says string }{
		"import":  {"inference.py", "import nonesuch", "No module named 'nonesuch'"},
		"load":    {"inference.py", "def model_fn(d): raise RuntimeError('bad weights')", "RuntimeError: bad weights"},
		"exit":    {"inference.py", "import os\ndef model_fn(d): os._exit(7)", "exit code 7"},
		"both":    {"inference.py", "def model_fn(d): pass\ndef input_fn(b, t): pass\ndef transform_fn(m, b, c, a): pass", "transform_fn and input_fn"},
		"none":    {"inference.py", "", "no model_fn"},
		"missing": {"other.py", "", "there are: other.py"},
	}
	for name, c := range cases {
		scriptModel(t, lab, name, map[string]string{"code/" + c.file: c.script})
		lab.Config(t, name, name, 1)
		lab.Endpoint(t, name, name)
	}
	for name, c := range cases {
		out := lab.AwaitEndpoint(t, name)
		if reason := aws.ToString(out.FailureReason); out.EndpointStatus != types.EndpointStatusFailed || !strings.Contains(reason, c.says) {
			t.Errorf("%s: the endpoint is %s: %q; want %q in it", name, out.EndpointStatus, reason, c.says)
		}
	}
}

// unruly does as the request says.
const unruly = `
import os, sys, time
def model_fn(model_dir):
    return os.getpid()
def transform_fn(model, body, content_type, accept):
    if body == "die":
        os.kill(os.getpid(), 9)
    if body == "exit":
        sys.exit(3)
    if body == "hang":
        time.sleep(3600)
    if body.startswith("meet "):
        _, mine, theirs = body.split()
        open(mine, "w").close()
        while not os.path.exists(theirs):
            time.sleep(0.001)
    return str(model)
`

// TestScriptMisbehaves: a script that dies or hangs costs its own request and
// nothing else.
func TestScriptMisbehaves(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	scriptModel(t, lab, "unruly", map[string]string{"code/inference.py": unruly},
		variable("SAGEMAKER_MODEL_SERVER_WORKERS", "2"), variable("SAGEMAKER_TS_RESPONSE_TIMEOUT", "2"))
	wantInService(t, deploy(t, lab, "unruly", 1))
	fine := func() {
		t.Helper()
		if _, err := ask(srv.Access, "unruly", "text/csv", "", "x"); err != nil {
			t.Error(err)
		}
	}
	_, err := ask(srv.Access, "unruly", "text/csv", "", "die")
	wantModelError(t, err, 500, "killed by signal 9")
	fine()
	_, err = ask(srv.Access, "unruly", "text/csv", "", "exit")
	wantModelError(t, err, 500, "exit code 3")
	fine()
	var hanging sync.WaitGroup
	hanging.Go(func() {
		_, err := ask(srv.Access, "unruly", "text/csv", "", "hang")
		wantModelError(t, err, 500, "did not answer within 2 s")
	})
	for range 20 {
		fine() // the other worker answers
	}
	hanging.Wait()
	fine()
	if out := lab.DescribeEndpoint(t, "unruly"); out.EndpointStatus != types.EndpointStatusInService {
		t.Errorf("the endpoint is %s", out.EndpointStatus)
	}
}

// TestScriptWorkers: two requests run at the same time in one instance, in
// processes of their own. Neither would end without the other.
func TestScriptWorkers(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	scriptModel(t, lab, "pair", map[string]string{"code/inference.py": unruly}, variable("SAGEMAKER_MODEL_SERVER_WORKERS", "2"))
	wantInService(t, deploy(t, lab, "pair", 1))
	for round := range 5 {
		var both sync.WaitGroup
		var pids [2]string
		for i := range 2 {
			both.Go(func() {
				out, err := ask(srv.Access, "pair", "text/csv", "", fmt.Sprintf("meet %d-%d %d-%d", round, i, round, 1-i))
				if err != nil {
					t.Error(err)
					return
				}
				pids[i] = string(out.Body)
			})
		}
		both.Wait()
		if pids[0] == pids[1] {
			t.Fatalf("both requests ran in process %s", pids[0])
		}
	}
}

// TestScriptServerKilled: workers, the model server and Musher itself are
// killed under load. Requests that were under way may fail, as the model's
// error; the endpoint goes on.
func TestScriptServerKilled(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	scriptModel(t, lab, "load", map[string]string{"code/inference.py": unruly}, variable("SAGEMAKER_MODEL_SERVER_WORKERS", "2"))
	wantInService(t, deploy(t, lab, "load", 2))
	var answered atomic.Int64
	var clients sync.WaitGroup
	asking, stop := context.WithCancel(t.Context())
	defer clients.Wait()
	defer stop()
	for range 3 {
		clients.Go(func() {
			for asking.Err() == nil {
				if _, err := ask(srv.Access, "load", "text/csv", "", "x"); err == nil {
					answered.Add(1)
				} else if code := musher.Code(err); code != "ModelError" && code != "ServiceUnavailable" {
					t.Errorf("a request failed with %v", err)
					return
				}
			}
		})
	}
	more := func() {
		t.Helper()
		before := answered.Load()
		musher.Eventually(t, "requests are answered", func() bool { return answered.Load() > before+20 || t.Failed() })
	}
	more()
	for range 2 {
		kill(t, workerOf(t, modelServer(t, srv.Data)))
		more()
	}
	kill(t, modelServer(t, srv.Data))
	more()
	stop()
	clients.Wait()
	musher.Eventually(t, "both instances serve", func() bool {
		return *lab.DescribeEndpoint(t, "load").ProductionVariants[0].CurrentInstanceCount == 2
	})
	srv.Kill()
	srv.Restart()
	if _, err := ask(srv.Access, "load", "text/csv", "", "x"); err != nil {
		t.Errorf("after the server was killed: %v", err)
	}
}

// modelServer is the process of one of the server's model servers.
func modelServer(t *testing.T, data string) int {
	t.Helper()
	for pid, line := range musher.Processes(data) {
		if strings.Contains(line, "start.py serve ") && !strings.Contains(line, "supervise") {
			return pid
		}
	}
	t.Fatal("no model server runs")
	return 0
}

// workerOf is one of its workers.
func workerOf(t *testing.T, pid int) (worker int) {
	t.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(children), &worker); err != nil {
		t.Fatalf("the model server %d has the children %q: %v", pid, children, err)
	}
	return worker
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// wheel is a package of one module.
func wheel(t *testing.T, name, source string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	info := name + "-1.0.dist-info/"
	for path, text := range map[string]string{
		name + ".py":      source,
		info + "METADATA": "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n",
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info + "RECORD":   "",
	} {
		f, err := w.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestScriptPackages: what requirements.txt asks for is installed once, beside
// the interpreter, for all instances and for other endpoints of the model.
func TestScriptPackages(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	if err := exec.Command("python3", "-m", "pip", "--version").Run(); err != nil {
		musher.Skip(t, "no pip: %v", err)
	}
	const name = "musher_test_package"
	scriptModel(t, lab, "packed", map[string]string{
		"code/inference.py":                             "import " + name + " as p\ndef model_fn(d): return p\ndef transform_fn(m, b, c, a): return m.__file__ + m.WORD",
		"code/requirements.txt":                         "--no-index\n--find-links wheels\n" + name + "==1.0\n",
		"code/wheels/" + name + "-1.0-py3-none-any.whl": string(wheel(t, name, "WORD = ' installed'")),
	})
	wantInService(t, deploy(t, lab, "packed", 2))
	out, err := ask(srv.Access, "packed", "text/csv", "", "x")
	if err != nil || !strings.HasSuffix(string(out.Body), " installed") || !strings.HasPrefix(string(out.Body), filepath.Join(srv.Data, "models")) {
		t.Errorf("the module is at %v, %v", out, err)
	}
	lab.Endpoint(t, "again", "packed")
	wantInService(t, lab.AwaitEndpoint(t, "again"))
	runs, err := filepath.Glob(filepath.Join(srv.Data, "endpoints/*/*-packages"))
	if err != nil || len(runs) != 1 {
		t.Errorf("pip ran %d times: %v, %v", len(runs), runs, err)
	}
	scriptModel(t, lab, "unknown", map[string]string{"code/inference.py": "", "code/requirements.txt": "--no-index\nno-such-thing==1\n"})
	if out := deploy(t, lab, "unknown", 1); out.EndpointStatus != types.EndpointStatusFailed || !strings.Contains(aws.ToString(out.FailureReason), "no-such-thing") {
		t.Errorf("the endpoint is %s: %s", out.EndpointStatus, aws.ToString(out.FailureReason))
	}
}

// TestScriptIsolation: a model that asks for no network gets none, or is
// refused where that cannot be enforced.
func TestScriptIsolation(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	outside := httptest.NewServer(http.NotFoundHandler())
	defer outside.Close()
	key := "models/alone.tar.gz"
	lab.Upload(t, "", map[string][]byte{key: sourceDir(t, map[string]string{"code/inference.py": `
import urllib.request
def model_fn(d): return 0
def transform_fn(m, body, c, a):
    try:
        urllib.request.urlopen(body, timeout=5)
    except OSError as e:
        return type(e).__name__
`})})
	must(srv.SageMaker().CreateModel(t.Context(), &sagemaker.CreateModelInput{
		ModelName: aws.String("alone"), ExecutionRoleArn: &lab.Role, EnableNetworkIsolation: aws.Bool(true),
		PrimaryContainer: &types.ContainerDefinition{Image: aws.String(plainPython), ModelDataUrl: aws.String(lab.URI(key))},
	}))(t)
	lab.Config(t, "alone", "alone", 1)
	_, err := srv.SageMaker().CreateEndpoint(t.Context(), &sagemaker.CreateEndpointInput{EndpointName: aws.String("alone"), EndpointConfigName: aws.String("alone")})
	if err != nil {
		wantError(t, err, "ValidationException", "network isolation")
		return
	}
	wantInService(t, lab.AwaitEndpoint(t, "alone"))
	out, err := ask(srv.Access, "alone", "text/csv", "", outside.URL)
	if err != nil || string(out.Body) != "URLError" {
		t.Errorf("the script reached the network: %v, %v", out, err)
	}
}

// TestScriptRefused: what cannot be served is refused when the model is made.
func TestScriptRefused(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	for want, c := range map[string]*types.ContainerDefinition{
		"nonesuch":                    {Image: aws.String("nonesuch:1")},
		"ModelDataUrl is required":    {Image: aws.String(musher.Image)},
		"MultiModel is not supported": {Image: aws.String(plainPython), Mode: types.ContainerModeMultiModel},
		"SAGEMAKER_SUBMIT_DIRECTORY":  {Image: aws.String(plainPython), Environment: map[string]string{"SAGEMAKER_SUBMIT_DIRECTORY": "s3://bucket"}},
	} {
		_, err := srv.SageMaker().CreateModel(t.Context(), &sagemaker.CreateModelInput{
			ModelName: aws.String("refused"), ExecutionRoleArn: &lab.Role, PrimaryContainer: c,
		})
		wantError(t, err, "ValidationException", want)
	}
}

// reference is a script of the shape that the SDK's users write: photos in, or
// where to get them, and a row of log probabilities out.
const reference = `
import io, json, logging, os, sys, urllib.request
import torch, torch.nn as nn, torch.nn.functional as F

logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.StreamHandler(sys.stdout))

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))

def model_fn(model_dir):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = net().to(device)
    with open(os.path.join(model_dir, "model.pth"), "rb") as f:
        model.load_state_dict(torch.load(f, map_location=device))
    model.eval()
    logger.info("loaded")
    return model

def input_fn(request_body, content_type="image/jpeg"):
    if content_type == "image/jpeg":
        return torch.tensor(list(request_body[:12]), dtype=torch.float32).unsqueeze(0) / 255
    if content_type == "application/json":
        body = urllib.request.urlopen(json.loads(request_body)["url"]).read()
        return input_fn(body, "image/jpeg")
    raise Exception("Requested unsupported ContentType in content_type: {}".format(content_type))

def predict_fn(input_object, model):
    with torch.no_grad():
        return F.log_softmax(model(input_object), dim=1)
`

// TestScriptTorch: a script of that shape, and one with nothing but a
// TorchScript model, on real PyTorch.
func TestScriptTorch(t *testing.T) {
	t.Parallel()
	needTorch(t)
	srv, lab := scripts(t)
	dir := t.TempDir()
	make := exec.Command("/usr/bin/python3", "-c", `
import torch, torch.nn as nn
torch.manual_seed(1)
net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
torch.save(net.state_dict(), "model.pth")
torch.jit.script(net).save("script.pt")
`)
	make.Dir = dir
	if text, err := make.CombinedOutput(); err != nil {
		t.Skipf("no torch: %v\n%s", err, text)
	}
	file := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	image := func(c *types.ContainerDefinition) { c.Image = aws.String(pytorchInference) }
	scriptModel(t, lab, "dogs", map[string]string{"model.pth": file("model.pth"), "code/inference2.py": reference}, image, variable("SAGEMAKER_PROGRAM", "inference2.py"))
	scriptModel(t, lab, "plain", map[string]string{"any.pt": file("script.pt")}, image, func(c *types.ContainerDefinition) { c.Environment = nil })
	wantInService(t, deploy(t, lab, "dogs", 1))
	wantInService(t, deploy(t, lab, "plain", 1))

	photo := "\xff\xd8 a photo's bytes"
	photos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, photo) }))
	defer photos.Close()
	direct, err := ask(srv.Access, "dogs", "image/jpeg", "application/json", photo)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	if err := json.Unmarshal(direct.Body, &rows); err != nil || len(rows) != 1 || len(rows[0]) != 5 {
		t.Errorf("the prediction is %s, %v", direct.Body, err)
	}
	fetched, err := ask(srv.Access, "dogs", "application/json", "", fmt.Sprintf(`{"url": %q}`, photos.URL))
	if err != nil || !bytes.Equal(fetched.Body, direct.Body) {
		t.Errorf("by its address: %v, %v; directly %s", fetched, err, direct.Body)
	}
	_, err = ask(srv.Access, "dogs", "text/plain", "", "x")
	wantModelError(t, err, 500, "Exception: Requested unsupported ContentType in content_type: text/plain")

	out, err := ask(srv.Access, "plain", "application/json", "", "[[0,0,0,0,0,0,0,0,0,0,0,0]]")
	if err != nil || json.Unmarshal(out.Body, &rows) != nil || len(rows[0]) != 5 {
		t.Errorf("the default functions answer %v, %v", out, err)
	}
	if csv, err := ask(srv.Access, "plain", "text/csv", "text/csv", "0,0,0,0,0,0,0,0,0,0,0,0\n1,1,1,1,1,1,1,1,1,1,1,1\n"); err != nil || strings.Count(string(csv.Body), ",") != 8 {
		t.Errorf("CSV: %v, %v", csv, err)
	}
	_, err = ask(srv.Access, "plain", "image/jpeg", "", photo)
	wantModelError(t, err, 415, "image/jpeg")
}
