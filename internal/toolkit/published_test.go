package toolkit_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/toolkit"
)

// The jobs of testdata/jobs were run by the published toolkits; published.json
// is what their scripts saw. To record it anew:
//
//	python3 -m venv .cache/toolkits
//	.cache/toolkits/bin/pip install sagemaker-training==5.1.4 sagemaker-pytorch-training==3.0.0
//	go test ./internal/toolkit -run Published -published "$PWD/.cache/toolkits/bin/python"
var published = flag.String("published", "", "the `python` with the published toolkits, to record what they do")

const recordFile = "testdata/published.json"

// record is what the published toolkits did.
type record struct {
	Versions map[string]string `json:"versions"`
	Jobs     map[string]result `json:"jobs"`
}

// result is what a script saw, and what became of its job. Paths of the machine
// are replaced by {base} and {python}.
type result struct {
	Argv    []string          `json:"argv"`
	Cwd     string            `json:"cwd"`
	Env     map[string]string `json:"env"`
	Launch  []string          `json:"launch,omitempty"` // the arguments of torchrun
	Exit    int               `json:"exit"`
	Failure string            `json:"failure,omitempty"`
	Success bool              `json:"success"`
}

// dump is the module that every script imports.
const dump = `
import json, os, sys
with open(os.path.join(os.environ["SM_MODEL_DIR"], "dump.json"), "w") as f:
    json.dump({"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ)}, f)
`

// launcher stands for torch.distributed.run in scripts' code.
const launcher = `
import json, os, sys, runpy
with open(os.path.join(os.environ["SM_MODEL_DIR"], "launch.json"), "w") as f:
    json.dump(sys.argv[1:], f)
first = sys.argv.index("train.py")
sys.argv = sys.argv[first:]
runpy.run_path(sys.argv[0], run_name="__main__")
`

// differences are the variables in which we differ on purpose.
var differences = map[string]string{
	"SM_DLC_TORCH_VERSION": "theirs imports torch to learn its version, which takes seconds",
	"PYTHONPATH":           "theirs repeats the interpreter's own path, which breaks other interpreters that a script starts",
	"NCCL_PROTO":           "theirs slows small messages down for the sake of a network that is not here",
	"GLOO_SOCKET_IFNAME":   "ours: on a machine with several interfaces gloo needs to know which one, as NCCL does",
	"MASTER_ADDR":          "ours is 127.0.0.1 where the host's name means nothing to this machine; TestMaster",
	"SM_NUM_CPUS":          "ours counts the cores that the job may use",
	"_":                    "a shell's",
	"PWD":                  "a shell's",
	"OLDPWD":               "a shell's",
	"SHLVL":                "a shell's",
	"LC_CTYPE":             "the interpreter's, where no locale is set",
	"DUMP_PYTHON":          "the test's",
	"PATH":                 "the test's",
	"HOME":                 "the test's",
}

func TestSameAsPublished(t *testing.T) {
	if *published != "" {
		recordPublished(t, *published)
	}
	var want record
	readJSON(t, recordFile, &want)
	tools := install(t)
	for _, python := range interpreters(t) {
		version := pythonVersion(t, python)
		for _, file := range jobFiles(t) {
			name := strings.TrimSuffix(filepath.Base(file), ".txtar")
			t.Run(version+"/"+name, func(t *testing.T) {
				t.Parallel()
				compare(t, runOurs(t, file, python, tools), want.Jobs[name])
			})
		}
	}
}

// compare checks what the script saw to the letter but for the differences, and
// the ways in which our failures say more.
func compare(t *testing.T, got, want result) {
	t.Helper()
	for name := range differences {
		delete(got.Env, name)
		delete(want.Env, name)
	}
	for _, r := range []result{got, want} {
		r.Env["SM_TRAINING_ENV"] = cpus.ReplaceAllString(r.Env["SM_TRAINING_ENV"], "")
	}
	if d := cmp.Diff(want.Argv, got.Argv); d != "" {
		t.Errorf("arguments (-published +ours):\n%s", d)
	}
	if d := cmp.Diff(want.Env, got.Env); d != "" {
		t.Errorf("environment (-published +ours):\n%s", d)
	}
	if got.Cwd != want.Cwd || got.Success != want.Success {
		t.Errorf("cwd = %s, success = %t, published %s, %t", got.Cwd, got.Success, want.Cwd, want.Success)
	}
	// Ours picks a free port on a single host, and helps an old torchrun along.
	own := []string{"--standalone", "--redirects", "--tee", "9:1"}
	if d := cmp.Diff(want.Launch, slices.DeleteFunc(got.Launch, func(a string) bool { return slices.Contains(own, a) })); d != "" {
		t.Errorf("launcher's arguments (-published +ours):\n%s", d)
	}
	if (got.Exit != 0) != (want.Exit != 0) {
		t.Errorf("exit status = %d, published %d", got.Exit, want.Exit)
	}
	compareFailures(t, got.Failure, want.Failure)
}

// compareFailures compares line by line, but for two: a script killed by signal
// n has exit code 128+n here and -n there, and our messages hold more of the
// traceback than theirs.
func compareFailures(t *testing.T, got, want string) {
	t.Helper()
	kind := func(text string) string { first, _, _ := strings.Cut(text, "\n"); return first }
	if kind(got) != kind(want) {
		t.Errorf("failure = %q, published %q", got, want)
	}
	_, command, _ := strings.Cut(want, "\nCommand ")
	command = strings.Replace(command, "{python} -- ", "{python} ", 1) // theirs guards against a script named -c; we refuse it
	if !strings.HasSuffix(got, command) {
		t.Errorf("failure = %q, want it to end with %q", got, command)
	}
	_, message, _ := strings.Cut(want, `ErrorMessage "`)
	message, _, _ = strings.Cut(message, `"`+"\nCommand")
	lines := strings.Split(message, "\n")
	if exception := strings.TrimSpace(lines[len(lines)-1]); !strings.Contains(got, exception) {
		t.Errorf("failure = %q, want it to hold %q", got, exception)
	}
}

var cpus = regexp.MustCompile(`"num_cpus":\d+,`)

// runOurs runs a job with our toolkit.
func runOurs(t *testing.T, file, python, tools string) result {
	t.Helper()
	base := jobFolder(t, file)
	c := toolkit.Trainer(runtimes.Runtime{Name: "pytorch", Kind: runtimes.Python, Python: python, Bin: filepath.Dir(python)}, tools, base)
	delete(c.Env, "PYTHONUNBUFFERED") // theirs is set by the image
	for name, value := range jobEnv(t, file) {
		c.Env[name] = value
	}
	c.Env["DUMP_PYTHON"] = python
	return run(t, base, python, c.Argv, c.Env)
}

// recordPublished runs all jobs with the published toolkits.
func recordPublished(t *testing.T, python string) {
	t.Helper()
	const ask = `import json, platform; from importlib.metadata import version as v
print(json.dumps({"python": platform.python_version(), "sagemaker-training": v("sagemaker-training"), "sagemaker-pytorch-training": v("sagemaker-pytorch-training")}))`
	out, err := exec.Command(python, "-c", ask).Output()
	if err != nil {
		t.Fatalf("versions of the published toolkits: %v", err)
	}
	r := record{Jobs: map[string]result{}}
	if err := json.Unmarshal(out, &r.Versions); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	write(t, filepath.Join(bin, "torchrun"), "#!/bin/sh\nexec \"$DUMP_PYTHON\" -m torch.distributed.run \"$@\"\n", 0o755)
	for _, file := range jobFiles(t) {
		base := jobFolder(t, file)
		env := jobEnv(t, file)
		env["SAGEMAKER_BASE_DIR"] = base
		env["SAGEMAKER_TRAINING_MODULE"] = "sagemaker_pytorch_container.training:main"
		env["SM_STUDIO_LOCAL_MODE"] = "true" // else it waits a quarter of an hour for names of hosts
		env["DUMP_PYTHON"] = python
		env["PATH"] = bin + ":" + filepath.Dir(python) + ":/usr/bin:/bin"
		got := run(t, base, python, []string{filepath.Join(filepath.Dir(python), "train")}, env)
		delete(got.Env, "SM_STUDIO_LOCAL_MODE")
		for name := range differences {
			if name != "SM_NUM_CPUS" {
				delete(got.Env, name)
			}
		}
		r.Jobs[strings.TrimSuffix(filepath.Base(file), ".txtar")] = got
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	write(t, recordFile, string(text)+"\n", 0o644)
}

// run runs a toolkit's command in a job's folder.
func run(t *testing.T, base, python string, argv []string, env map[string]string) result {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"HOME=" + base}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var r result
	dumped := filepath.Join(base, "model", "dump.json")
	if _, err := os.Stat(dumped); err != nil {
		t.Fatalf("the script did not run:\n%s", out)
	}
	text := readText(t, dumped)
	launch := readText(t, filepath.Join(base, "model", "launch.json"))
	abstract := strings.NewReplacer(base, "{base}", python+"3", "{python}", python, "{python}")
	if err := json.Unmarshal([]byte(abstract.Replace(text)), &r); err != nil {
		t.Fatal(err)
	}
	if launch != "" {
		if err := json.Unmarshal([]byte(abstract.Replace(launch)), &r.Launch); err != nil {
			t.Fatal(err)
		}
	}
	r.Exit = cmd.ProcessState.ExitCode()
	r.Failure = abstract.Replace(readText(t, filepath.Join(base, "output", "failure")))
	_, err = os.Stat(filepath.Join(base, "output", "success"))
	r.Success = err == nil
	return r
}

// jobFolder makes the folder of a job: its configuration, and its code where
// sagemaker_submit_directory says.
func jobFolder(t *testing.T, file string) string {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"input/config", "input/data", "model", "output"} {
		mkdir(t, filepath.Join(base, dir))
	}
	code := map[string]string{"dump.py": dump}
	submit := filepath.Join(base, "code") // where nothing is submitted
	for _, f := range parse(t, file).Files {
		text := strings.ReplaceAll(string(f.Data), "{base}", base)
		switch name, isCode := strings.CutPrefix(f.Name, "code/"); {
		case isCode:
			code[name] = text
		case f.Name == "hyperparameters.json" && strings.Contains(text, base+"/code.tar.gz"):
			submit = filepath.Join(base, "code.tar.gz")
		case f.Name == "hyperparameters.json" && strings.Contains(text, base+"/source"):
			submit = filepath.Join(base, "source")
		}
		if strings.HasSuffix(f.Name, ".json") {
			write(t, filepath.Join(base, "input/config", f.Name), text, 0o644)
		}
	}
	if strings.HasPrefix(filepath.Base(file), "torchrun") {
		code["torch/distributed/run.py"] = launcher
		code["torch/__init__.py"], code["torch/distributed/__init__.py"] = "", ""
	}
	if filepath.Ext(submit) == ".gz" {
		write(t, submit, archive(t, code), 0o644)
		return base
	}
	for name, text := range code {
		mkdir(t, filepath.Dir(filepath.Join(submit, name)))
		write(t, filepath.Join(submit, name), text, 0o644)
	}
	return base
}

func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for name, text := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func jobEnv(t *testing.T, file string) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, f := range parse(t, file).Files {
		if f.Name == "env" {
			for line := range strings.Lines(string(f.Data)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				env[name] = value
			}
		}
	}
	return env
}

func parse(t *testing.T, file string) *txtar.Archive {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func jobFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/jobs/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no jobs: %v", err)
	}
	return files
}

// interpreters are the Pythons of this machine that the tests run in.
func interpreters(t *testing.T) []string {
	t.Helper()
	all := findInterpreters()
	if len(all) == 0 {
		if os.Getenv("MUSHER_TEST_STRICT") != "" {
			t.Fatal("MUSHER_TEST_STRICT is set: no python3 in PATH or /usr/bin")
		}
		t.Skip("no python3 in PATH or /usr/bin")
	}
	return all
}

var findInterpreters = sync.OnceValue(func() (all []string) {
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		// A shim is asked for the interpreter that it stands for.
		out, err := exec.Command(name, "-c", "import sys; print(sys.executable)").Output()
		if path := strings.TrimSpace(string(out)); err == nil && !slices.Contains(all, path) {
			all = append(all, path)
		}
	}
	return all
})

func pythonVersion(t *testing.T, python string) string {
	t.Helper()
	out, err := exec.Command(python, "-c", "import platform; print(platform.python_version())").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func install(t *testing.T) string {
	t.Helper()
	tools, err := toolkit.Install(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readText gives a file's text, "" where there is none.
func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}
