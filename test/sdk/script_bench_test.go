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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/test/musher"
)

// BenchmarkScriptJob measures what a training job adds to its script: from the
// call of CreateTrainingJob to the end that DescribeTrainingJob tells, less the
// time that the same script takes by hand right before, in pairs.
func BenchmarkScriptJob(b *testing.B) {
	srv := musher.New(b, musher.WithoutAssets())
	lab := srv.Lab(b)
	byHand := newByHand(b)
	var added, hand []float64
	phases := map[string][]float64{}
	for n := range b.N + 1 {
		alone := byHand.run(b)
		name := fmt.Sprintf("job-%d", n)
		must(lab.SageMaker().CreateTrainingJob(b.Context(), scriptJob(b, lab, name, benchScript, nil)))(b)
		job := lab.AwaitTraining(b, name)
		wantCompleted(b, job)
		if n == 0 {
			continue // the first job looks for interpreters
		}
		hand = append(hand, alone)
		for _, t := range job.SecondaryStatusTransitions {
			phases[string(t.Status)] = append(phases[string(t.Status)], t.EndTime.Sub(*t.StartTime).Seconds())
		}
		added = append(added, job.TrainingEndTime.Sub(*job.CreationTime).Seconds()-alone)
	}
	for _, phase := range []string{"Starting", "Downloading", "Training", "Uploading"} {
		b.ReportMetric(median(phases[phase]), "ms-"+phase)
	}
	b.ReportMetric(median(hand), "ms-by-hand-median")
	b.ReportMetric(median(added), "ms-added-median")
	b.ReportMetric(added[len(added)*9/10]*1000, "ms-added-p90")
}

// BenchmarkScriptTrial measures what a trial adds to its script: the time of a
// whole tuning job whose trials run one after the other, by their number, less
// the median time of the script by hand, half of it before and half after.
func BenchmarkScriptTrial(b *testing.B) {
	srv := musher.New(b, musher.WithoutAssets())
	lab := srv.Lab(b)
	byHand := newByHand(b)
	warm := "warm"
	must(lab.SageMaker().CreateTrainingJob(b.Context(), scriptJob(b, lab, warm, benchScript, nil)))(b)
	wantCompleted(b, lab.AwaitTraining(b, warm)) // the first job looks for interpreters
	var hand []float64
	for range 10 {
		hand = append(hand, byHand.run(b))
	}
	name := "trials"
	must(lab.SageMaker().CreateHyperParameterTuningJob(b.Context(), trialsOf(scriptJob(b, lab, name, benchScript, nil), int32(b.N))))(b)
	job := lab.AwaitTuning(b, name)
	if done := *job.TrainingJobStatusCounters.Completed; int(done) != b.N {
		b.Fatalf("%d of %d trials are completed", done, b.N)
	}
	for range 10 {
		hand = append(hand, byHand.run(b))
	}
	each := job.HyperParameterTuningEndTime.Sub(*job.CreationTime).Seconds() / float64(b.N)
	b.ReportMetric(median(hand), "ms-by-hand-median")
	b.ReportMetric(each*1000, "ms-a-trial")
	b.ReportMetric(each*1000-median(hand), "ms-added")
}

// trialsOf tunes the job's script, one trial at a time.
func trialsOf(in *sagemaker.CreateTrainingJobInput, n int32) *sagemaker.CreateHyperParameterTuningJobInput {
	one := int32(1)
	return &sagemaker.CreateHyperParameterTuningJobInput{
		HyperParameterTuningJobName: in.TrainingJobName,
		HyperParameterTuningJobConfig: &types.HyperParameterTuningJobConfig{
			Strategy:                         types.HyperParameterTuningJobStrategyTypeRandom,
			HyperParameterTuningJobObjective: &types.HyperParameterTuningJobObjective{Type: types.HyperParameterTuningJobObjectiveTypeMinimize, MetricName: aws.String("loss")},
			ResourceLimits:                   &types.ResourceLimits{MaxNumberOfTrainingJobs: &n, MaxParallelTrainingJobs: &one},
			ParameterRanges: &types.ParameterRanges{ContinuousParameterRanges: []types.ContinuousParameterRange{
				{Name: aws.String("x"), MinValue: aws.String("0"), MaxValue: aws.String("1")},
			}},
		},
		TrainingJobDefinition: &types.HyperParameterTrainingJobDefinition{
			AlgorithmSpecification: &types.HyperParameterAlgorithmSpecification{
				TrainingImage: in.AlgorithmSpecification.TrainingImage, TrainingInputMode: in.AlgorithmSpecification.TrainingInputMode,
				MetricDefinitions: []types.MetricDefinition{{Name: aws.String("loss"), Regex: aws.String(`loss=(\S+)`)}},
			},
			StaticHyperParameters: in.HyperParameters, RoleArn: in.RoleArn, InputDataConfig: in.InputDataConfig,
			OutputDataConfig: in.OutputDataConfig, ResourceConfig: in.ResourceConfig, StoppingCondition: in.StoppingCondition,
		},
	}
}

const benchScript = "import argparse, json\nprint('loss=0.5')\nopen('model', 'w').write('m')\n"

// byHand runs the script of the benchmarks as a person would.
type byHand struct{ python, script string }

func newByHand(b *testing.B) byHand {
	path := filepath.Join(b.TempDir(), "train.py")
	if err := os.WriteFile(path, []byte(benchScript), 0o600); err != nil {
		b.Fatal(err)
	}
	found, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output() // what wrappers in PATH cost is not the script's
	if err != nil {
		b.Fatal(err)
	}
	return byHand{strings.TrimSpace(string(found)), path}
}

// run gives the seconds that it took.
func (h byHand) run(b *testing.B) float64 {
	begin := time.Now()
	cmd := exec.Command(h.python, h.script)
	cmd.Dir = filepath.Dir(h.script)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return time.Since(begin).Seconds()
}

// median gives the middle of seconds in milliseconds.
func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2] * 1000
}
