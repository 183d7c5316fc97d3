package sdk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/musher/musher/test/musher"
)

// BenchmarkScriptJob measures what a training job adds to its script: from the
// call of CreateTrainingJob to the end that DescribeTrainingJob tells, less the
// time that the same script takes by hand right before, in pairs.
func BenchmarkScriptJob(b *testing.B) {
	srv := musher.New(b, musher.WithoutAssets())
	lab := srv.Lab(b)
	const script = "import argparse, json\nprint('loss=0.5')\nopen('model', 'w').write('m')\n"
	path := filepath.Join(b.TempDir(), "train.py")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		b.Fatal(err)
	}
	found, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output() // what wrappers in PATH cost is not the script's
	if err != nil {
		b.Fatal(err)
	}
	python := strings.TrimSpace(string(found))
	var added, hand []float64
	phases := map[string][]float64{}
	for n := range b.N + 1 {
		begin := time.Now()
		cmd := exec.Command(python, path)
		cmd.Dir = filepath.Dir(path)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		alone := time.Since(begin)
		name := fmt.Sprintf("job-%d", n)
		in := scriptJob(b, lab, name, script, nil)
		must(lab.SageMaker().CreateTrainingJob(b.Context(), in))(b)
		job := lab.AwaitTraining(b, name)
		wantCompleted(b, job)
		if n == 0 {
			continue // the first job looks for interpreters
		}
		hand = append(hand, alone.Seconds())
		for _, t := range job.SecondaryStatusTransitions {
			phases[string(t.Status)] = append(phases[string(t.Status)], t.EndTime.Sub(*t.StartTime).Seconds())
		}
		added = append(added, job.TrainingEndTime.Sub(*job.CreationTime).Seconds()-alone.Seconds())
	}
	median := func(all []float64) float64 {
		slices.Sort(all)
		return all[len(all)/2] * 1000
	}
	for _, phase := range []string{"Starting", "Downloading", "Training", "Uploading"} {
		b.ReportMetric(median(phases[phase]), "ms-"+phase)
	}
	b.ReportMetric(median(hand), "ms-by-hand-median")
	b.ReportMetric(median(added), "ms-added-median")
	b.ReportMetric(added[len(added)*9/10]*1000, "ms-added-p90")
}
