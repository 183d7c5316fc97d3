// Command toolkit measures what it costs to run a training script through the
// toolkit: the same empty script by hand, through ours, and through the
// published sagemaker-training where an interpreter has it.
//
//	go run ./bench/toolkit [-runs 25] [-python /usr/bin/python3] [-published .cache/toolkits/bin/python]
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/musher/musher/bench/internal/rig"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/toolkit"
)

func main() {
	runs := flag.Int("runs", 25, "rounds")
	python := flag.String("python", "python3", "the runtime's interpreter")
	published := flag.String("published", ".cache/toolkits/bin/python", "an interpreter with the published toolkits; see internal/toolkit/published_test.go")
	flag.Parse()
	if err := run(*runs, *python, *published); err != nil {
		fmt.Fprintln(os.Stderr, "toolkit:", err)
		os.Exit(1)
	}
}

// way is a way to run the script, in a folder of its own.
type way struct {
	name string
	base string
	argv []string
	env  []string
	took []time.Duration
	cpu  []time.Duration // of all processes
}

func run(runs int, python, published string) error {
	dir, err := os.MkdirTemp("", "musher-toolkit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if python, err = interpreter(python); err != nil {
		return err
	}
	ways, err := waysToRun(dir, python, published)
	if err != nil {
		return err
	}
	for range runs { // in turns, so that a busy moment hits all of them
		for _, w := range ways {
			if err := w.run(); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	fmt.Printf("Start of a training script in %s, medians of %d rounds (%s)\n\n", python, runs, rig.Machine())
	byHand := rig.Median(ways[0].took)
	for _, w := range ways {
		took := rig.Median(w.took)
		fmt.Printf("%-40s %8.0f ms   %+8.0f ms   %8.0f ms of CPU\n", w.name, ms(took), ms(took-byHand), ms(rig.Median(w.cpu)))
	}
	return nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// interpreter is the program behind a name or a shim, absolute.
func interpreter(name string) (string, error) {
	out, err := exec.Command(name, "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(out)), err
}

func waysToRun(dir, python, published string) ([]*way, error) {
	script := filepath.Join(dir, "train.py")
	if err := os.WriteFile(script, nil, 0o644); err != nil {
		return nil, err
	}
	tools, err := toolkit.Install(dir)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, "ours")
	c := toolkit.Trainer(runtimes.Runtime{Name: "pytorch", Python: python, Bin: filepath.Dir(python)}, tools, base)
	ours := &way{name: "ours", base: base, argv: c.Argv}
	for name, value := range c.Env {
		ours.env = append(ours.env, name+"="+value)
	}
	ways := []*way{{name: "by hand", argv: []string{python, script}, env: ours.env}, ours}
	if published, err = filepath.Abs(published); err != nil {
		return nil, err
	}
	if _, err := os.Stat(published); err != nil {
		fmt.Printf("the published toolkits are not at %s, and not measured\n", published)
		return ways, nil
	}
	return append(ways, &way{
		name: "published, in its own interpreter", base: filepath.Join(dir, "published"), argv: []string{published, "-m", "sagemaker_training.cli.train"},
		env: []string{
			"PATH=" + filepath.Dir(published) + ":/usr/bin:/bin", "SAGEMAKER_BASE_DIR=" + filepath.Join(dir, "published"),
			"SAGEMAKER_TRAINING_MODULE=sagemaker_pytorch_container.training:main", "SM_STUDIO_LOCAL_MODE=true",
		},
	}), nil
}

// run makes the job's folder anew and measures one run.
func (w *way) run() error {
	if err := w.prepare(); err != nil {
		return err
	}
	cmd := exec.Command(w.argv[0], w.argv[1:]...)
	cmd.Env = w.env
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w:\n%s", err, out)
	}
	w.took = append(w.took, time.Since(begin))
	w.cpu = append(w.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	return nil
}

func (w *way) prepare() error {
	if w.base == "" {
		return nil
	}
	config := filepath.Join(w.base, "input", "config")
	if err := errors.Join(os.RemoveAll(w.base), os.MkdirAll(config, 0o755), os.MkdirAll(filepath.Join(w.base, "output"), 0o755)); err != nil {
		return err
	}
	archive := filepath.Join(w.base, "code.tar.gz")
	files := map[string]string{
		filepath.Join(config, "hyperparameters.json"): fmt.Sprintf(`{"batch_size": "\"64\"", "sagemaker_program": "\"train.py\"", "sagemaker_submit_directory": %q}`, archive),
		filepath.Join(config, "inputdataconfig.json"): `{}`,
		filepath.Join(config, "resourceconfig.json"):  `{"current_host": "algo-1", "hosts": ["algo-1"]}`,
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	code, err := emptyScript()
	if err != nil {
		return err
	}
	return os.WriteFile(archive, code, 0o644)
}

// emptyScript is a sourcedir.tar.gz that holds an empty train.py.
func emptyScript() ([]byte, error) {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	err := tw.WriteHeader(&tar.Header{Name: "train.py", Mode: 0o644})
	err = errors.Join(err, tw.Close(), zw.Close())
	return buf.Bytes(), err
}
