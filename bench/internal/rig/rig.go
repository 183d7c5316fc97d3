// Package rig is what the benchmarks share: a server of their own, the calls
// of the main job, and how figures are printed.
package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/iam"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Bucket is the one that the benchmarks use.
const Bucket = "bench"

// Library is where ONNX Runtime lies, fetched if need be.
func Library(binary, cache string) (string, error) {
	out, err := exec.Command(binary, "fetch", "--cache", cache, "onnxruntime").Output()
	return strings.TrimSpace(string(out)), err
}

// Server is a `musher up` in a folder of its own.
type Server struct {
	*awsclient.Client
	Data    string
	Started time.Duration // from the start of the process to its first answer
	cmd     *exec.Cmd
}

// Binary builds musher and returns its path.
func Binary(dir string) (string, error) {
	path := filepath.Join(dir, "musher")
	build := exec.Command("go", "build", "-o", path, "./cmd/musher")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	return path, build.Run()
}

// Start runs a server on a free port.
func Start(ctx context.Context, binary, data, cache string) (*Server, error) {
	s := &Server{Data: data}
	s.cmd = exec.Command(binary, "--cache", cache, "--json", "up", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "error")
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	var hello struct {
		Endpoint string `json:"endpoint"`
		Key      string `json:"access_key_id"`
		Secret   string `json:"secret_access_key"`
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &hello)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server did not start: %w", err), s.Stop())
	}
	s.Client = awsclient.New(hello.Endpoint, awsapi.Credentials{AccessKeyID: hello.Key, SecretAccessKey: hello.Secret}, "us-east-1", nil)
	_, err = awsclient.Do[s3.ListBucketsOutput](ctx, s.Client, s3.Model, "ListBuckets", &s3.ListBucketsInput{})
	s.Started = time.Since(begin)
	return s, err
}

// Memory is the resident memory of the server, in MiB.
func (s *Server) Memory() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var kib float64
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscanf(rest, "%f", &kib)
	return kib / 1024, err
}

// Stop ends the server and its work.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// SetUp makes the bucket and a role that may use it.
func (s *Server) SetUp(ctx context.Context) (roleARN string, err error) {
	if _, err := awsclient.Do[s3.CreateBucketOutput](ctx, s.Client, s3.Model, "CreateBucket", &s3.CreateBucketInput{Bucket: Bucket}); err != nil {
		return "", err
	}
	role, err := awsclient.Do[iam.CreateRoleOutput](ctx, s.Client, iam.Model, "CreateRole", &iam.CreateRoleInput{
		RoleName:                 "bench",
		AssumeRolePolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
	})
	if err != nil {
		return "", err
	}
	_, err = awsclient.Do[iam.PutRolePolicyOutput](ctx, s.Client, iam.Model, "PutRolePolicy", &iam.PutRolePolicyInput{
		RoleName: "bench", PolicyName: "bucket",
		PolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::bench","arn:aws:s3:::bench/*"]}]}`,
	})
	return role.Role.Arn, err
}

// Upload puts a folder's files under a prefix, eight at a time.
func (s *Server) Upload(ctx context.Context, dir, prefix string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		group.Go(func() error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = awsclient.Do[s3.PutObjectOutput](ctx, s.Client, s3.Model, "PutObject",
				&s3.PutObjectInput{Bucket: Bucket, Key: prefix + filepath.ToSlash(rel), Body: f})
			return err
		})
		return nil
	})
	return errors.Join(err, group.Wait())
}

// Channels is the input of a job: one channel called training.
func Channels(prefix string) []*sagemaker.Channel {
	return []*sagemaker.Channel{{ChannelName: "training", DataSource: &sagemaker.DataSource{
		S3DataSource: &sagemaker.S3DataSource{S3DataType: "S3Prefix", S3Uri: "s3://" + Bucket + "/" + prefix},
	}}}
}

// Ptr points to a value.
func Ptr[T any](v T) *T { return &v }

// Resources is what every job here asks for.
func Resources() *sagemaker.ResourceConfig {
	return &sagemaker.ResourceConfig{InstanceType: Ptr("ml.m5.large"), InstanceCount: Ptr(int64(1)), VolumeSizeInGB: Ptr(int64(10))}
}

// TrainingJob is the request for a job of the built-in algorithm.
func TrainingJob(name, role, prefix string, hyperparameters map[string]string) *sagemaker.CreateTrainingJobInput {
	return &sagemaker.CreateTrainingJobInput{
		TrainingJobName: name, RoleArn: role, HyperParameters: hyperparameters,
		AlgorithmSpecification: &sagemaker.AlgorithmSpecification{TrainingImage: Ptr(runtimes.ImageClassification), TrainingInputMode: "File"},
		InputDataConfig:        Channels(prefix), OutputDataConfig: &sagemaker.OutputDataConfig{S3OutputPath: "s3://" + Bucket + "/out"},
		ResourceConfig: Resources(), StoppingCondition: &sagemaker.StoppingCondition{MaxRuntimeInSeconds: Ptr(int64(3600))},
	}
}

// Train runs a job to its end.
func (s *Server) Train(ctx context.Context, in *sagemaker.CreateTrainingJobInput) (*sagemaker.DescribeTrainingJobOutput, error) {
	if _, err := awsclient.Do[sagemaker.CreateTrainingJobOutput](ctx, s.Client, sagemaker.Model, "CreateTrainingJob", in); err != nil {
		return nil, err
	}
	for {
		d, err := awsclient.Do[sagemaker.DescribeTrainingJobOutput](ctx, s.Client, sagemaker.Model, "DescribeTrainingJob",
			&sagemaker.DescribeTrainingJobInput{TrainingJobName: in.TrainingJobName})
		switch {
		case err != nil:
			return nil, err
		case d.TrainingJobStatus == "Completed":
			return d, nil
		case d.TrainingJobStatus != "InProgress":
			return d, fmt.Errorf("job %s: %s: %s", in.TrainingJobName, d.TrainingJobStatus, sagemaker.Or(d.FailureReason, ""))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// SharedCache makes a cache folder that has everything fetched before, and no
// computed features.
func SharedCache(dir, from string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, part := range []string{"assets", "backbones"} {
		if err := os.MkdirAll(filepath.Join(from, part), 0o755); err != nil {
			return err
		}
		if err := exec.Command("cp", "-al", filepath.Join(from, part), filepath.Join(dir, part)).Run(); err != nil {
			return fmt.Errorf("copy %s of the cache: %w", part, err)
		}
	}
	return nil
}

// Cache is the user's own.
func Cache() (string, error) {
	if dir := os.Getenv("MUSHER_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "musher"), err
}

// Median returns the middle value.
func Median[T int | int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// Machine describes what the figures were measured on.
func Machine() string {
	model := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(info), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			model = strings.TrimSpace(strings.TrimLeft(line, "\t :"))
		}
	}
	return fmt.Sprintf("%d × %s, %s, %s", runtime.NumCPU(), model, runtime.GOOS, time.Now().UTC().Format("2006-01-02"))
}

// Shared finds a folder of the photos that measurements need.
func Shared(name string) (string, error) {
	base := os.Getenv("MUSHER_SHARED")
	if base == "" {
		base = "../shared"
	}
	dir := filepath.Join(base, "data", name)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("the photos of %s are not here (set MUSHER_SHARED): %w", name, err)
	}
	return filepath.Abs(dir)
}
