package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/test/musher"
)

// epochs makes a job last about two seconds after its features are there.
const epochs = "1500"

// trainer finds the process of a training job, 0 for none.
func trainer(srv *musher.Server, job string) int {
	for pid, line := range musher.Processes(srv.Data) {
		if strings.Contains(line, " train --dir ") && strings.HasSuffix(strings.TrimSpace(line), "/jobs/"+job+"/algo-1") {
			return pid
		}
	}
	return 0
}

// TestKillDuringTraining: the process goes on while no server is there; the
// next server adopts it, and the job completes as if nothing had been.
func TestKillDuringTraining(t *testing.T) {
	srv := musher.New(t)
	at := newMoments(t)
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	lab.Train(t, "adopted", map[string]string{"epochs": "6000", "lr_schedule": "constant"})
	lab.AwaitSecondary(t, "adopted", types.SecondaryStatusTraining)
	var pid int
	musher.Eventually(t, "the training process runs", func() bool { pid = trainer(srv, "adopted"); return pid != 0 })
	for range 3 {
		at.wait(300 * time.Millisecond)
		srv.Kill()
		if now := trainer(srv, "adopted"); now != pid {
			t.Fatalf("process %d trained; now %d does", pid, now)
		}
		srv.Restart()
		if now := trainer(srv, "adopted"); now != pid {
			t.Fatalf("process %d trained; after the restart %d does", pid, now)
		}
	}
	job := lab.AwaitTraining(t, "adopted")
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Fatalf("the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
	var went []string
	for _, s := range job.SecondaryStatusTransitions {
		went = append(went, string(s.Status))
	}
	if got, want := strings.Join(went, " "), "Starting Downloading Training Uploading Completed"; got != want {
		t.Errorf("the job went through %s, want %s", got, want)
	}
	checkMetrics(t, job)
}

func checkMetrics(t *testing.T, job *sagemaker.DescribeTrainingJobOutput) {
	t.Helper()
	got := map[string]float32{}
	for _, m := range job.FinalMetricDataList {
		got[*m.MetricName] = *m.Value
	}
	if got["validation:accuracy"] <= 0 || got["train:loss"] <= 0 {
		t.Errorf("the metrics of %s are %v", *job.TrainingJobName, got)
	}
}

// TestKillAtAnyMoment kills the server somewhere between the acceptance of a
// job and its end. Every job completes, with its model.
func TestKillAtAnyMoment(t *testing.T) {
	srv := musher.New(t)
	at := newMoments(t)
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	n := rounds(5)
	for i := range n {
		lab.Train(t, fmt.Sprintf("job-%d", i), map[string]string{"epochs": "50"})
		at.wait(900 * time.Millisecond)
		srv.Kill()
		at.wait(300 * time.Millisecond)
		srv.Restart()
	}
	for i := range n {
		job := lab.AwaitTraining(t, fmt.Sprintf("job-%d", i))
		if job.TrainingJobStatus != types.TrainingJobStatusCompleted {
			t.Errorf("%s is %s: %s", *job.TrainingJobName, job.TrainingJobStatus, aws.ToString(job.FailureReason))
			continue
		}
		checkMetrics(t, job)
		if model := lab.Object(t, "out/"+*job.TrainingJobName+"/output/model.tar.gz"); len(model) < 1<<20 {
			t.Errorf("the model of %s has %d bytes", *job.TrainingJobName, len(model))
		}
	}
}

// TestStopAndGoOn: a clean stop ends the processes; the next server starts the
// jobs again, and they complete.
func TestStopAndGoOn(t *testing.T) {
	srv := musher.New(t)
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	lab.Train(t, "interrupted", map[string]string{"epochs": epochs})
	lab.AwaitSecondary(t, "interrupted", types.SecondaryStatusTraining)
	musher.Eventually(t, "the training process runs", func() bool { return trainer(srv, "interrupted") != 0 })
	srv.Stop()
	if left := musher.Processes(srv.Data); len(left) > 0 {
		t.Errorf("the stopped server leaves %v", slices.Collect(maps.Values(left)))
	}
	srv.Restart()
	job := lab.AwaitTraining(t, "interrupted")
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Fatalf("the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
	if !slices.ContainsFunc(job.SecondaryStatusTransitions, func(s types.SecondaryStatusTransition) bool { return s.Status == types.SecondaryStatusRestarting }) {
		t.Error("the job does not say that it was started again")
	}
}

// TestKillDuringTuning: no trial is lost, none runs twice.
func TestKillDuringTuning(t *testing.T) {
	srv := musher.New(t)
	at := newMoments(t)
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	const trials = 6
	lab.Tune(t, lab.Tuning("tune", trials, 2, map[string]string{"epochs": "20"}))
	for range rounds(4) {
		at.wait(1200 * time.Millisecond)
		srv.Kill()
		at.wait(200 * time.Millisecond)
		srv.Restart()
	}
	job := lab.AwaitTuning(t, "tune")
	c := job.TrainingJobStatusCounters
	if job.HyperParameterTuningJobStatus != types.HyperParameterTuningJobStatusCompleted || *c.Completed != trials {
		t.Errorf("the tuning job is %s, with %d trials completed, %d failed, %d stopped: %s",
			job.HyperParameterTuningJobStatus, *c.Completed, *c.NonRetryableError, *c.Stopped, aws.ToString(job.FailureReason))
	}
	all, err := lab.SageMaker().ListTrainingJobs(context.Background(), &sagemaker.ListTrainingJobsInput{MaxResults: aws.Int32(100)})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.TrainingJobSummaries) != trials {
		t.Errorf("there are %d training jobs for %d trials", len(all.TrainingJobSummaries), trials)
	}
	for _, s := range all.TrainingJobSummaries {
		trial := lab.TrainingJob(t, *s.TrainingJobName)
		for _, st := range trial.SecondaryStatusTransitions {
			if st.Status == types.SecondaryStatusRestarting {
				t.Errorf("trial %s ran twice: %s", *s.TrainingJobName, *st.StatusMessage)
			}
		}
		checkMetrics(t, trial)
	}
}
