package demo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/progress"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// The objective of the tuning job, and what is told beside it.
const (
	objective = "validation:accuracy"
	accuracy  = "validation:accuracy"
	testScore = "test:accuracy"
)

// optimizer is the same for all trials: it needs no other learning rate for
// few photos than for many.
const optimizer = "adamw"

// seed makes the first trials the same in each run.
const seed = 1

// space is what the tuning job searches. On ten breeds with 30 and with 300
// photos each, trials at the edges were worse, and all in between came within
// two points of a linear head that is trained until nothing changes.
func space() *sagemaker.ParameterRanges {
	return &sagemaker.ParameterRanges{
		ContinuousParameterRanges: []*sagemaker.ContinuousParameterRange{
			{Name: "learning_rate", MinValue: "0.0005", MaxValue: "0.01", ScalingType: new("Logarithmic")},
			{Name: "weight_decay", MinValue: "0.001", MaxValue: "1", ScalingType: new("Logarithmic")},
			{Name: "label_smoothing", MinValue: "0.05", MaxValue: "0.15", ScalingType: new("Linear")},
		},
		CategoricalParameterRanges: []*sagemaker.CategoricalParameterRange{
			{Name: "mini_batch_size", Values: []string{"16", "32", "64"}},
		},
	}
}

// parameters are the tuned hyperparameters in the order of the table.
var parameters = []string{"learning_rate", "weight_decay", "label_smoothing", "mini_batch_size"} //nolint:gochecknoglobals // constant

func (r *run) channels() (channels []*sagemaker.Channel) {
	for _, part := range []string{train, validation, test} {
		if len(r.Photos.Part(part)) == 0 {
			continue
		}
		channels = append(channels, &sagemaker.Channel{
			ChannelName: part, ContentType: new("application/x-image"),
			DataSource: &sagemaker.DataSource{S3DataSource: &sagemaker.S3DataSource{S3DataType: "S3Prefix", S3Uri: r.uri(part)}},
		})
	}
	return channels
}

func (r *run) output() *sagemaker.OutputDataConfig {
	return &sagemaker.OutputDataConfig{S3OutputPath: "s3://" + name + "/" + outputPrefix}
}

func machine() *sagemaker.ResourceConfig {
	return &sagemaker.ResourceConfig{InstanceType: new("ml.m5.large"), InstanceCount: new(int64(1)), VolumeSizeInGB: new(int64(10))}
}

func limit() *sagemaker.StoppingCondition {
	return &sagemaker.StoppingCondition{MaxRuntimeInSeconds: new(int64(24 * 3600))}
}

// train runs one training job with the algorithm's own defaults. It is the
// one that runs the backbone over all photos.
func (r *run) train(ctx context.Context) error {
	job := jobPrefix + r.stamp
	_, err := awsclient.Do[sagemaker.CreateTrainingJobOutput](ctx, r.Client, sagemaker.Model, "CreateTrainingJob", &sagemaker.CreateTrainingJobInput{
		TrainingJobName: job, RoleArn: r.role,
		AlgorithmSpecification: &sagemaker.AlgorithmSpecification{TrainingImage: new(runtimes.ImageClassification), TrainingInputMode: "File"},
		HyperParameters:        map[string]string{"epochs": strconv.Itoa(r.Epochs)},
		InputDataConfig:        r.channels(), OutputDataConfig: r.output(), ResourceConfig: machine(), StoppingCondition: limit(),
	})
	if err != nil {
		return err
	}
	r.result.TrainingJob = job
	w := r.watchJob(job)
	var last *sagemaker.DescribeTrainingJobOutput
	err = every(ctx, look, func() (bool, error) {
		if last, err = r.describe(ctx, job); err != nil {
			return false, err
		}
		w.look(last)
		return last.TrainingJobStatus != "InProgress" && last.TrainingJobStatus != "Stopping", nil
	})
	if err == nil && last.TrainingJobStatus != "Completed" {
		err = &WorkError{job, last.TrainingJobStatus, or(last.FailureReason, "")}
	}
	if err != nil {
		w.fail(err)
		return fmt.Errorf("training: %w", err)
	}
	w.done(last)
	return nil
}

// WorkError says that a job or an endpoint did not become what it should.
type WorkError struct{ Name, Status, Reason string }

func (e *WorkError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("%s is %s: %s", e.Name, e.Status, e.Reason), ": ")
}

func (r *run) describe(ctx context.Context, job string) (*sagemaker.DescribeTrainingJobOutput, error) {
	return awsclient.Do[sagemaker.DescribeTrainingJobOutput](ctx, r.Client, sagemaker.Model, "DescribeTrainingJob", &sagemaker.DescribeTrainingJobInput{TrainingJobName: job})
}

// metric finds one of a job's last metrics.
func metric(job *sagemaker.DescribeTrainingJobOutput, name string) *float64 {
	for _, m := range job.FinalMetricDataList {
		if or(m.MetricName, "") == name {
			return m.Value
		}
	}
	return nil
}

// bestJob is the best training job of the tuning job.
type bestJob struct{ name, model string }

// tune searches hyperparameters. The features are there by now: a trial is the
// training of a head.
func (r *run) tune(ctx context.Context) error {
	return r.step("tuning", func(s *progress.Step) (string, error) {
		if err := r.createTuningJob(ctx); err != nil {
			return "", err
		}
		s.Total(int64(r.Trials), "trials")
		err := every(ctx, look, func() (bool, error) { return r.watchTrials(ctx, s) })
		if err != nil {
			return "", err
		}
		if err := r.readTrials(ctx); err != nil {
			return "", err
		}
		best := r.result.best()
		if best == nil {
			return "", &WorkError{r.tuning, "Completed", "no trial has an " + objective}
		}
		return fmt.Sprintf("%d trials, best %s %.4f", len(r.result.Trials), accuracy, best.Accuracy), nil
	})
}

func (r *run) createTuningJob(ctx context.Context) error {
	r.tuning = jobPrefix + r.stamp + "-tune"
	r.result.TuningJob = r.tuning
	_, err := awsclient.Do[sagemaker.CreateHyperParameterTuningJobOutput](ctx, r.Client, sagemaker.Model, "CreateHyperParameterTuningJob", &sagemaker.CreateHyperParameterTuningJobInput{
		HyperParameterTuningJobName: r.tuning,
		HyperParameterTuningJobConfig: &sagemaker.HyperParameterTuningJobConfig{
			Strategy:                         "Bayesian",
			HyperParameterTuningJobObjective: &sagemaker.HyperParameterTuningJobObjective{Type: "Maximize", MetricName: objective},
			ResourceLimits: &sagemaker.ResourceLimits{
				MaxNumberOfTrainingJobs: new(int64(r.Trials)), MaxParallelTrainingJobs: int64(r.Parallel),
			},
			ParameterRanges: space(), RandomSeed: new(int64(seed)),
		},
		TrainingJobDefinition: &sagemaker.HyperParameterTrainingJobDefinition{
			AlgorithmSpecification: &sagemaker.HyperParameterAlgorithmSpecification{TrainingImage: new(runtimes.ImageClassification), TrainingInputMode: "File"},
			StaticHyperParameters:  map[string]string{"epochs": strconv.Itoa(r.Epochs), "optimizer": optimizer},
			RoleArn:                r.role, InputDataConfig: r.channels(), OutputDataConfig: r.output(),
			ResourceConfig: machine(), StoppingCondition: limit(),
		},
	})
	return err
}

// watchTrials shows how far the tuning job is, and says when it has ended.
func (r *run) watchTrials(ctx context.Context, s *progress.Step) (ended bool, err error) {
	job, err := awsclient.Do[sagemaker.DescribeHyperParameterTuningJobOutput](ctx, r.Client, sagemaker.Model, "DescribeHyperParameterTuningJob", &sagemaker.DescribeHyperParameterTuningJobInput{HyperParameterTuningJobName: r.tuning})
	if err != nil {
		return false, err
	}
	n := job.TrainingJobStatusCounters
	s.Set(or(n.Completed, 0) + or(n.NonRetryableError, 0) + or(n.Stopped, 0))
	words := fmt.Sprintf("%d running", or(n.InProgress, 0))
	if best := job.BestTrainingJob; best != nil && best.FinalHyperParameterTuningJobObjectiveMetric != nil {
		words += fmt.Sprintf(", best %.4f", best.FinalHyperParameterTuningJobObjectiveMetric.Value)
	}
	s.Detail("%s", words)
	switch job.HyperParameterTuningJobStatus {
	case "InProgress", "Stopping":
		return false, nil
	case "Completed":
		if job.BestTrainingJob == nil {
			return false, &WorkError{r.tuning, "Completed", "there is no best trial"}
		}
		r.best.name = job.BestTrainingJob.TrainingJobName
		return true, nil
	}
	return false, &WorkError{r.tuning, job.HyperParameterTuningJobStatus, or(job.FailureReason, "")}
}

// readTrials fills the table of trials in.
func (r *run) readTrials(ctx context.Context) error {
	in := &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: r.tuning, SortBy: new("CreationTime"), SortOrder: new("Ascending"), MaxResults: new(int64(100))}
	for {
		out, err := awsclient.Do[sagemaker.ListTrainingJobsForHyperParameterTuningJobOutput](ctx, r.Client, sagemaker.Model, "ListTrainingJobsForHyperParameterTuningJob", in)
		if err != nil {
			return err
		}
		for _, job := range out.TrainingJobSummaries {
			if err := r.readTrial(ctx, job); err != nil {
				return err
			}
		}
		if out.NextToken == nil {
			return nil
		}
		in.NextToken = out.NextToken
	}
}

func (r *run) readTrial(ctx context.Context, job *sagemaker.HyperParameterTrainingJobSummary) error {
	d, err := r.describe(ctx, job.TrainingJobName)
	if err != nil {
		return err
	}
	t := Trial{
		Job: job.TrainingJobName, Status: d.TrainingJobStatus, Hyperparameters: job.TunedHyperParameters,
		Accuracy: or(metric(d, accuracy), 0), Best: job.TrainingJobName == r.best.name, Reason: or(d.FailureReason, ""),
	}
	if d.TrainingStartTime != nil && d.TrainingEndTime != nil {
		t.Seconds = d.TrainingEndTime.Sub(*d.TrainingStartTime).Seconds()
	}
	r.result.Trials = append(r.result.Trials, t)
	if t.Best {
		r.result.JobTestAccuracy = metric(d, testScore)
		if d.ModelArtifacts == nil {
			return &WorkError{t.Job, d.TrainingJobStatus, "it has left no model"}
		}
		r.best.model = d.ModelArtifacts.S3ModelArtifacts
	}
	return nil
}

// stopJobs stops jobs of the demo that still run, this run's or those of one
// that was killed.
func (r *run) stopJobs(ctx context.Context) error {
	tuning, err := awsclient.Do[sagemaker.ListHyperParameterTuningJobsOutput](ctx, r.Client, sagemaker.Model, "ListHyperParameterTuningJobs", &sagemaker.ListHyperParameterTuningJobsInput{NameContains: new(jobPrefix), StatusEquals: new("InProgress")})
	if err != nil {
		return err
	}
	var errs []error
	for _, job := range tuning.HyperParameterTuningJobSummaries {
		if !strings.HasPrefix(job.HyperParameterTuningJobName, jobPrefix) {
			continue
		}
		_, err := awsclient.Do[sagemaker.StopHyperParameterTuningJobOutput](ctx, r.Client, sagemaker.Model, "StopHyperParameterTuningJob", &sagemaker.StopHyperParameterTuningJobInput{HyperParameterTuningJobName: job.HyperParameterTuningJobName})
		errs = append(errs, err)
	}
	training, err := awsclient.Do[sagemaker.ListTrainingJobsOutput](ctx, r.Client, sagemaker.Model, "ListTrainingJobs", &sagemaker.ListTrainingJobsInput{NameContains: new(jobPrefix), StatusEquals: new("InProgress")})
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, job := range training.TrainingJobSummaries {
		if !strings.HasPrefix(job.TrainingJobName, jobPrefix) {
			continue
		}
		_, err := awsclient.Do[sagemaker.StopTrainingJobOutput](ctx, r.Client, sagemaker.Model, "StopTrainingJob", &sagemaker.StopTrainingJobInput{TrainingJobName: job.TrainingJobName})
		if !is(err, "ValidationException") { // it has ended by itself, or its tuning job is stopping it
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// jobWatch shows a training job as two steps, features and epochs, where its
// log can be read, and as one where it cannot.
type jobWatch struct {
	r        *run
	log      *tail
	features *progress.Step // nil: over, or not to be seen
	training *progress.Step // nil: not yet begun
	epochs   int
}

func (r *run) watchJob(job string) *jobWatch {
	w := &jobWatch{r: r, epochs: r.Epochs}
	if r.JobLog == nil {
		w.beginTraining()
		return w
	}
	w.log = &tail{path: r.JobLog(job)}
	w.features = r.Progress.Step("features")
	w.features.Detail("the job starts")
	return w
}

func (w *jobWatch) beginTraining() {
	w.training = w.r.Progress.Step("training")
	w.training.Total(int64(w.epochs), "epochs")
}

func (w *jobWatch) look(job *sagemaker.DescribeTrainingJobOutput) {
	if w.log == nil {
		w.training.Detail("%s", job.SecondaryStatus)
		return
	}
	for _, line := range w.log.read() {
		w.line(line)
	}
	if w.training != nil && job.SecondaryStatus == "Uploading" {
		w.training.Detail("uploading the model")
	}
}

// line takes in one of the lines that the built-in algorithm prints.
func (w *jobWatch) line(line string) {
	var n, total, epoch int64
	if _, err := fmt.Sscanf(line, "progress features %d/%d", &n, &total); err == nil && w.features != nil {
		w.features.Total(total, "photos")
		w.features.Set(n)
		w.features.Detail("")
		return
	}
	if summary, ok := strings.CutPrefix(line, "features: "); ok && w.features != nil {
		w.features.Done("%s", summary)
		w.r.took("features", w.features.Elapsed(), summary)
		w.features = nil
		w.beginTraining()
		return
	}
	if _, err := fmt.Sscanf(line, "epoch=%d", &epoch); err == nil && w.training != nil {
		w.training.Set(epoch)
		if _, score, ok := strings.Cut(line, accuracy+"="); ok {
			w.training.Detail("%s %.6s", accuracy, score)
		}
	}
}

func (w *jobWatch) done(job *sagemaker.DescribeTrainingJobOutput) {
	if w.features != nil { // a log that says nothing of them
		w.features.Done("")
		w.r.took("features", w.features.Elapsed(), "")
	}
	if w.training == nil {
		w.beginTraining()
	}
	summary := fmt.Sprintf("%d epochs, %s %.4f", w.epochs, accuracy, or(metric(job, accuracy), 0))
	w.training.Done("%s", summary)
	w.r.took("training", w.training.Elapsed(), summary)
}

func (w *jobWatch) fail(err error) {
	for _, s := range []*progress.Step{w.features, w.training} {
		if s != nil {
			s.Fail(plain(err))
		}
	}
}
