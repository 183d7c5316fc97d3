package demo

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/progress"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// A job's log, as it grows, is shown as two steps.
func TestWatchJob(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	var out bytes.Buffer
	r := &run{result: &Result{}, Config: Config{
		Epochs: 2, Progress: progress.New(&out, progress.Options{JSON: true}), JobLog: func(string) string { return log },
	}}
	w := r.watchJob("job")
	job := &sagemaker.DescribeTrainingJobOutput{SecondaryStatus: "Starting"}
	w.look(job) // there is no log yet
	job.SecondaryStatus = "Training"
	for _, text := range []string{
		"data: 10 classes; 300 training photos\nprogress features 0/46", "0\nprogress features 230/460\n",
		"features: 460 of 460 photos computed in 9.1 s (51 photos/s)\n",
		"epoch=1 train:loss=0.5 validation:loss=0.4 validation:accuracy=0.912500\n",
		"epoch=2 train:loss=0.4 validation:loss=0.3 validation:accuracy=0.950000\ntest:loss=0.3 test:accuracy=0.9\n",
	} {
		appendTo(t, log, text)
		w.look(job)
	}
	job.FinalMetricDataList = []*sagemaker.MetricData{{MetricName: new("validation:accuracy"), Value: new(0.95)}}
	w.done(job)
	for _, part := range []string{
		`"step":"features","phase":"done","done":230,"total":460,"unit":"photos","detail":"460 of 460 photos computed in 9.1 s (51 photos/s)"`,
		`"step":"training","phase":"done","done":2,"total":2,"unit":"epochs","detail":"2 epochs, validation:accuracy 0.9500"`,
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %s in\n%s", part, out.String())
		}
	}
	if len(r.result.Steps) != 2 {
		t.Errorf("steps %v", r.result.Steps)
	}
}

// A job that fails before its features ends the step that is open.
func TestWatchJobFails(t *testing.T) {
	var out bytes.Buffer
	r := &run{result: &Result{}, Config: Config{
		Progress: progress.New(&out, progress.Options{}), JobLog: func(string) string { return "nowhere" },
	}}
	r.watchJob("job").fail(errors.New("no such bucket"))
	if d := cmp.Diff("features: failed after 0.0 s: no such bucket\n", out.String()); d != "" {
		t.Error(d)
	}
}

// Without a log there is one step, with the job's status.
func TestWatchJobFromAfar(t *testing.T) {
	var out bytes.Buffer
	r := &run{result: &Result{}, Config: Config{Epochs: 2, Progress: progress.New(&out, progress.Options{})}}
	w := r.watchJob("job")
	w.look(&sagemaker.DescribeTrainingJobOutput{SecondaryStatus: "Training"})
	w.done(&sagemaker.DescribeTrainingJobOutput{})
	if d := cmp.Diff("training: 2 epochs, validation:accuracy 0.0000 (0.0 s)\n", out.String()); d != "" {
		t.Error(d)
	}
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	tail := &tail{path: path}
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil}, {"a\nb", []string{"a"}}, {"", nil}, {"c\n\nd\n", []string{"bc", "", "d"}},
	} {
		if c.text != "" {
			appendTo(t, path, c.text)
		}
		if got := tail.read(); strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("after %q: %q, want %q", c.text, got, c.want)
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
