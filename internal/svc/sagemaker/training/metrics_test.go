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
	defs, err := definitions([]*sagemaker.MetricDefinition{{Name: "Test Loss", Regex: `Testing Loss: ([0-9\.]+)`}}, true)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "log")
	r := readerOf(defs, path)
	if fresh, err := r.read(time.Now(), false); len(fresh) > 0 || err != nil {
		t.Fatalf("a log that is not there yet: %v, %v", fresh, err)
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
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(step.text); err != nil {
			t.Fatal(err)
		}
		f.Close()
		fresh, err := r.read(time.Now(), step.final)
		changed := len(fresh) > 0
		if err != nil || changed != step.changed || r.last[step.metric].Value != step.want {
			t.Errorf("after %q: %s is %v, changed %v, %v; want %v, %v", step.text, step.metric, r.last[step.metric].Value, changed, err, step.want, step.changed)
		}
	}
}

func TestDefinitionsAreRefused(t *testing.T) {
	for _, regex := range []string{"loss=(", "loss=[0-9]+"} {
		if _, err := definitions([]*sagemaker.MetricDefinition{{Name: "m", Regex: regex}}, false); err == nil {
			t.Errorf("%q was taken", regex)
		}
	}
}

// A server that takes over tells of no value a second time, and yet has the
// whole series.
func TestReaderGoesOn(t *testing.T) {
	defs, err := definitions([]*sagemaker.MetricDefinition{{Name: "loss", Regex: `loss=(\S+)`}}, false)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("loss=9\nloss=3\nloss=2\nlos"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := readerOf(defs, path)
	first.logs[0].offset = int64(len("loss=9\n")) // of an earlier attempt
	if fresh, err := first.read(time.Now(), false); err != nil || len(fresh) != 2 {
		t.Fatalf("the first server found %v, %v", fresh, err)
	}
	second := readerOf(defs, path)
	second.logs[0].offset, second.logs[0].told = int64(len("loss=9\n")), first.ends()[""]
	if err := os.WriteFile(path, []byte("loss=9\nloss=3\nloss=2\nloss=1"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh, err := second.read(time.Now(), true)
	if err != nil || len(fresh) != 1 || fresh[0].Value != 1 {
		t.Errorf("the second server found %v, %v", fresh, err)
	}
	if r, _ := second.series.of("loss"); len(r.values) != 3 {
		t.Errorf("the series is %v", r.values)
	}
}

func readerOf(defs []definition, path string) *reader {
	return &reader{defs: defs, logs: []*tail{{path: path}}, last: map[string]Metric{}}
}
