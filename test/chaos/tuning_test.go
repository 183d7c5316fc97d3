package chaos

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/test/musher"
)

// bowl is a training script: it says that it began, and how good its learning
// rate is, which no two trials share.
const bowl = `
import sys, time
rate = float(sys.argv[sys.argv.index("--learning_rate") + 1])
print("a trial began", flush=True)
time.sleep(0.2)
print("Testing Loss: %.17g" % (rate - 0.01) ** 2)
`

// tuneScript is a request for forty trials of a script, four at a time.
func tuneScript(t *testing.T, lab *musher.Lab, name string) *sagemaker.CreateHyperParameterTuningJobInput {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	err := archive.WriteHeader(&tar.Header{Name: "train.py", Size: int64(len(bowl)), Mode: 0o644})
	if err == nil {
		_, err = archive.Write([]byte(bowl))
	}
	if err := errors.Join(err, archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	lab.Upload(t, "", map[string][]byte{"sourcedir.tar.gz": packed.Bytes()})
	in := lab.Tuning(name, trials, 4, map[string]string{
		"sagemaker_program": `"train.py"`, "sagemaker_submit_directory": fmt.Sprintf("%q", lab.URI("sourcedir.tar.gz")),
	})
	in.HyperParameterTuningJobConfig.HyperParameterTuningJobObjective = &types.HyperParameterTuningJobObjective{
		Type: types.HyperParameterTuningJobObjectiveTypeMinimize, MetricName: aws.String("Test Loss"),
	}
	in.TrainingJobDefinition.InputDataConfig = nil
	in.TrainingJobDefinition.AlgorithmSpecification.TrainingImage = aws.String("python:3.11")
	in.TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("Test Loss"), Regex: aws.String("Testing Loss: (.+)")}}
	return in
}

const trials = 40

// TestFortyTrials: a server that is killed in the middle of forty trials of a
// script, four at a time, leaves forty records, no trial that ran twice, and the
// same best as one that was left alone.
func TestFortyTrials(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		musher.Skip(t, "no python3: %v", err)
	}
	srv := musher.New(t, musher.WithoutAssets())
	at := newMoments(t)
	lab := srv.Lab(t)
	done := func(name string) int32 { return *lab.TuningJob(t, name).TrainingJobStatusCounters.Completed }

	lab.Tune(t, tuneScript(t, lab, "killed"))
	for i := range rounds(3) {
		musher.Eventually(t, "some more trials have ended", func() bool { return done("killed") >= int32(8*(i+1)) })
		at.wait(500 * time.Millisecond)
		srv.Kill()
		at.wait(500 * time.Millisecond)
		srv.Restart()
	}
	killed := lab.AwaitTuning(t, "killed")
	lab.Tune(t, tuneScript(t, lab, "calm"))
	calm := lab.AwaitTuning(t, "calm")

	values := map[string]map[int]string{}
	for _, job := range []*sagemaker.DescribeHyperParameterTuningJobOutput{killed, calm} {
		name := *job.HyperParameterTuningJobName
		if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted || *job.TrainingJobStatusCounters.Completed != trials {
			t.Fatalf("%s is %s after %d trials: %s", name, job.HyperParameterTuningJobStatus, *job.TrainingJobStatusCounters.Completed, aws.ToString(job.FailureReason))
		}
		values[name] = ranOnce(t, srv, lab, name)
	}
	if !maps.Equal(values["killed"], values["calm"]) {
		t.Errorf("the trials differ:\n%v\n%v", values["killed"], values["calm"])
	}
	a, b := killed.BestTrainingJob, calm.BestTrainingJob
	if a.TunedHyperParameters["learning_rate"] != b.TunedHyperParameters["learning_rate"] ||
		*a.FinalHyperParameterTuningJobObjectiveMetric.Value != *b.FinalHyperParameterTuningJobObjectiveMetric.Value {
		t.Errorf("the best trial is %v with %v; without the kills it is %v with %v",
			a.TunedHyperParameters, *a.FinalHyperParameterTuningJobObjectiveMetric.Value, b.TunedHyperParameters, *b.FinalHyperParameterTuningJobObjectiveMetric.Value)
	}
}

// ranOnce checks that a tuning job has its trials, and that each trial's process
// wrote its line once. It returns their values by number.
func ranOnce(t *testing.T, srv *musher.Server, lab *musher.Lab, tuning string) map[int]string {
	t.Helper()
	values := map[int]string{}
	for _, s := range lab.Trials(t, &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: &tuning, MaxResults: aws.Int32(100)}) {
		name := *s.TrainingJobName
		var number int
		if _, err := fmt.Sscanf(strings.TrimPrefix(name, tuning), "-%d-", &number); err != nil {
			t.Fatalf("trial %s: %v", name, err)
		}
		values[number] = fmt.Sprint(s.TunedHyperParameters)
		logs, err := filepath.Glob(filepath.Join(srv.Data, "jobs", name, "log*"))
		if err != nil {
			t.Fatal(err)
		}
		began := 0
		for _, path := range logs {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			began += strings.Count(string(text), "a trial began")
		}
		if began != 1 {
			t.Errorf("trial %s has run %d times, it has the logs %v", name, began, logs)
		}
	}
	if len(values) != trials {
		t.Errorf("%s has %d trials, want %d", tuning, len(values), trials)
	}
	return values
}
