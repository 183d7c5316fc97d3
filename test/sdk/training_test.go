package sdk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runner/fake"
	"github.com/musher/musher/test/musher"
)

// upload puts what fake jobs need in the place of pictures.
func upload(t *testing.T, lab *musher.Lab) {
	t.Helper()
	lab.Upload(t, "data/", map[string][]byte{"train/a/1": []byte("one"), "validation/a/2": []byte("two")})
}

func TestTrainingJob(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	before := time.Now().Add(-time.Second)
	in := lab.Job("first", map[string]string{"learning_rate": "0.2", "epochs": "1"})
	in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("dogs")}}
	in.Environment = map[string]string{"COLOUR": "blue", "TRAINING_JOB_NAME": "another"}
	in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("epoch"), Regex: aws.String(`epoch=([0-9]+)`)}}
	created := must(srv.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	arn := "arn:aws:sagemaker:eu-central-1:123456789012:training-job/first"
	if *created.TrainingJobArn != arn {
		t.Errorf("the job's ARN is %s", *created.TrainingJobArn)
	}
	job := lab.AwaitTraining(t, "first")
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted || job.SecondaryStatus != types.SecondaryStatusCompleted {
		t.Fatalf("the job is %s, %s: %s", job.TrainingJobStatus, job.SecondaryStatus, aws.ToString(job.FailureReason))
	}
	if got, want := transitions(job), "Starting Downloading Training Uploading Completed"; got != want {
		t.Errorf("the job went through %s, want %s", got, want)
	}
	at := before
	for _, tr := range job.SecondaryStatusTransitions {
		if tr.StartTime.Before(at) || tr.EndTime == nil || tr.EndTime.Before(*tr.StartTime) || *tr.StatusMessage == "" {
			t.Errorf("%s lasted from %v to %v: %s", tr.Status, tr.StartTime, tr.EndTime, *tr.StatusMessage)
		}
		at = *tr.StartTime
	}
	if got := metric(t, job, "validation:accuracy"); got < 0.98 || got > 1 {
		t.Errorf("the accuracy is %v", got)
	}
	if got := metric(t, job, "epoch"); got != 1 {
		t.Errorf("the metric that the request defined is %v", got)
	}
	if got, want := *job.ModelArtifacts.S3ModelArtifacts, "s3://lab/out/first/output/model.tar.gz"; got != want {
		t.Errorf("the model is at %s, want %s", got, want)
	}
	if files := untar(t, lab.Object(t, "out/first/output/model.tar.gz")); files["model.txt"] != "first" {
		t.Errorf("the model holds %v", files)
	}
	if job.TrainingStartTime.Before(*job.CreationTime) || job.TrainingEndTime.Before(*job.TrainingStartTime) || *job.TrainingTimeInSeconds < 1 {
		t.Errorf("created %v, started %v, ended %v, %d s", job.CreationTime, job.TrainingStartTime, job.TrainingEndTime, *job.TrainingTimeInSeconds)
	}
	tags := must(srv.SageMaker().ListTags(t.Context(), &sagemaker.ListTagsInput{ResourceArn: &arn}))(t).Tags
	if len(tags) != 1 || *tags[0].Value != "dogs" {
		t.Errorf("the tags are %v", tags)
	}
	_, err := srv.SageMaker().CreateTrainingJob(t.Context(), in)
	wantError(t, err, "ResourceInUse", "first")
	if !is[*types.ResourceInUse](err) {
		t.Errorf("a taken name gives %T", err)
	}
}

// TestJobsEnvironment looks at what a job's process is told.
func TestJobsEnvironment(t *testing.T) {
	t.Parallel()
	seen := make(chan musher.FakeJob, 1)
	keys := make(chan aws.Credentials, 1)
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		for _, file := range []string{"input/data/train/a/1", "input/data/validation/a/2", "input/config/inputdataconfig.json", "input/config/resourceconfig.json"} {
			if _, err := os.Stat(filepath.Join(j.Dir, file)); err != nil {
				return j.Fail(err.Error())
			}
		}
		role, err := roleOf(j)
		if err != nil {
			return j.Fail(err.Error())
		}
		keys <- role
		seen <- j
		return j.Finish("m")
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Job("env", map[string]string{"epochs": "3"})
	in.Environment = map[string]string{"COLOUR": "blue", "TRAINING_JOB_NAME": "another", "AWS_ACCESS_KEY_ID": "mine"}
	must(srv.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	if job := lab.AwaitTraining(t, "env"); job.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Fatal(*job.FailureReason)
	}
	j := <-seen
	for name, want := range map[string]string{
		"TRAINING_JOB_NAME": "env", "TRAINING_JOB_ARN": "arn:aws:sagemaker:eu-central-1:123456789012:training-job/env",
		"COLOUR": "blue", "AWS_ENDPOINT_URL": srv.Endpoint, "AWS_REGION": "eu-central-1",
	} {
		if j.Env[name] != want {
			t.Errorf("%s is %q, want %q", name, j.Env[name], want)
		}
	}
	if j.Hyperparameters["epochs"] != "3" {
		t.Errorf("the hyperparameters are %v", j.Hyperparameters)
	}
	// The job is its role, and nobody else.
	role := <-keys
	inside := srv.As(role.AccessKeyID, role.SecretAccessKey, role.SessionToken)
	who := must(inside.STS().GetCallerIdentity(t.Context(), nil))(t)
	if want := "arn:aws:sts::123456789012:assumed-role/trainer/SageMaker-env"; *who.Arn != want {
		t.Errorf("the job is %s, want %s", *who.Arn, want)
	}
	_, err := inside.IAM().ListUsers(t.Context(), nil)
	wantError(t, err, "AccessDenied")
	_, err = inside.SageMaker().ListTrainingJobs(t.Context(), nil)
	wantError(t, err, "AccessDeniedException", "sagemaker:ListTrainingJobs")

	// What a job was given is worth nothing once it has ended, nor when bent.
	if _, err := roleOf(j); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("an ended job asked for credentials: %v", err)
	}
	j.Env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] += "x"
	if _, err := roleOf(j); err == nil || !strings.Contains(err.Error(), "not one that this server gave") {
		t.Errorf("a made-up token: %v", err)
	}
}

// roleOf gets a job's credentials as the SDKs do inside it.
func roleOf(j musher.FakeJob) (aws.Credentials, error) {
	return endpointcreds.New(j.Env["AWS_CONTAINER_CREDENTIALS_FULL_URI"], func(o *endpointcreds.Options) {
		o.AuthorizationToken = j.Env["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
	}).Retrieve(context.Background())
}

// TestChannels: what a prefix names, and as which files a job sees it.
func TestChannels(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		var seen []string
		root := filepath.Join(j.Dir, "input/data/train") + "/"
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				var text []byte
				text, err = os.ReadFile(path)
				seen = append(seen, strings.TrimPrefix(path, root)+"="+string(text))
			}
			return err
		})
		if err != nil {
			return j.Fail(err.Error())
		}
		return j.Finish(strings.Join(seen, " "))
	}})
	lab := srv.Lab(t)
	put := func(objects ...string) {
		files := map[string][]byte{}
		for _, o := range objects {
			key, text, _ := strings.Cut(o, "=")
			files[key] = []byte(text)
		}
		lab.Upload(t, "", files)
	}
	put("d/cats/1=a", "d/cats/deep/2=b", "d/catsup=c", "d/dogs/1=d", "d/empty/=", "odd/a b/ü%20?.txt=e", "climb/../up=f", "clash/a=g", "clash/a/b=h", "large=1")
	for i, c := range []struct{ prefix, sees string }{
		{"d/cats/", "1=a deep/2=b"},
		{"d/cats", "1=a deep/2=b"}, // a folder of the name comes before keys that begin alike
		{"d/ca", "cats/1=a cats/deep/2=b catsup=c"},
		{"d/catsup", "catsup=c"},
		{"odd/", "a b/ü%20?.txt=e"},
		{"d/empty", ""},
		{"climb/", ""},
		{"clash/", ""},
		{"large", "large=1"},
	} {
		name := fmt.Sprintf("job-%d", i)
		in := lab.Job(name, nil)
		in.InputDataConfig = []types.Channel{lab.Channel("train", c.prefix)}
		must(srv.SageMaker().CreateTrainingJob(t.Context(), in))(t)
		job := lab.AwaitTraining(t, name)
		if c.sees == "" {
			wantFailed(t, job, "ClientError: The job cannot start", "channel train", c.prefix)
			continue
		}
		if job.TrainingJobStatus != types.TrainingJobStatusCompleted {
			t.Errorf("%s: the job is %s: %s", c.prefix, job.TrainingJobStatus, aws.ToString(job.FailureReason))
			continue
		}
		if got := untar(t, lab.Object(t, "out/"+name+"/output/model.tar.gz"))["model.txt"]; got != c.sees {
			t.Errorf("%s: the job sees %q, want %q", c.prefix, got, c.sees)
		}
	}
	// Data that changed under its key is new data.
	put("large=2")
	in := lab.Job("changed", nil)
	in.InputDataConfig = []types.Channel{lab.Channel("train", "large")}
	must(srv.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	lab.AwaitTraining(t, "changed")
	if got := untar(t, lab.Object(t, "out/changed/output/model.tar.gz"))["model.txt"]; got != "large=2" {
		t.Errorf("the job sees %q", got)
	}
}

// TestTrainingFailures: what is wrong reaches FailureReason, in words.
func TestTrainingFailures(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t, musher.Doings{
		Training: func(j musher.FakeJob) int {
			switch j.Hyperparameters["do"] {
			case "fail":
				return j.Fail("the labels are upside down")
			case "exit":
				fmt.Fprintln(j, "last words")
				return 7
			}
			return musher.Trainer(j)
		},
		Behave: func(spec runner.Spec) (fake.Behaviour, bool) {
			return fake.Behaviour{FailStart: "no such program"}, spec.Labels["job"] == "no-program"
		},
	})
	lab := srv.Lab(t)
	upload(t, lab)
	blind := srv.NewRole(t, "blind", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}}`)
	wide := srv.NewRole(t, "wide", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}`)
	mute := srv.NewRole(t, "mute", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}}`)
	for name, c := range map[string]struct {
		change func(*sagemaker.CreateTrainingJobInput)
		says   []string
	}{
		"own-words": {func(in *sagemaker.CreateTrainingJobInput) { in.HyperParameters["do"] = "fail" },
			[]string{"AlgorithmError: the labels are upside down"}},
		"no-words": {func(in *sagemaker.CreateTrainingJobInput) { in.HyperParameters["do"] = "exit" },
			[]string{"AlgorithmError", "exit code 7", "last words"}},
		"no-program": {func(*sagemaker.CreateTrainingJobInput) {}, []string{"AlgorithmError", "no such program"}},
		"no-bucket": {func(in *sagemaker.CreateTrainingJobInput) {
			in.RoleArn = &wide
			in.InputDataConfig[0].DataSource.S3DataSource.S3Uri = aws.String("s3://lab-that-is-not/train")
		}, []string{"ClientError", "channel train", "NoSuchBucket"}},
		"no-key": {func(in *sagemaker.CreateTrainingJobInput) {
			in.InputDataConfig[1].DataSource.S3DataSource.S3Uri = aws.String("s3://lab/nothing/here")
		}, []string{"ClientError", "channel validation", "s3://lab/nothing/here", "matched no files"}},
		"blind-role": {func(in *sagemaker.CreateTrainingJobInput) { in.RoleArn = &blind },
			[]string{"ClientError", "AccessDenied", "assumed-role/blind", "s3:ListBucket"}},
		"mute-role": {func(in *sagemaker.CreateTrainingJobInput) { in.RoleArn = &mute },
			[]string{"ClientError", "Artifact upload failed", "AccessDenied", "s3:PutObject"}},
		"no-role": {func(in *sagemaker.CreateTrainingJobInput) {
			in.RoleArn = aws.String("arn:aws:iam::123456789012:role/nobody")
		}, []string{"ClientError", "Could not assume role", "role/nobody"}},
		"no-output": {func(in *sagemaker.CreateTrainingJobInput) {
			in.OutputDataConfig.S3OutputPath = aws.String("s3://lab-that-is-not/out")
		},
			[]string{"ClientError", "Artifact upload failed", "s3://lab-that-is-not/out"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := lab.Job(name, map[string]string{})
			c.change(in)
			must(srv.SageMaker().CreateTrainingJob(background(), in))(t)
			job := lab.AwaitTraining(t, name)
			wantFailed(t, job, c.says...)
			if job.ModelArtifacts != nil && aws.ToString(job.ModelArtifacts.S3ModelArtifacts) != "" {
				t.Errorf("a failed job has the model %v", *job.ModelArtifacts.S3ModelArtifacts)
			}
		})
	}
}

// TestRoleIsTrusted: a role that does not trust SageMaker is of no use to it.
func TestRoleIsTrusted(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	role := must(srv.IAM().CreateRole(t.Context(), roleFor("lambda.amazonaws.com")))(t)
	in := lab.Job("untrusted", nil)
	in.RoleArn = role.Role.Arn
	must(srv.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	wantFailed(t, lab.AwaitTraining(t, "untrusted"), "ClientError", "Could not assume role", "sagemaker.amazonaws.com")
}

func TestStopTrainingJob(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	sm := srv.SageMaker()
	stop := func(name string) error {
		_, err := sm.StopTrainingJob(background(), &sagemaker.StopTrainingJobInput{TrainingJobName: &name})
		return err
	}
	lab.Train(t, "long", map[string]string{"seconds": "3600"})
	lab.AwaitSecondary(t, "long", types.SecondaryStatusTraining)
	if err := stop("long"); err != nil {
		t.Fatal(err)
	}
	job := lab.AwaitTraining(t, "long")
	if job.TrainingJobStatus != types.TrainingJobStatusStopped || transitions(job) != "Starting Downloading Training Stopping Stopped" {
		t.Errorf("the stopped job is %s after %s", job.TrainingJobStatus, transitions(job))
	}
	if files := untar(t, lab.Object(t, "out/long/output/model.tar.gz")); files["model.txt"] != "long" {
		t.Errorf("the stopped job's model holds %v", files)
	}
	wantError(t, stop("long"), "ValidationException", "Stopped")
	wantError(t, stop("none"), "ValidationException", "not found")
	_, err := sm.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: aws.String("none")})
	wantError(t, err, "ValidationException", "Requested resource not found.")
}

func TestMaxRuntime(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	in := lab.Job("slow", map[string]string{"seconds": "3600"})
	in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(1)
	must(srv.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	job := lab.AwaitTraining(t, "slow")
	if job.TrainingJobStatus != types.TrainingJobStatusStopped || job.SecondaryStatus != types.SecondaryStatusMaxRuntimeExceeded {
		t.Errorf("the job is %s, %s", job.TrainingJobStatus, job.SecondaryStatus)
	}
	if aws.ToString(job.ModelArtifacts.S3ModelArtifacts) == "" {
		t.Error("what it had trained is lost")
	}
}

// TestRetries: a killed process is started again as often as RetryStrategy
// says; one that fails by itself is not.
func TestRetries(t *testing.T) {
	t.Parallel()
	var starts atomic.Int64
	srv := musher.InProcess(t, musher.Doings{Behave: func(spec runner.Spec) (fake.Behaviour, bool) {
		switch spec.Labels["job"] {
		case "unlucky":
			if starts.Add(1) <= 2 {
				return fake.Behaviour{Signal: "SIGKILL", Reason: "out of memory"}, true
			}
		case "hopeless":
			return fake.Behaviour{Signal: "SIGSEGV"}, true
		}
		return fake.Behaviour{}, false
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	for name, retries := range map[string]int32{"unlucky": 2, "hopeless": 3} {
		in := lab.Job(name, nil)
		in.RetryStrategy = &types.RetryStrategy{MaximumRetryAttempts: &retries}
		must(srv.SageMaker().CreateTrainingJob(t.Context(), in))(t)
	}
	job := lab.AwaitTraining(t, "unlucky")
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted || starts.Load() != 3 {
		t.Errorf("after %d starts the job is %s: %s", starts.Load(), job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
	if got, want := transitions(job), "Starting Downloading Training Restarting Downloading Training Restarting Downloading Training Uploading Completed"; got != want {
		t.Errorf("it went through %s", got)
	}
	wantFailed(t, lab.AwaitTraining(t, "hopeless"), "SIGSEGV")
}

// TestRestartFindsWork: what a server finds in its folder when it starts, it
// goes on with, wherever the one before it was.
func TestRestartFindsWork(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	release := make(chan struct{})
	srv := musher.InProcess(t, musher.Doings{Training: func(j musher.FakeJob) int {
		runs.Add(1)
		<-release
		return musher.Trainer(j)
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	lab.Train(t, "adopted", nil)
	lab.AwaitSecondary(t, "adopted", types.SecondaryStatusTraining)
	srv.Stop()
	close(release) // the job ends while no server is there
	srv.Start()
	job := lab.AwaitTraining(t, "adopted")
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted || runs.Load() != 1 {
		t.Errorf("the job is %s after %d runs: %s", job.TrainingJobStatus, runs.Load(), aws.ToString(job.FailureReason))
	}
	if got, want := transitions(job), "Starting Downloading Training Uploading Completed"; got != want {
		t.Errorf("the job went through %s, want %s", got, want)
	}
	if files := untar(t, lab.Object(t, "out/adopted/output/model.tar.gz")); files["model.txt"] != "adopted" {
		t.Errorf("the model holds %v", files)
	}
}

// dyingServer ends the server right after it has started a process, before it
// can write that down.
type dyingServer struct {
	runner.Runner
	die func()
}

func (d dyingServer) Start(ctx context.Context, spec runner.Spec) error {
	if err := d.Runner.Start(ctx, spec); err != nil {
		return err
	}
	d.die()
	<-ctx.Done()
	return ctx.Err()
}

// TestDeathAfterStart: the process that was started, and has ended meanwhile,
// is the job's; its model is not thrown away.
func TestDeathAfterStart(t *testing.T) {
	t.Parallel()
	var runs, deaths atomic.Int64
	var srv *musher.Local
	dead, ran := make(chan struct{}), make(chan struct{})
	srv = musher.InProcess(t, musher.Doings{
		Training: func(j musher.FakeJob) int {
			defer close(ran)
			runs.Add(1)
			return musher.Trainer(j)
		},
		Wrap: func(r runner.Runner) runner.Runner {
			if deaths.Add(1) > 1 {
				return r
			}
			return dyingServer{r, func() { close(dead) }}
		},
	})
	lab := srv.Lab(t)
	upload(t, lab)
	lab.Train(t, "orphan", nil)
	<-dead
	srv.Stop()
	<-ran
	srv.Start()
	job := lab.AwaitTraining(t, "orphan")
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted || runs.Load() != 1 {
		t.Errorf("after %d runs the job is %s: %s", runs.Load(), job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
	if files := untar(t, lab.Object(t, "out/orphan/output/model.tar.gz")); files["model.txt"] != "orphan" {
		t.Errorf("the model holds %v", files)
	}
}

// forgetful ends the server before it can remove ended work.
type forgetful struct {
	runner.Runner
	die func()
}

func (d forgetful) Remove(ctx context.Context, _ string) error {
	d.die()
	<-ctx.Done()
	return ctx.Err()
}

// TestDeathAfterEnd: the next server clears up behind a job that the one
// before it could only just bring to its end.
func TestDeathAfterEnd(t *testing.T) {
	t.Parallel()
	var deaths atomic.Int64
	dead := make(chan struct{})
	srv := musher.InProcess(t, musher.Doings{Wrap: func(r runner.Runner) runner.Runner {
		if deaths.Add(1) > 1 {
			return r
		}
		return forgetful{r, sync.OnceFunc(func() { close(dead) })}
	}})
	lab := srv.Lab(t)
	upload(t, lab)
	lab.Train(t, "ended", nil)
	<-dead
	srv.Stop()
	if n := len(srv.Runner.Specs()); n != 1 {
		t.Fatalf("the runner knows %d works", n)
	}
	srv.Start()
	if job := lab.AwaitTraining(t, "ended"); job.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Errorf("the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
	musher.Eventually(t, "the work is forgotten", func() bool { return len(srv.Runner.Specs()) == 0 })
	for _, dir := range []string{"input", "model", "output"} {
		if _, err := os.Stat(srv.Path("jobs", "ended", "algo-1", dir)); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}

func TestListTrainingJobs(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	const n = 23
	for i := range n {
		lab.Train(t, fmt.Sprintf("job-%02d", i), nil)
	}
	lab.Train(t, "other", map[string]string{"seconds": "3600"})
	for i := range n {
		lab.AwaitTraining(t, fmt.Sprintf("job-%02d", i))
	}
	list := func(in *sagemaker.ListTrainingJobsInput) (names []string) {
		pages := sagemaker.NewListTrainingJobsPaginator(srv.SageMaker(), in)
		for pages.HasMorePages() {
			page := must(pages.NextPage(background()))(t)
			if len(page.TrainingJobSummaries) > 10 && in.MaxResults == nil {
				t.Errorf("a page has %d jobs", len(page.TrainingJobSummaries))
			}
			for _, s := range page.TrainingJobSummaries {
				names = append(names, *s.TrainingJobName)
			}
		}
		return names
	}
	if got := list(&sagemaker.ListTrainingJobsInput{}); len(got) != n+1 || got[0] != "job-00" || got[n] != "other" {
		t.Errorf("all jobs, by creation: %v", got)
	}
	if got := list(&sagemaker.ListTrainingJobsInput{SortBy: types.SortByName, SortOrder: types.SortOrderDescending, MaxResults: aws.Int32(5)}); len(got) != n+1 || got[0] != "other" || got[n] != "job-00" {
		t.Errorf("by name, descending: %v", got)
	}
	if got := list(&sagemaker.ListTrainingJobsInput{NameContains: aws.String("OTH")}); len(got) != 1 {
		t.Errorf("named other: %v", got)
	}
	if got := list(&sagemaker.ListTrainingJobsInput{StatusEquals: types.TrainingJobStatusInProgress}); len(got) != 1 || got[0] != "other" {
		t.Errorf("in progress: %v", got)
	}
	if got := list(&sagemaker.ListTrainingJobsInput{CreationTimeAfter: aws.Time(time.Now().Add(time.Hour))}); len(got) != 0 {
		t.Errorf("of the future: %v", got)
	}
	_, err := srv.SageMaker().ListTrainingJobs(t.Context(), &sagemaker.ListTrainingJobsInput{NextToken: aws.String("nonsense")})
	wantError(t, err, "ValidationException", "NextToken")
	must(srv.SageMaker().StopTrainingJob(t.Context(), &sagemaker.StopTrainingJobInput{TrainingJobName: aws.String("other")}))(t)
}

// TestTwoServers: two servers in one process share nothing.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	a, b := musher.InProcess(t), musher.InProcess(t)
	labA, labB := a.Lab(t), b.Lab(t)
	upload(t, labA)
	upload(t, labB)
	labA.Train(t, "same-name", map[string]string{"learning_rate": "0.1"})
	labB.Train(t, "same-name", map[string]string{"learning_rate": "0.9"})
	jobA, jobB := labA.AwaitTraining(t, "same-name"), labB.AwaitTraining(t, "same-name")
	if x, y := metric(t, jobA, "validation:accuracy"), metric(t, jobB, "validation:accuracy"); x == y {
		t.Errorf("both jobs have the accuracy %v", x)
	}
	_, err := b.As(a.KeyID, a.Secret, "").S3().ListBuckets(t.Context(), nil)
	wantError(t, err, "InvalidAccessKeyId")
}

// The disk is full while data is staged: the job says so.
func TestStagingOnFullDisk(t *testing.T) {
	t.Parallel()
	full := smallDisk(t, 256<<10)
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	lab.Upload(t, "data/", map[string][]byte{"train/a/1": make([]byte, 1<<20), "validation/a/2": []byte("two")})
	srv.Stop()
	if err := os.RemoveAll(srv.Path("staging")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(full, srv.Path("staging")); err != nil {
		t.Fatal(err)
	}
	srv.Start()
	lab.Train(t, "full", nil)
	wantFailed(t, lab.AwaitTraining(t, "full"), "InternalServerError", "the disk of this machine is full", syscall.ENOSPC.Error())
}
