package toolkit_test

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/toolkit"
)

// job is a training job's folder, about to be run by the toolkit.
type job struct {
	base   string
	python string
	env    map[string]string
	argv   []string
}

// newJob makes a job of one host whose code holds the files; train.py runs
// unless the hyperparameters, given as JSON, say otherwise.
func newJob(t *testing.T, hyperparameters string, code map[string]string) *job {
	t.Helper()
	j := &job{base: t.TempDir(), python: interpreters(t)[0]}
	config := filepath.Join(j.base, "input", "config")
	mkdir(t, config)
	if hyperparameters == "" {
		hyperparameters = `{"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://bucket/sourcedir.tar.gz"}`
	}
	write(t, filepath.Join(config, "hyperparameters.json"), hyperparameters, 0o644)
	write(t, filepath.Join(config, "resourceconfig.json"), `{"current_host": "algo-1", "hosts": ["algo-1"]}`, 0o644)
	if code != nil {
		write(t, filepath.Join(j.base, "code.tar.gz"), archive(t, code), 0o644)
	}
	c := toolkit.Trainer(runtimes.Runtime{Python: j.python, Bin: filepath.Dir(j.python)}, install(t), j.base)
	j.argv, j.env = c.Argv, c.Env
	j.env["HOME"] = j.base
	return j
}

func (j *job) command() *exec.Cmd {
	cmd := exec.Command(j.argv[0], j.argv[1:]...)
	for name, value := range j.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// run runs the job to its end, and returns its exit status and log.
func (j *job) run(t *testing.T) (int, string) {
	t.Helper()
	cmd := j.command()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (j *job) failure(t *testing.T) string {
	t.Helper()
	return readText(t, filepath.Join(j.base, "output", "failure"))
}

func TestTrainerCommand(t *testing.T) {
	rt := runtimes.Runtime{
		Name: "pytorch", Python: "/env/bin/python", Bin: "/env/bin",
		Env: map[string]string{"TORCH_HOME": "/weights"}, Mounts: []runner.Mount{{Source: "/env", ReadOnly: true}},
	}
	c := toolkit.Trainer(rt, "/tools", "/opt/ml")
	if got := c.Env["PATH"]; !strings.HasPrefix(got, "/env/bin:") {
		t.Errorf("PATH = %s", got)
	}
	if _, set := c.Env["SAGEMAKER_BASE_DIR"]; set || c.Env["TORCH_HOME"] != "/weights" {
		t.Errorf("env = %v", c.Env)
	}
	if len(c.Mounts) != 2 || c.Mounts[0] != (runner.Mount{Source: "/tools", ReadOnly: true}) {
		t.Errorf("mounts = %v", c.Mounts)
	}
	if got := toolkit.Trainer(rt, "/tools", "/jobs/x").Env["SAGEMAKER_BASE_DIR"]; got != "/jobs/x" {
		t.Errorf("SAGEMAKER_BASE_DIR = %q", got)
	}
	if len(rt.Env) != 1 {
		t.Errorf("the runtime's own environment was changed: %v", rt.Env)
	}
}

func TestSaysWhereTheFolderIs(t *testing.T) {
	j := newJob(t, "", map[string]string{"train.py": ""})
	if code, log := j.run(t); code != 0 || !strings.Contains(log, "the job's folder is "+j.base) {
		t.Errorf("exit = %d, log:\n%s", code, log)
	}
}

func TestOutputIsLiveAndInOrder(t *testing.T) {
	j := newJob(t, "", map[string]string{"train.py": `
import os, sys, time
for i in range(100):
    print("line", 2 * i)
    print("line", 2 * i + 1, file=sys.stderr)
while not os.path.exists(os.environ["SM_MODEL_DIR"] + "/seen"):
    time.sleep(0.01)
`})
	cmd := j.command()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := range 200 { // the script goes on only when all of them were seen
		if !lines.Scan() || lines.Text() != "line "+strconv.Itoa(i) {
			t.Fatalf("line %d = %q", i, lines.Text())
		}
	}
	write(t, filepath.Join(j.base, "model", "seen"), "", 0o644)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestSIGTERM(t *testing.T) {
	tests := map[string]struct {
		script string
		exit   int
		log    string
	}{
		"the script and its processes hear it": {exit: 0, log: "child saved\nsaved\n", script: `
import os, signal, subprocess, sys
child = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('child saved'), sys.exit()))\nprint('child ready')\ntime.sleep(600)"
def save(*_):
    p.wait()
    print("saved")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
p = subprocess.Popen([sys.executable, "-c", child])
signal.pause()
`},
		"it ends by it":       {exit: 143, script: "import time\nprint('child ready')\ntime.sleep(600)"},
		"it has its own code": {exit: 9, script: "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\nprint('child ready')\nsignal.pause()"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, "", map[string]string{"train.py": test.script})
			cmd := j.command()
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			if line, err := r.ReadString('\n'); line != "child ready\n" {
				t.Fatalf("first line = %q, %v", line, err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the exit status is looked at below
			if got := cmd.ProcessState.ExitCode(); got != test.exit || string(rest) != test.log {
				t.Errorf("exit = %d, rest of the log = %q; want %d, %q", got, rest, test.exit, test.log)
			}
		})
	}
}

// What a script leaves behind holds its output open; the job ends all the same.
func TestProcessLeftBehind(t *testing.T) {
	j := newJob(t, "", map[string]string{"train.py": `
import os, subprocess
p = subprocess.Popen(["sleep", "600"])
open(os.environ["SM_MODEL_DIR"] + "/pid", "w").write(str(p.pid))
print("done")
`})
	cmd := j.command()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if pid, convErr := strconv.Atoi(readText(t, filepath.Join(j.base, "model", "pid"))); convErr == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if !hung.Stop() || err != nil || !strings.Contains(log.String(), "done\n") {
		t.Errorf("the job did not end: %v\n%s", err, log.String())
	}
}

func TestRefused(t *testing.T) {
	code := map[string]string{"train.py": "", "util.py": ""}
	submit := `"sagemaker_submit_directory": "s3://b/k"`
	tests := map[string]struct {
		hyperparameters string
		want            string
	}{
		"no program":      {`{` + submit + `}`, "sagemaker_program"},
		"program missing": {`{"sagemaker_program": "hpo.py", ` + submit + `}`, "hpo.py is not in the code, which holds: train.py, util.py"},
		"program outside": {`{"sagemaker_program": "../train.py", ` + submit + `}`, "must be a path inside the code"},
		"an option":       {`{"sagemaker_program": "-c", ` + submit + `}`, "must be a path inside the code"},
		"MPI":             {`{"sagemaker_program": "train.py", "sagemaker_mpi_enabled": "true", ` + submit + `}`, "torch_distributed"},
		"folder missing":  {`{"sagemaker_program": "train.py", "sagemaker_submit_directory": "/no/such"}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := code
			if test.want == "" {
				files, test.want = nil, "the code /no/such is not here"
			}
			j := newJob(t, test.hyperparameters, files)
			exit, log := j.run(t)
			if got := j.failure(t); exit != 1 || !strings.Contains(got, test.want) {
				t.Errorf("exit = %d, failure = %q, want %q; log:\n%s", exit, got, test.want, log)
			}
		})
	}
}

func TestUnsafeArchives(t *testing.T) {
	outside := t.TempDir()
	tests := map[string][]tar.Header{
		"absolute name":            {{Name: filepath.Join(outside, "evil")}},
		"name with dots":           {{Name: "a/../../evil"}},
		"link out":                 {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside}},
		"link out, then through":   {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../.."}, {Name: "l/evil"}},
		"chain of links":           {{Name: "a/b/s", Typeflag: tar.TypeSymlink, Linkname: "../.."}, {Name: "t", Typeflag: tar.TypeSymlink, Linkname: "a/b/s/.."}, {Name: "t/evil"}},
		"link completed later":     {{Name: "t", Typeflag: tar.TypeSymlink, Linkname: "a/.."}, {Name: "a", Typeflag: tar.TypeSymlink, Linkname: "."}, {Name: "t/evil"}},
		"hard link to the outside": {{Name: "h", Typeflag: tar.TypeLink, Linkname: "../input/config/hyperparameters.json"}},
		"pipe":                     {{Name: "p", Typeflag: tar.TypeFifo}},
	}
	for name, headers := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, "", nil)
			var buf bytes.Buffer
			zw := gzip.NewWriter(&buf)
			tw := tar.NewWriter(zw)
			for _, h := range headers {
				h.Mode = 0o644
				if err := tw.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			if err := tw.Close(); err != nil {
				t.Fatal(err)
			}
			if err := zw.Close(); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(j.base, "code.tar.gz"), buf.String(), 0o644)
			exit, log := j.run(t)
			if got := j.failure(t); exit != 1 || !strings.Contains(got, "unsafe archive") {
				t.Errorf("exit = %d, failure = %q, log:\n%s", exit, got, log)
			}
			for _, evil := range []string{filepath.Join(outside, "evil"), filepath.Join(j.base, "evil"), filepath.Join(filepath.Dir(j.base), "evil")} {
				if _, err := os.Lstat(evil); err == nil {
					t.Errorf("%s was written", evil)
				}
			}
		})
	}
}

func TestBrokenArchive(t *testing.T) {
	j := newJob(t, "", nil)
	whole := archive(t, map[string]string{"train.py": strings.Repeat("# filler that does not compress away\n", 2000)})
	write(t, filepath.Join(j.base, "code.tar.gz"), whole[:len(whole)/2], 0o644)
	if exit, log := j.run(t); exit != 1 || !strings.Contains(j.failure(t), "cannot be unpacked") {
		t.Errorf("exit = %d, failure = %q, log:\n%s", exit, j.failure(t), log)
	}
	if _, err := os.Stat(filepath.Join(j.base, "code")); err == nil {
		t.Error("half of the code is in its place")
	}
}

func TestCodeChannel(t *testing.T) {
	j := newJob(t, `{"sagemaker_program": "train.py"}`, nil)
	channel := filepath.Join(j.base, "input", "data", "code")
	mkdir(t, channel)
	write(t, filepath.Join(channel, "train.py"), "open('beside.txt', 'w').close()", 0o444)
	if exit, log := j.run(t); exit != 0 {
		t.Fatalf("exit = %d, log:\n%s", exit, log)
	}
	if _, err := os.Stat(filepath.Join(j.base, "code", "beside.txt")); err != nil {
		t.Errorf("the script does not run in a folder of its own: %v", err)
	}
	if _, err := os.Stat(filepath.Join(channel, "beside.txt")); err == nil {
		t.Error("the script wrote into the channel")
	}
}

// A job that starts again finds the code as its first start left it.
func TestStartsAgain(t *testing.T) {
	j := newJob(t, "", map[string]string{"train.py": "open('starts.txt', 'a').write('x'); print(len(open('starts.txt').read()))"})
	mkdir(t, filepath.Join(j.base, ".code", "half")) // of a start that was cut short
	for starts := range 2 {
		exit, log := j.run(t)
		if want := strconv.Itoa(starts+1) + "\n"; exit != 0 || !strings.Contains(log, want) {
			t.Errorf("start %d: exit = %d, log:\n%s", starts+1, exit, log)
		}
	}
}

func TestMaster(t *testing.T) {
	print := map[string]string{"train.py": `
import os, socket
print(socket.gethostbyname(os.environ["MASTER_ADDR"]), os.environ["MASTER_PORT"], os.environ["SM_NUM_GPUS"])
`}
	tests := map[string]struct {
		resources string
		env       map[string]string
		want      string
	}{
		"one host":                  {`{"current_host": "algo-1", "hosts": ["algo-1"]}`, nil, "127.0.0.1 7777 "},
		"two of this machine":       {`{"current_host": "algo-2", "hosts": ["algo-1.invalid", "algo-2.invalid"]}`, nil, "127.0.0.1 7777 "},
		"two with addresses":        {`{"current_host": "127.0.0.3", "hosts": ["127.0.0.2", "127.0.0.3"]}`, nil, "127.0.0.2 7777 "},
		"the environment's port":    {`{"current_host": "algo-1", "hosts": ["algo-1"]}`, map[string]string{"MASTER_PORT": "20001"}, "127.0.0.1 20001 "},
		"the environment's address": {`{"current_host": "algo-1", "hosts": ["algo-1"]}`, map[string]string{"MASTER_ADDR": "127.0.0.9"}, "127.0.0.9 7777 "},
		"two devices":               {`{"current_host": "algo-1", "hosts": ["algo-1"]}`, map[string]string{"CUDA_VISIBLE_DEVICES": "3,1"}, "127.0.0.1 7777 2"},
		"no device":                 {`{"current_host": "algo-1", "hosts": ["algo-1"]}`, map[string]string{"CUDA_VISIBLE_DEVICES": ""}, "127.0.0.1 7777 0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, "", print)
			write(t, filepath.Join(j.base, "input", "config", "resourceconfig.json"), test.resources, 0o644)
			for name, value := range test.env {
				j.env[name] = value
			}
			if exit, log := j.run(t); exit != 0 || !strings.Contains(log, test.want) {
				t.Errorf("exit = %d, want %q in the log:\n%s", exit, test.want, log)
			}
		})
	}
}

func TestRequirements(t *testing.T) {
	t.Parallel()
	j := newJob(t, "", map[string]string{
		"train.py":                        "import mushertest\nprint('version', mushertest.VERSION)",
		"requirements.txt":                "./mushertest-2.0-py3-none-any.whl\n",
		"mushertest-2.0-py3-none-any.whl": wheel(t, mushertest("2.0")),
	})
	j.inRuntimeWith(t, mushertest("1.0"))
	if exit, log := j.run(t); exit != 0 || !strings.Contains(log, "version 2.0\n") {
		t.Errorf("exit = %d, log:\n%s", exit, log)
	}
	out, err := exec.Command(j.python, "-c", "import mushertest; print(mushertest.VERSION)").CombinedOutput()
	if string(out) != "1.0\n" {
		t.Errorf("the interpreter that all jobs share has version %s (%v), want the 1.0 that it had", out, err)
	}
}

func TestRequirementsThatCannotBeHad(t *testing.T) {
	t.Parallel()
	j := newJob(t, "", map[string]string{"train.py": "", "requirements.txt": "no-such-package==1.0\n"})
	j.inRuntimeWith(t, mushertest("1.0"))
	exit, log := j.run(t)
	got := j.failure(t)
	if exit == 0 || !strings.HasPrefix(got, "InstallRequirementsError:\nExitCode 1\n") || !strings.Contains(got, "no-such-package") {
		t.Errorf("exit = %d, failure = %q, log:\n%s", exit, got, log)
	}
}

// inRuntimeWith gives the job an interpreter with a package installed, pip from
// the machine's, and no index to ask.
func (j *job) inRuntimeWith(t *testing.T, files map[string]string) {
	t.Helper()
	const ask = "import os, pip, sys, sysconfig; print(sys.executable, os.path.dirname(os.path.dirname(pip.__file__)), 'lib/python%d.%d/site-packages' % sys.version_info[:2])"
	out, err := exec.Command(j.python, "-c", ask).Output()
	if err != nil {
		if os.Getenv("MUSHER_TEST_STRICT") != "" {
			t.Fatalf("MUSHER_TEST_STRICT is set: %s has no pip", j.python)
		}
		t.Skipf("%s has no pip", j.python)
	}
	found := strings.Fields(string(out))
	runtime := t.TempDir()
	modules := filepath.Join(runtime, found[2])
	mkdir(t, filepath.Join(modules, "mushertest-1.0.dist-info"))
	mkdir(t, filepath.Join(runtime, "bin"))
	for name, text := range files {
		write(t, filepath.Join(modules, name), text, 0o644)
	}
	write(t, filepath.Join(modules, "pip.pth"), found[1]+"\n", 0o644)
	write(t, filepath.Join(runtime, "pyvenv.cfg"), "home = "+filepath.Dir(found[0])+"\ninclude-system-site-packages = false\n", 0o644)
	j.python = filepath.Join(runtime, "bin", "python")
	if err := os.Symlink(found[0], j.python); err != nil {
		t.Fatal(err)
	}
	j.argv[0] = j.python
	j.env["PIP_NO_INDEX"] = "1"
}

// mushertest is the content of a package that tells its version.
func mushertest(version string) map[string]string {
	info := "mushertest-" + version + ".dist-info/"
	return map[string]string{
		"mushertest.py":   "VERSION = '" + version + "'\n",
		info + "METADATA": "Metadata-Version: 2.1\nName: mushertest\nVersion: " + version + "\n",
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info + "RECORD":   "mushertest.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n",
	}
}

func wheel(t *testing.T, files map[string]string) string {
	t.Helper()
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	for name, text := range files {
		w, err := zw.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// Only 1,024 characters of a failure reach the user: the exception must be
// among them, whatever surrounds it.
func TestEssence(t *testing.T) {
	deep := strings.Repeat("  File \"a/long/path/to/a/module.py\", line 10, in function\n    call(argument)\n", 50)
	tests := []struct{ Output, Want string }{
		{"", ""},
		{"epoch 1\nepoch 2\n", "epoch 1\nepoch 2"},
		{"Traceback (most recent call last):\n" + deep + "ValueError: bad\nwandb: sync\n", "ValueError: bad\nwandb: sync"},
		{"Traceback (most recent call last):\n  x\nKeyError: 'a'\n\nDuring handling\n\nTraceback (most recent call last):\n  y\nOSError: b\n", "\"y\nOSError: b\"\n"},
		{"[rank1]: Traceback (most recent call last):\n[rank1]:   x\n[rank1]: ValueError: bad\nTraceback (most recent call last):\n  y\ntorch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n", "[rank1]: ValueError: bad"},
		{"Traceback (most recent call last):\n  x\nValueError: shape\nTraceback (most recent call last):\n  y\nRuntimeError: Connection closed by peer\nERROR: failed\nTraceback (most recent call last):\n  z\ntorch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n", "\"x\nValueError: shape\"\n"},
		{"  File \"train.py\", line 1\n    x = = 1\nSyntaxError: invalid syntax\n", "SyntaxError: invalid syntax"},
		{"usage: train.py\ntrain.py: error: unrecognized arguments: --x\n", "unrecognized arguments: --x"},
		{"Traceback (most recent call last):\n  cut short\n", "cut short"},
		{"Traceback (most recent call last):\n  x\nValueError: " + strings.Repeat("long", 1000), "ValueError: longlong"},
	}
	table, err := json.Marshal(tests)
	if err != nil {
		t.Fatal(err)
	}
	const script = `
import json, sys
sys.path.insert(0, sys.argv[1])
from musher_toolkit.failures import CommandError
print(json.dumps([str(CommandError("E", 1, t["Output"].encode(), ["python", "train.py"])) for t in json.load(sys.stdin)]))`
	cmd := exec.Command(interpreters(t)[0], "-c", script, install(t))
	cmd.Stdin = bytes.NewReader(table)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := json.Unmarshal(out, &texts); err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		if !strings.Contains(text, tests[i].Want) || len(text) > 1024 {
			t.Errorf("of %.80q: %d characters %q, want %q in it", tests[i].Output, len(text), text, tests[i].Want)
		}
	}
}
