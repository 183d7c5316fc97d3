package training

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// A log is read as it grows: in pieces that end anywhere, with lines that are
// redrawn by carriage returns, and with numbers that are none.
func TestTail(t *testing.T) {
	defs, err := definitions([]*sagemaker.MetricDefinition{{Name: "Test Loss", Regex: `Testing Loss: ([0-9\.]+)`}})
	if err != nil {
		t.Fatal(err)
	}
	tl := &tail{path: filepath.Join(t.TempDir(), "log"), defs: defs, last: map[string]Metric{}}
	if changed, err := tl.read(time.Now(), false); changed || err != nil {
		t.Fatalf("a log that is not there yet: %v, %v", changed, err)
	}
	for _, step := range []struct {
		text    string
		final   bool
		metric  string
		want    float64
		changed bool
	}{
		{"epoch=1 train:loss=0.5 valida", false, "train:loss", 0, false}, // the line may go on
		{"tion:loss=0.25\n", false, "validation:loss", 0.25, true},
		{"", false, "train:loss", 0.5, false},
		{"10 %\r20 % Testing Loss: 0.125\r", false, "Test Loss", 0.125, true},
		{"train:loss=nan\nvalidation:loss=Inf\ntrain:loss=many\n", false, "train:loss", 0.5, false},
		{"train:loss=1e-3", true, "train:loss", 0.001, true},
	} {
		f, err := os.OpenFile(tl.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(step.text); err != nil {
			t.Fatal(err)
		}
		f.Close()
		changed, err := tl.read(time.Now(), step.final)
		if err != nil || changed != step.changed || tl.last[step.metric].Value != step.want {
			t.Errorf("after %q: %s is %v, changed %v, %v; want %v, %v", step.text, step.metric, tl.last[step.metric].Value, changed, err, step.want, step.changed)
		}
	}
}

func TestDefinitionsAreRefused(t *testing.T) {
	for _, regex := range []string{"loss=(", "loss=[0-9]+"} {
		if _, err := definitions([]*sagemaker.MetricDefinition{{Name: "m", Regex: regex}}); err == nil {
			t.Errorf("%q was taken", regex)
		}
	}
}
