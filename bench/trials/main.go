// Command trials measures what the frozen backbone run once is worth: twelve
// trials of ten epochs through the APIs, against the usual way, in which every
// epoch of every trial runs the backbone over every photo.
//
//	go run ./bench/trials [-data DIR] [-runs 3] [-python python3]
//
// Both sides use the same backbone in the same ONNX Runtime, over the same
// photos, with all cores and with decoding overlapped. A usual epoch is measured,
// not a usual tuning job: the time of a job of one epoch that has to compute all
// features, less the time of the same job when they are known.
//
// With -python, an interpreter that has what torch_epoch.py needs, the usual
// epoch is measured in PyTorch too.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/musher/musher/bench/internal/rig"
	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
)

const (
	trials   = 12
	parallel = 3
	epochs   = 10
)

func main() {
	data := flag.String("data", "", "data set with train/ valid/ test/; default: dogs-full of MUSHER_SHARED")
	runs := flag.Int("runs", 3, "runs of each side, interleaved")
	python := flag.String("python", "", "interpreter with PyTorch, to compare with as well")
	flag.Parse()
	if err := run(context.Background(), *data, *runs, *python); err != nil {
		fmt.Fprintln(os.Stderr, "trials:", err)
		os.Exit(1)
	}
}

type bench struct {
	dir, binary, cache, data, library string
}

func run(ctx context.Context, data string, runs int, python string) (err error) {
	b := &bench{data: data}
	if b.data == "" {
		if b.data, err = rig.Shared("dogs-full"); err != nil {
			return err
		}
	}
	if b.dir, err = os.MkdirTemp("", "musher-trials-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.cache, err = rig.Cache(); err != nil {
		return err
	}
	if b.binary, err = rig.Binary(b.dir); err != nil {
		return err
	}
	if b.library, err = rig.Library(b.binary, b.cache); err != nil {
		return err
	}
	fmt.Printf("%d trials × %d epochs, %d in parallel, on %s (%s)\n\n", trials, epochs, parallel, filepath.Base(b.data), rig.Machine())
	var usual, ours []time.Duration
	for i := range runs {
		u, err := b.usualEpoch(i)
		if err != nil {
			return err
		}
		o, best, err := b.tune(ctx, i)
		if err != nil {
			return err
		}
		usual, ours = append(usual, u), append(ours, o)
		fmt.Printf("run %d: usual epoch %.1f s; whole tuning job %.1f s; best %s, test accuracy %s\n", i+1, u.Seconds(), o.Seconds(), best.params, best.test)
	}
	u, o := rig.Median(usual).Seconds(), rig.Median(ours).Seconds()
	fmt.Printf("\nusual way   %8.0f s   (%d epochs of %.1f s)\nMusher      %8.1f s   (backbone once, features computed in it)\nratio       %8.0f     (bar 40)\n",
		u*trials*epochs, trials*epochs, u, o, u*trials*epochs/o)
	if python == "" {
		fmt.Println("PyTorch         not measured (-python names an interpreter that has it)")
		return nil
	}
	return b.torch(python, o)
}

// torch measures the usual epoch in PyTorch.
func (b *bench) torch(python string, ours float64) error {
	out, err := exec.Command(python, "bench/trials/torch_epoch.py", b.data).Output()
	if err != nil {
		return fmt.Errorf("torch_epoch.py: %w", err)
	}
	var r struct {
		Torch        string  `json:"torch"`
		Photos       int     `json:"photos"`
		EpochSeconds float64 `json:"epoch_seconds"`
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		return fmt.Errorf("torch_epoch.py: %w: %s", err, out)
	}
	fmt.Printf("PyTorch %s %.0f s   (%d epochs of %.1f s, from %d photos); ratio %.0f\n",
		r.Torch, r.EpochSeconds*trials*epochs, trials*epochs, r.EpochSeconds, r.Photos, r.EpochSeconds*trials*epochs/ours)
	return nil
}

// usualEpoch runs the algorithm twice on a fresh cache: with the features to
// compute, and with the features known.
func (b *bench) usualEpoch(i int) (time.Duration, error) {
	cache := filepath.Join(b.dir, fmt.Sprint("usual-cache", i))
	if err := rig.SharedCache(cache, b.cache); err != nil {
		return 0, err
	}
	var took [2]time.Duration
	for n := range took {
		job := filepath.Join(b.dir, fmt.Sprintf("usual%d-%d", i, n))
		if err := b.layOut(job); err != nil {
			return 0, err
		}
		cmd := exec.Command(b.binary, "--cache", cache, "train", "--dir", job)
		cmd.Env = append(os.Environ(), assets.ONNXRuntimeEnv+"="+b.library)
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%w: %s", err, out)
		}
		took[n] = time.Since(begin)
	}
	return took[0] - took[1], nil
}

func (b *bench) layOut(job string) error {
	for _, d := range []string{"input/config", "input/data/training", "model", "output"} {
		if err := os.MkdirAll(filepath.Join(job, d), 0o755); err != nil {
			return err
		}
	}
	// An epoch runs over training and validation photos, not over the test's.
	for _, part := range []string{"train", "valid"} {
		if err := os.Symlink(filepath.Join(b.data, part), filepath.Join(job, "input/data/training", part)); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(map[string]string{"epochs": "1"})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(job, "input/config/hyperparameters.json"), raw, 0o644)
}

type best struct{ params, test string }

// tune runs the tuning job on a new server whose cache has no features.
func (b *bench) tune(ctx context.Context, i int) (took time.Duration, won best, err error) {
	cache := filepath.Join(b.dir, fmt.Sprint("cache", i))
	if err := rig.SharedCache(cache, b.cache); err != nil {
		return 0, won, err
	}
	s, err := rig.Start(ctx, b.binary, filepath.Join(b.dir, fmt.Sprint("data", i)), cache)
	if err != nil {
		return 0, won, err
	}
	defer s.Stop() //nolint:errcheck // the figures are taken
	role, err := s.SetUp(ctx)
	if err != nil {
		return 0, won, err
	}
	if err := s.Upload(ctx, b.data, "photos/"); err != nil {
		return 0, won, err
	}
	begin := time.Now()
	if _, err := awsclient.Do[sagemaker.CreateHyperParameterTuningJobOutput](ctx, s.Client, sagemaker.Model, "CreateHyperParameterTuningJob", tuningJob(role)); err != nil {
		return 0, won, err
	}
	for {
		d, err := awsclient.Do[sagemaker.DescribeHyperParameterTuningJobOutput](ctx, s.Client, sagemaker.Model, "DescribeHyperParameterTuningJob",
			&sagemaker.DescribeHyperParameterTuningJobInput{HyperParameterTuningJobName: "bench"})
		if err != nil {
			return 0, won, err
		}
		if d.HyperParameterTuningJobStatus == "InProgress" {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		took = time.Since(begin)
		if n := *d.TrainingJobStatusCounters.Completed; n != trials {
			return 0, won, fmt.Errorf("%d of %d trials completed: %s", n, trials, sagemaker.Or(d.FailureReason, ""))
		}
		won, err = describe(ctx, s, d.BestTrainingJob)
		return took, won, err
	}
}

func describe(ctx context.Context, s *rig.Server, t *sagemaker.HyperParameterTrainingJobSummary) (best, error) {
	job, err := awsclient.Do[sagemaker.DescribeTrainingJobOutput](ctx, s.Client, sagemaker.Model, "DescribeTrainingJob",
		&sagemaker.DescribeTrainingJobInput{TrainingJobName: t.TrainingJobName})
	if err != nil {
		return best{}, err
	}
	won := best{params: fmt.Sprint(t.TunedHyperParameters), test: "unknown"}
	for _, m := range job.FinalMetricDataList {
		if *m.MetricName == "test:accuracy" {
			won.test = fmt.Sprintf("%.3f", *m.Value)
		}
	}
	return won, nil
}

func tuningJob(role string) *sagemaker.CreateHyperParameterTuningJobInput {
	logarithmic := rig.Ptr("Logarithmic")
	return &sagemaker.CreateHyperParameterTuningJobInput{
		HyperParameterTuningJobName: "bench",
		HyperParameterTuningJobConfig: &sagemaker.HyperParameterTuningJobConfig{
			Strategy: "Bayesian", RandomSeed: rig.Ptr(int64(1)),
			HyperParameterTuningJobObjective: &sagemaker.HyperParameterTuningJobObjective{Type: "Maximize", MetricName: "validation:accuracy"},
			ResourceLimits:                   &sagemaker.ResourceLimits{MaxNumberOfTrainingJobs: rig.Ptr(int64(trials)), MaxParallelTrainingJobs: parallel},
			ParameterRanges: &sagemaker.ParameterRanges{
				ContinuousParameterRanges: []*sagemaker.ContinuousParameterRange{
					{Name: "learning_rate", MinValue: "0.0001", MaxValue: "0.1", ScalingType: logarithmic},
					{Name: "weight_decay", MinValue: "0.00001", MaxValue: "0.1", ScalingType: logarithmic},
				},
				CategoricalParameterRanges: []*sagemaker.CategoricalParameterRange{{Name: "mini_batch_size", Values: []string{"32", "64", "128"}}},
			},
		},
		TrainingJobDefinition: &sagemaker.HyperParameterTrainingJobDefinition{
			StaticHyperParameters:  map[string]string{"epochs": fmt.Sprint(epochs)},
			AlgorithmSpecification: &sagemaker.HyperParameterAlgorithmSpecification{TrainingImage: rig.Ptr(runtimes.ImageClassification), TrainingInputMode: "File"},
			RoleArn:                role, InputDataConfig: rig.Channels("photos/"),
			OutputDataConfig:  &sagemaker.OutputDataConfig{S3OutputPath: "s3://" + rig.Bucket + "/out"},
			ResourceConfig:    rig.Resources(),
			StoppingCondition: &sagemaker.StoppingCondition{MaxRuntimeInSeconds: rig.Ptr(int64(3600))},
		},
	}
}
