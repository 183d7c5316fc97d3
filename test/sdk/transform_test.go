package sdk

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/musher/musher/test/musher"
)

// upper answers each line of CSV in capitals, with a mark from its environment.
// A line can ask it to fail, to die, or to wait until its folder holds a file.
const upper = `
import os, time
def model_fn(model_dir):
    return os.environ.get("MARK", "")
def transform_fn(model, body, content_type, accept):
    body = body if isinstance(body, str) else body.decode()
    print("got", repr(body), content_type, accept, os.environ["SAGEMAKER_BATCH"], os.environ["SAGEMAKER_BATCH_STRATEGY"], flush=True)
    if "bad" in body:
        raise ValueError("this line is bad")
    if "die" in body and not os.path.exists("died"):
        open("died", "w").close()
        os._exit(9)
    while "wait" in body and not os.path.exists("go"):
        time.sleep(0.005)
    return "".join(line.upper() + model + "\n" for line in body.split("\n")), "text/csv"
`

// transformJob is a request for a job over the objects below in/.
func transformJob(lab *musher.Lab, name, model string, change ...func(*sagemaker.CreateTransformJobInput)) *sagemaker.CreateTransformJobInput {
	in := &sagemaker.CreateTransformJobInput{
		TransformJobName: &name, ModelName: &model,
		TransformInput: &types.TransformInput{
			ContentType: aws.String("text/csv"), SplitType: types.SplitTypeLine,
			DataSource: &types.TransformDataSource{S3DataSource: &types.TransformS3DataSource{S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String(lab.URI("in/"))}},
		},
		TransformOutput:    &types.TransformOutput{S3OutputPath: aws.String(lab.URI("out/" + name)), AssembleWith: types.AssemblyTypeLine},
		TransformResources: &types.TransformResources{InstanceType: types.TransformInstanceTypeMlM5Large, InstanceCount: aws.Int32(1)},
	}
	for _, c := range change {
		c(in)
	}
	return in
}

func describeTransform(t *testing.T, a musher.Access, name string) *sagemaker.DescribeTransformJobOutput {
	t.Helper()
	return must(a.SageMaker().DescribeTransformJob(background(), &sagemaker.DescribeTransformJobInput{TransformJobName: &name}))(t)
}

func awaitTransform(t *testing.T, a musher.Access, name string) (job *sagemaker.DescribeTransformJobOutput) {
	t.Helper()
	musher.Eventually(t, "transform job "+name+" has ended", func() bool {
		job = describeTransform(t, a, name)
		return job.TransformJobStatus != types.TransformJobStatusInProgress && job.TransformJobStatus != types.TransformJobStatusStopping
	})
	return job
}

func wantTransform(t *testing.T, job *sagemaker.DescribeTransformJobOutput, status types.TransformJobStatus, says ...string) {
	t.Helper()
	reason := aws.ToString(job.FailureReason)
	if job.TransformJobStatus != status {
		t.Errorf("job %s is %s (%s), want it %s", *job.TransformJobName, job.TransformJobStatus, reason, status)
	}
	for _, text := range says {
		if !strings.Contains(reason, text) {
			t.Errorf("job %s failed since %q; want %q in it", *job.TransformJobName, reason, text)
		}
	}
}

// below reads the objects below a prefix, by what follows it.
func below(t *testing.T, lab *musher.Lab, prefix string) map[string]string {
	t.Helper()
	list := must(lab.S3().ListObjectsV2(background(), &s3.ListObjectsV2Input{Bucket: &lab.Bucket, Prefix: &prefix}))(t)
	found := map[string]string{}
	for _, o := range list.Contents {
		found[strings.TrimPrefix(*o.Key, prefix)] = string(lab.Object(t, *o.Key))
	}
	return found
}

func wantObjects(t *testing.T, lab *musher.Lab, prefix string, want map[string]string) {
	t.Helper()
	if got := below(t, lab, prefix); !maps.Equal(got, want) {
		t.Errorf("below %s there is %q, want %q", prefix, got, want)
	}
}

// transformLog is what CloudWatch Logs has of a job, by the kind of its streams.
func transformLog(t *testing.T, a musher.Access, job string) (instances, data string) {
	t.Helper()
	found := must(cloudwatchlogs.NewFromConfig(a.Config()).FilterLogEvents(background(), &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String("/aws/sagemaker/TransformJobs"), LogStreamNamePrefix: aws.String(job + "/"),
	}))(t)
	for _, e := range found.Events {
		if strings.HasSuffix(*e.LogStreamName, "/data-log") {
			data += *e.Message + "\n"
		} else {
			instances += *e.Message + "\n"
		}
	}
	return instances, data
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTransform: objects arrive whole, in order and under their own paths,
// whatever way they are cut, packed and sent.
func TestTransform(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	scriptModel(t, lab, "upper", map[string]string{"code/inference.py": upper}, variable("MARK", "."))
	var long, longOut strings.Builder
	for i := range 500 {
		fmt.Fprintf(&long, "line-%d,x\n", i)
		fmt.Fprintf(&longOut, "LINE-%d,X.\n", i)
	}
	lab.Upload(t, "in/", map[string][]byte{
		"a.csv": []byte("one,1\r\ntwo,2\r\n"), "deep/er/b.csv": []byte("three,3"), "deep/empty.csv": {}, "long.csv": []byte(long.String()), "folder/": {},
	})
	lab.Upload(t, "zip/", map[string][]byte{"c.csv.gz": gzipped(t, "four\n\nfive\n")})
	lab.Upload(t, "", map[string][]byte{"manifest": fmt.Appendf(nil, `[{"prefix": %q}, "deep/er/b.csv", "a.csv"]`, lab.URI("in/"))})

	all := map[string]string{"/a.csv.out": "ONE,1.\nTWO,2.\n", "/deep/er/b.csv.out": "THREE,3.\n", "/deep/empty.csv.out": "", "/long.csv.out": longOut.String()}
	jobs := map[string]struct {
		change func(*sagemaker.CreateTransformJobInput)
		want   map[string]string
	}{
		"many": {func(in *sagemaker.CreateTransformJobInput) {}, all},
		"single": {func(in *sagemaker.CreateTransformJobInput) {
			in.BatchStrategy, in.MaxConcurrentTransforms, in.MaxPayloadInMB = types.BatchStrategySingleRecord, aws.Int32(4), aws.Int32(1)
			in.TransformResources.InstanceCount = aws.Int32(2)
		}, all},
		"manifest": {func(in *sagemaker.CreateTransformJobInput) {
			in.TransformInput.DataSource.S3DataSource = &types.TransformS3DataSource{S3DataType: types.S3DataTypeManifestFile, S3Uri: aws.String(lab.URI("manifest"))}
			in.TransformOutput.S3OutputPath = aws.String(lab.URI("out/manifest/"))
		}, map[string]string{"/a.csv.out": all["/a.csv.out"], "/deep/er/b.csv.out": all["/deep/er/b.csv.out"]}},
		"zip": {func(in *sagemaker.CreateTransformJobInput) {
			in.TransformInput.DataSource.S3DataSource.S3Uri = aws.String(lab.URI("zip"))
			in.TransformInput.CompressionType = types.CompressionTypeGzip
			in.Environment = map[string]string{"MARK": "!"}
		}, map[string]string{"/c.csv.gz.out": "FOUR!\nFIVE!\n"}},
		"whole": {func(in *sagemaker.CreateTransformJobInput) {
			in.TransformInput.SplitType, in.TransformOutput.AssembleWith = types.SplitTypeNone, types.AssemblyTypeNone
			in.TransformInput.DataSource.S3DataSource.S3Uri = aws.String(lab.URI("in/deep/er/b.csv"))
		}, map[string]string{"/b.csv.out": "THREE,3.\n"}},
		"joined": {func(in *sagemaker.CreateTransformJobInput) {
			in.TransformInput.DataSource.S3DataSource.S3Uri = aws.String(lab.URI("in/a"))
			in.DataProcessing = &types.DataProcessing{InputFilter: aws.String("$[0]"), OutputFilter: aws.String("$[1:]"), JoinSource: types.JoinSourceInput}
		}, map[string]string{"/a.csv.out": "1,ONE.\n2,TWO.\n"}},
	}
	for name, job := range jobs {
		must(srv.SageMaker().CreateTransformJob(t.Context(), transformJob(lab, name, "upper", job.change)))(t)
	}
	for name, job := range jobs {
		wantTransform(t, awaitTransform(t, srv.Access, name), types.TransformJobStatusCompleted)
		wantObjects(t, lab, "out/"+name, job.want)
	}

	job := describeTransform(t, srv.Access, "single")
	if *job.ModelName != "upper" || *job.MaxConcurrentTransforms != 4 || *job.MaxPayloadInMB != 1 || job.BatchStrategy != types.BatchStrategySingleRecord ||
		*job.TransformResources.InstanceCount != 2 || job.FailureReason != nil ||
		*job.TransformJobArn != "arn:aws:sagemaker:eu-central-1:123456789012:transform-job/single" ||
		job.TransformStartTime.Before(*job.CreationTime) || job.TransformEndTime.Before(*job.TransformStartTime) {
		t.Errorf("the job is described as %+v", job)
	}
	instances, data := transformLog(t, srv.Access, "many")
	if !strings.Contains(instances, `got 'one,1\ntwo,2' text/csv`) || !strings.Contains(instances, "true MULTI_RECORD") ||
		!strings.Contains(data, "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD") {
		t.Errorf("the logs are %q and %q", instances, data)
	}
	if instances, _ := transformLog(t, srv.Access, "single"); strings.Count(instances, "got 'line-") != 500 {
		t.Errorf("%d requests for 500 single lines", strings.Count(instances, "got 'line-"))
	}
	leftNothing(t, srv, jobs)
}

// leftNothing checks that ended jobs have no instances, no folders, and no
// endpoints that anybody sees.
func leftNothing[T any](t *testing.T, srv *musher.Server, jobs map[string]T) {
	t.Helper()
	for name := range jobs {
		for _, folder := range []string{"endpoints/transform_" + name, "transforms/" + name} {
			if _, err := os.Stat(filepath.Join(srv.Data, folder)); err == nil {
				t.Errorf("%s is left", folder)
			}
		}
	}
	// Supervisors end a little after they have written how their work ended.
	musher.Eventually(t, "no process of a transform job is left", func() bool {
		for _, line := range musher.Processes(srv.Data) {
			if strings.Contains(line, "transform_") {
				return false
			}
		}
		return true
	})
	list, err := srv.SageMaker().ListEndpoints(t.Context(), nil)
	if err != nil || len(list.Endpoints) > 0 {
		t.Errorf("the endpoints are %v, %v", list.Endpoints, err)
	}
}

// TestTransformFails: an object that cannot be transformed fails the job, and
// no other object.
func TestTransformFails(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	scriptModel(t, lab, "upper", map[string]string{"code/inference.py": upper})
	scriptModel(t, lab, "broken", map[string]string{"code/inference.py": "def model_fn(d): raise RuntimeError('no weights')"})
	lab.Upload(t, "in/", map[string][]byte{"a.csv": []byte("ok"), "b.csv": []byte("fine\nbad\nfine"), "c.csv": []byte("ok, too"), "z.csv": []byte("die")})
	lab.Upload(t, "large/", map[string][]byte{"big": bytes.Repeat([]byte("x"), 1<<20+1), "small": []byte("x")})
	role := lab.NewRole(t, "reader", `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"],
		"Resource": ["arn:aws:s3:::lab", "arn:aws:s3:::lab/*"]}}`)
	must(srv.SageMaker().CreateModel(t.Context(), &sagemaker.CreateModelInput{
		ModelName: aws.String("reader"), ExecutionRoleArn: &role,
		PrimaryContainer: must(srv.SageMaker().DescribeModel(t.Context(), &sagemaker.DescribeModelInput{ModelName: aws.String("upper")}))(t).PrimaryContainer,
	}))(t)
	from := func(prefix string) func(*sagemaker.CreateTransformJobInput) {
		return func(in *sagemaker.CreateTransformJobInput) {
			in.TransformInput.DataSource.S3DataSource.S3Uri = aws.String(lab.URI(prefix))
			in.MaxPayloadInMB = aws.Int32(1)
			in.ModelClientConfig = &types.ModelClientConfig{InvocationsMaxRetries: aws.Int32(1)}
		}
	}
	jobs := map[string]struct {
		model, prefix string
		says          []string
		want          map[string]string
	}{
		"bad":    {"upper", "in/", []string{"ClientError: See job logs", "1 of 4 objects", "s3://lab/in/b.csv", "500", "this line is bad"}, map[string]string{"/a.csv.out": "OK\n", "/c.csv.out": "OK, TOO\n", "/z.csv.out": "DIE\n"}},
		"broken": {"broken", "in/", []string{"AlgorithmError", "no weights"}, nil},
		"large":  {"upper", "large/", []string{"1 of 2 objects", "s3://lab/large/big", "larger than MaxPayloadInMB, 1 MB"}, map[string]string{"/small.out": "X\n"}},
		"none":   {"upper", "none/", []string{"ClientError", "s3://lab/none/"}, nil},
		"denied": {"reader", "in/a.csv", []string{"ClientError", "1 of 1 objects", "AccessDenied"}, nil},
	}
	for name, job := range jobs {
		must(srv.SageMaker().CreateTransformJob(t.Context(), transformJob(lab, name, job.model, from(job.prefix))))(t)
	}
	for name, job := range jobs {
		wantTransform(t, awaitTransform(t, srv.Access, name), types.TransformJobStatusFailed, job.says...)
		wantObjects(t, lab, "out/"+name, job.want)
	}
	instances, data := transformLog(t, srv.Access, "bad")
	if strings.Count(instances, `got 'fine\nbad`) != 2 || strings.Count(data, "lab/in/b.csv: Bad HTTP status received from algorithm: 500") != 1 {
		t.Errorf("one retry was asked for; the logs are %q and %q", instances, data)
	}
	leftNothing(t, srv, jobs)
}

// TestTransformRules: what cannot be done is refused at once, and says why.
func TestTransformRules(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	putModel(t, lab, "m")
	lab.Upload(t, "in/", map[string][]byte{"x": []byte("x")})
	type input = sagemaker.CreateTransformJobInput
	processing := func(in *input, p types.DataProcessing) { in.DataProcessing = &p }
	for says, change := range map[string]func(*input){
		"SplitType TFRecord is not supported": func(in *input) { in.TransformInput.SplitType = types.SplitTypeTfrecord },
		"SplitType RecordIO is not supported": func(in *input) { in.TransformInput.SplitType = types.SplitTypeRecordio },
		"AugmentedManifestFile is not supported": func(in *input) {
			in.TransformInput.DataSource.S3DataSource.S3DataType = types.S3DataTypeAugmentedManifestFile
		},
		"must be 100 at the most, not 20 times 6": func(in *input) { in.MaxConcurrentTransforms = aws.Int32(20) },
		"MaxPayloadInMB 0":                        func(in *input) { in.MaxPayloadInMB = aws.Int32(0) },
		"Could not find model":                    func(in *input) { in.ModelName = aws.String("nonesuch") },
		"Invalid S3OutputPath":                    func(in *input) { in.TransformOutput.S3OutputPath = aws.String("https://lab/x") },
		"DataCaptureConfig is not supported": func(in *input) {
			in.DataCaptureConfig = &types.BatchDataCaptureConfig{DestinationS3Uri: aws.String("s3://lab/x")}
		},
		"InputFilter: the path \"$..x\"": func(in *input) { processing(in, types.DataProcessing{InputFilter: aws.String("$..x")}) },
		"OutputFilter: the path \"x\"":   func(in *input) { processing(in, types.DataProcessing{OutputFilter: aws.String("x")}) },
		"the same SplitType and AssembleWith": func(in *input) {
			in.TransformOutput.AssembleWith = ""
			processing(in, types.DataProcessing{JoinSource: types.JoinSourceInput})
		},
		"of one kind, CSV or JSON": func(in *input) {
			in.TransformOutput.Accept = aws.String("application/json")
			processing(in, types.DataProcessing{JoinSource: types.JoinSourceInput})
		},
		"needs a ContentType": func(in *input) {
			in.TransformInput.ContentType = aws.String("image/png")
			processing(in, types.DataProcessing{JoinSource: types.JoinSourceInput})
		},
		"works line by line: set SplitType to Line": func(in *input) {
			in.TransformInput.SplitType = ""
			processing(in, types.DataProcessing{InputFilter: aws.String("$[0]")})
		},
	} {
		_, err := srv.SageMaker().CreateTransformJob(t.Context(), transformJob(lab, "refused", "m", change))
		wantError(t, err, "ValidationException", says)
	}
	for _, name := range []string{"a", "b", "c"} {
		must(srv.SageMaker().CreateTransformJob(t.Context(), transformJob(lab, name, "m", func(in *input) {
			in.Tags = []types.Tag{{Key: aws.String("k"), Value: &name}}
		})))(t)
		wantTransform(t, awaitTransform(t, srv.Access, name), types.TransformJobStatusCompleted)
	}
	if got := below(t, lab, "out/b/"); len(got) != 1 || !strings.Contains(got["x.out"], `"model":"content of model.txt"`) {
		t.Errorf("the output is %q", got)
	}
	_, err := srv.SageMaker().CreateTransformJob(t.Context(), transformJob(lab, "a", "m"))
	if !is[*types.ResourceInUse](err) {
		t.Errorf("a name that is taken: %v", err)
	}
	name := aws.String("nonesuch")
	_, err = srv.SageMaker().DescribeTransformJob(t.Context(), &sagemaker.DescribeTransformJobInput{TransformJobName: name})
	wantError(t, err, "ValidationException", "Could not find requested transform job", "nonesuch")
	_, err = srv.SageMaker().StopTransformJob(t.Context(), &sagemaker.StopTransformJobInput{TransformJobName: name})
	wantError(t, err, "ValidationException", "Could not find requested transform job")
	_, err = srv.SageMaker().StopTransformJob(t.Context(), &sagemaker.StopTransformJobInput{TransformJobName: aws.String("a")})
	wantError(t, err, "ValidationException", "in status Completed")

	var listed []string
	pages := sagemaker.NewListTransformJobsPaginator(srv.SageMaker(), &sagemaker.ListTransformJobsInput{MaxResults: aws.Int32(2), StatusEquals: types.TransformJobStatusCompleted})
	for pages.HasMorePages() {
		for _, j := range must(pages.NextPage(t.Context()))(t).TransformJobSummaries {
			listed = append(listed, *j.TransformJobName)
		}
	}
	if !slices.Equal(listed, []string{"c", "b", "a"}) {
		t.Errorf("listed, the newest first: %v", listed)
	}
	arn := describeTransform(t, srv.Access, "b").TransformJobArn
	tags, err := srv.SageMaker().ListTags(t.Context(), &sagemaker.ListTagsInput{ResourceArn: arn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "b" {
		t.Errorf("tags: %v, %v", tags, err)
	}
	nobody := srv.NewUser(t, "nobody", "")
	_, err = nobody.SageMaker().CreateTransformJob(t.Context(), transformJob(lab, "theirs", "m"))
	wantError(t, err, "AccessDeniedException", "sagemaker:CreateTransformJob")
}

// heldUp starts a job over four objects, the third of which is waited for, and
// returns once the first two are done and the third is under way.
func heldUp(t *testing.T, srv *musher.Server, lab *musher.Lab, name string) {
	t.Helper()
	scriptModel(t, lab, "upper", map[string]string{"code/inference.py": upper})
	lab.Upload(t, "in/", map[string][]byte{"1": []byte("one"), "2": []byte("two"), "3": []byte("wait"), "4": []byte("four")})
	must(srv.SageMaker().CreateTransformJob(t.Context(), transformJob(lab, name, "upper")))(t)
	musher.Eventually(t, "the job waits for the third object", func() bool {
		log, err := os.ReadFile(filepath.Join(srv.Data, "endpoints/transform_"+name+"/1-"+name+"-0/log"))
		return err == nil && strings.Contains(string(log), "got 'wait'")
	})
}

// TestTransformSurvivesTheServer: the job goes on where a killed server left
// it, and does nothing twice that was done.
func TestTransformSurvivesTheServer(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	heldUp(t, srv, lab, "slow")
	wantObjects(t, lab, "out/slow", map[string]string{"/1.out": "ONE\n", "/2.out": "TWO\n"})
	srv.Kill()
	srv.Restart()
	wantTransform(t, describeTransform(t, srv.Access, "slow"), types.TransformJobStatusInProgress)
	if err := os.WriteFile(filepath.Join(srv.Data, "endpoints/transform_slow/1-slow-0/go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantTransform(t, awaitTransform(t, srv.Access, "slow"), types.TransformJobStatusCompleted)
	wantObjects(t, lab, "out/slow", map[string]string{"/1.out": "ONE\n", "/2.out": "TWO\n", "/3.out": "WAIT\n", "/4.out": "FOUR\n"})
	log, _ := transformLog(t, srv.Access, "slow")
	for _, word := range []string{"one", "two", "four"} {
		if n := strings.Count(log, "got '"+word+"'"); n != 1 {
			t.Errorf("%s was sent %d times: %s", word, n, log)
		}
	}
	leftNothing(t, srv, map[string]bool{"slow": true})
}

// TestTransformStops: what is done stays, and what is under way is given up.
func TestTransformStops(t *testing.T) {
	t.Parallel()
	srv, lab := scripts(t)
	heldUp(t, srv, lab, "long")
	hidden := aws.String("transform_long")
	if list, err := srv.SageMaker().ListEndpoints(t.Context(), nil); err != nil || len(list.Endpoints) > 0 {
		t.Errorf("the instances of the job are an endpoint: %v, %v", list, err)
	}
	_, err := srv.SageMaker().DescribeEndpoint(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: hidden})
	wantError(t, err, "ValidationException", "regular expression")
	_, err = ask(srv.Access, *hidden, "text/csv", "", "x")
	wantError(t, err, "ValidationError", "regular expression")
	must(srv.SageMaker().StopTransformJob(t.Context(), &sagemaker.StopTransformJobInput{TransformJobName: aws.String("long")}))(t)
	wantTransform(t, awaitTransform(t, srv.Access, "long"), types.TransformJobStatusStopped)
	wantObjects(t, lab, "out/long", map[string]string{"/1.out": "ONE\n", "/2.out": "TWO\n"})
	leftNothing(t, srv, map[string]bool{"long": true})
}
