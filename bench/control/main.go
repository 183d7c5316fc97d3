// Command control measures what a user waits for besides the work itself: the
// server's start, a training job's start, an endpoint's.
//
//	go run ./bench/control [-runs 9]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/musher/musher/bench/internal/rig"
	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
)

func main() {
	runs := flag.Int("runs", 9, "runs of each")
	flag.Parse()
	if err := run(context.Background(), *runs); err != nil {
		fmt.Fprintln(os.Stderr, "control:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runs int) error {
	dir, err := os.MkdirTemp("", "musher-control-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cache, err := rig.Cache()
	if err != nil {
		return err
	}
	photos, err := rig.Shared("dogs-mini")
	if err != nil {
		return err
	}
	binary, err := rig.Binary(dir)
	if err != nil {
		return err
	}
	fmt.Printf("Control plane, medians of %d runs (%s)\n\n", runs, rig.Machine())

	var starts []time.Duration
	var idle []float64
	for i := range runs {
		s, err := rig.Start(ctx, binary, filepath.Join(dir, fmt.Sprint("empty", i)), cache)
		if err != nil {
			return err
		}
		starts = append(starts, s.Started)
		mib, err := s.Memory()
		if err != nil {
			return err
		}
		idle = append(idle, mib)
		if err := s.Stop(); err != nil {
			return err
		}
	}
	fmt.Printf("server start → first answered call   %8.0f ms   (bar 300 ms)\n", ms(rig.Median(starts)))
	fmt.Printf("idle memory                          %8.0f MiB  (bar 80 MiB)\n", rig.Median(idle))

	s, err := rig.Start(ctx, binary, filepath.Join(dir, "data"), cache)
	if err != nil {
		return err
	}
	defer s.Stop() //nolint:errcheck // the figures are printed
	role, err := s.SetUp(ctx)
	if err != nil {
		return err
	}
	if err := s.Upload(ctx, photos, "photos/"); err != nil {
		return err
	}
	first, err := s.Train(ctx, rig.TrainingJob("first", role, "photos/", map[string]string{"epochs": "2"}))
	if err != nil {
		return err
	}
	if err := jobStarts(ctx, s, role, runs); err != nil {
		return err
	}
	return endpointStarts(ctx, s, role, first.ModelArtifacts.S3ModelArtifacts, runs)
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// jobStarts measures from the call to the first byte that the job's process
// writes.
func jobStarts(ctx context.Context, s *rig.Server, role string, runs int) error {
	var waits, whole []time.Duration
	for i := range runs {
		name := fmt.Sprint("job", i)
		done := make(chan error, 1)
		begin := time.Now()
		go func() {
			_, err := s.Train(ctx, rig.TrainingJob(name, role, "photos/", map[string]string{"epochs": "2"}))
			done <- err
		}()
		waits = append(waits, firstByte(filepath.Join(s.Data, "jobs", name, "log"), begin))
		if err := <-done; err != nil {
			return err
		}
		whole = append(whole, time.Since(begin))
	}
	fmt.Printf("CreateTrainingJob → user code runs   %8.0f ms   (bar 500 ms)\n", ms(rig.Median(waits)))
	fmt.Printf("CreateTrainingJob → Completed        %8.0f ms   (460 photos, features known, 2 epochs)\n", ms(rig.Median(whole)))
	return nil
}

func firstByte(log string, begin time.Time) time.Duration {
	for {
		if info, err := os.Stat(log); err == nil && info.Size() > 0 {
			return time.Since(begin)
		}
		time.Sleep(time.Millisecond)
	}
}

func endpointStarts(ctx context.Context, s *rig.Server, role, model string, runs int) error {
	if _, err := awsclient.Do[sagemaker.CreateModelOutput](ctx, s.Client, sagemaker.Model, "CreateModel", &sagemaker.CreateModelInput{
		ModelName: "m", ExecutionRoleArn: &role,
		PrimaryContainer: &sagemaker.ContainerDefinition{Image: rig.Ptr(runtimes.ImageClassification), ModelDataUrl: &model},
	}); err != nil {
		return err
	}
	if _, err := awsclient.Do[sagemaker.CreateEndpointConfigOutput](ctx, s.Client, sagemaker.Model, "CreateEndpointConfig", &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: "c", ProductionVariants: []*sagemaker.ProductionVariant{{
			VariantName: "AllTraffic", ModelName: rig.Ptr("m"), InstanceType: rig.Ptr("ml.m5.large"), InitialInstanceCount: rig.Ptr(int64(1)),
		}},
	}); err != nil {
		return err
	}
	var waits []time.Duration
	for i := range runs {
		wait, err := endpointStart(ctx, s, fmt.Sprint("e", i))
		if err != nil {
			return err
		}
		waits = append(waits, wait)
	}
	fmt.Printf("CreateEndpoint → InService           %8.0f ms   (bar 2000 ms; the first of them unpacked the model)\n", ms(rig.Median(waits)))
	return nil
}

func endpointStart(ctx context.Context, s *rig.Server, name string) (time.Duration, error) {
	begin := time.Now()
	if _, err := awsclient.Do[sagemaker.CreateEndpointOutput](ctx, s.Client, sagemaker.Model, "CreateEndpoint",
		&sagemaker.CreateEndpointInput{EndpointName: name, EndpointConfigName: "c"}); err != nil {
		return 0, err
	}
	for {
		d, err := awsclient.Do[sagemaker.DescribeEndpointOutput](ctx, s.Client, sagemaker.Model, "DescribeEndpoint", &sagemaker.DescribeEndpointInput{EndpointName: name})
		switch {
		case err != nil:
			return 0, err
		case d.EndpointStatus == "Failed":
			return 0, fmt.Errorf("endpoint %s: %s", name, sagemaker.Or(d.FailureReason, ""))
		case d.EndpointStatus == "InService":
			wait := time.Since(begin)
			_, err := awsclient.Do[sagemaker.DeleteEndpointOutput](ctx, s.Client, sagemaker.Model, "DeleteEndpoint", &sagemaker.DeleteEndpointInput{EndpointName: name})
			return wait, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
