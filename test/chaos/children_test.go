package chaos

import (
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/test/musher"
)

// supervisor finds the process that looks after a piece of work, 0 for none.
func supervisor(srv *musher.Server, work string) int {
	for pid, line := range musher.Processes(srv.Data) {
		if strings.Contains(line, " supervise --dir ") && strings.Contains(line, work) {
			return pid
		}
	}
	return 0
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("kill %d: %v", pid, err)
	}
}

// TestKilledJobs: a job whose process is killed (as the kernel does when memory
// is short) fails and says so, or is started again if it may be. So does one
// whose supervisor is killed.
func TestKilledJobs(t *testing.T) {
	srv := musher.New(t)
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	for _, name := range []string{"fails", "retries", "unsupervised"} {
		in := lab.Job(name, map[string]string{"epochs": epochs})
		if name != "fails" {
			in.RetryStrategy = &types.RetryStrategy{MaximumRetryAttempts: aws.Int32(1)}
		}
		if _, err := lab.SageMaker().CreateTrainingJob(context.Background(), in); err != nil {
			t.Fatal(err)
		}
		lab.AwaitSecondary(t, name, types.SecondaryStatusTraining)
		pid := 0
		musher.Eventually(t, "the process of "+name+" runs", func() bool {
			if pid = trainer(srv, name); name == "unsupervised" && pid != 0 {
				pid = supervisor(srv, "training."+name+".0")
			}
			return pid != 0
		})
		kill(t, pid)
	}
	job := lab.AwaitTraining(t, "fails")
	if job.TrainingJobStatus != types.TrainingJobStatusFailed || !strings.Contains(aws.ToString(job.FailureReason), "SIGKILL") {
		t.Errorf("the killed job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
	for _, name := range []string{"retries", "unsupervised"} {
		job := lab.AwaitTraining(t, name)
		if job.TrainingJobStatus != types.TrainingJobStatusCompleted || !slices.ContainsFunc(job.SecondaryStatusTransitions, func(s types.SecondaryStatusTransition) bool { return s.Status == types.SecondaryStatusRestarting }) {
			t.Errorf("the job %s is %s: %s", name, job.TrainingJobStatus, aws.ToString(job.FailureReason))
		}
	}
}

// TestKilledInstances: instances that are killed are replaced, and requests
// are answered by those that are left.
func TestKilledInstances(t *testing.T) {
	srv := musher.New(t)
	lab := trained(t, srv, 2)
	lab.Endpoint(t, "photos", "c")
	lab.AwaitEndpoint(t, "photos")
	picture, _ := musher.Picture(t, 2, 99)
	for range rounds(2) {
		before := instances(srv, "photos")
		kill(t, slices.Min(slices.Collect(maps.Keys(before))))
		for range 10 {
			// Only what the killed one had taken may be lost, and this is nothing.
			if _, err := predict(srv.Access, "photos", picture); err != nil && musher.Code(err) != "ModelError" {
				t.Error(err)
			}
		}
		musher.Eventually(t, "two instances are healthy", func() bool {
			return *lab.DescribeEndpoint(t, "photos").ProductionVariants[0].CurrentInstanceCount == 2 && len(instances(srv, "photos")) == 2
		})
	}
	if _, err := predict(srv.Access, "photos", picture); err != nil {
		t.Error(err)
	}
}

// TestLeaveWork: with --leave-work a server that stops leaves its jobs to the
// next one.
func TestLeaveWork(t *testing.T) {
	srv := musher.New(t, musher.WithFlags("--leave-work"))
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	lab.Train(t, "left", map[string]string{"epochs": "5000", "lr_schedule": "constant"})
	pid := 0
	musher.Eventually(t, "the training process runs", func() bool { pid = trainer(srv, "left"); return pid != 0 })
	srv.Stop()
	if now := trainer(srv, "left"); now != pid {
		t.Errorf("process %d trained; now %d does", pid, now)
	}
	srv.Restart()
	job := lab.AwaitTraining(t, "left")
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted || slices.ContainsFunc(job.SecondaryStatusTransitions, func(s types.SecondaryStatusTransition) bool { return s.Status == types.SecondaryStatusRestarting }) {
		t.Errorf("the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
}
