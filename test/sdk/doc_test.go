// Package sdk drives whole servers with the clients that users have:
// aws-sdk-go-v2, boto3 and the aws CLI.
//
// Tests of rules (statuses, errors, limits) run on servers in this process,
// whose jobs and instances are functions; tests of the main job and of faults
// in data run the real binary, which really trains and serves. The Python
// tests lie in py/ and are run with .venv/bin/python (make test makes it), or
// the Python that MUSHER_PYTHON names.
package sdk

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/test/musher"
)

// must is for calls that the test takes for granted.
func must[T any](out T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return out
	}
}

// wantError checks the code of an error, and that its text says what it must.
func wantError(tb testing.TB, err error, code string, says ...string) {
	tb.Helper()
	if musher.Code(err) != code {
		tb.Errorf("the error is %v, want %s", err, code)
		return
	}
	for _, text := range says {
		if !strings.Contains(musher.Message(err), text) {
			tb.Errorf("%s says %q, want %q in it", code, musher.Message(err), text)
		}
	}
}

// wantFailed checks that a job failed and why.
func wantFailed(tb testing.TB, job *sagemaker.DescribeTrainingJobOutput, says ...string) {
	tb.Helper()
	reason := aws.ToString(job.FailureReason)
	if job.TrainingJobStatus != types.TrainingJobStatusFailed || job.SecondaryStatus != types.SecondaryStatusFailed {
		tb.Errorf("job %s is %s, %s; want it Failed", *job.TrainingJobName, job.TrainingJobStatus, job.SecondaryStatus)
	}
	for _, text := range says {
		if !strings.Contains(reason, text) {
			tb.Errorf("job %s failed since %q; want %q in it", *job.TrainingJobName, reason, text)
		}
	}
}

// transitions are the secondary statuses that a job went through.
func transitions(job *sagemaker.DescribeTrainingJobOutput) string {
	var all []string
	for _, t := range job.SecondaryStatusTransitions {
		all = append(all, string(t.Status))
	}
	return strings.Join(all, " ")
}

// metric is the final value of one of a job's metrics.
func metric(tb testing.TB, job *sagemaker.DescribeTrainingJobOutput, name string) float64 {
	tb.Helper()
	i := slices.IndexFunc(job.FinalMetricDataList, func(m types.MetricData) bool { return aws.ToString(m.MetricName) == name })
	if i < 0 {
		tb.Errorf("job %s has no metric %s", *job.TrainingJobName, name)
		return 0
	}
	return float64(aws.ToFloat32(job.FinalMetricDataList[i].Value))
}

// is tells whether an error is of a type that the SDK gives.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func background() context.Context { return context.Background() }
