package sdk

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	runtimetypes "github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"

	"github.com/musher/musher/test/musher"
)

// TestMainJob is the whole way of a user, with the real binary: bucket and
// role, training, tuning, deployment, predictions, an update, and the end.
func TestMainJob(t *testing.T) {
	t.Parallel()
	srv := musher.New(t)
	lab := srv.Lab(t)
	lab.UploadPictures(t)

	lab.Train(t, "first", map[string]string{"epochs": "20"})
	job := lab.AwaitTraining(t, "first")
	if got, want := transitions(job), "Starting Downloading Training Uploading Completed"; got != want {
		t.Fatalf("the job went through %s, want %s: %s", got, want, aws.ToString(job.FailureReason))
	}
	for _, name := range []string{"train:loss", "validation:loss", "validation:accuracy"} {
		metric(t, job, name)
	}
	if got := metric(t, job, "validation:accuracy"); got < 0.9 {
		t.Errorf("the validation accuracy is %v", got)
	}
	files := untar(t, lab.Object(t, "out/first/output/model.tar.gz"))
	var info struct{ Labels []string }
	if err := json.Unmarshal([]byte(files["model.json"]), &info); err != nil || !slices.Equal(info.Labels, musher.Classes) {
		t.Errorf("the model's labels are %v: %v", info.Labels, err)
	}

	in := lab.Tuning("tune", 4, 2, map[string]string{"epochs": "10"})
	in.HyperParameterTuningJobConfig.Strategy = types.HyperParameterTuningJobStrategyTypeBayesian
	lab.Tune(t, in)
	tuned := lab.AwaitTuning(t, "tune")
	checkCounters(t, tuned, 4, 0, 0)
	checkTrials(t, lab, tuned, 4)
	best := lab.TrainingJob(t, *tuned.BestTrainingJob.TrainingJobName)

	// Names as long as they may be.
	name := "photos" + strings.Repeat("-long", 11) + "xx"
	variant := "variant" + strings.Repeat("-long", 11) + "x"
	lab.Model(t, "best", *best.ModelArtifacts.S3ModelArtifacts)
	config := func(id string, n int32) {
		must(srv.SageMaker().CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
			EndpointConfigName: &id, ProductionVariants: []types.ProductionVariant{{
				VariantName: &variant, ModelName: aws.String("best"), InitialInstanceCount: &n, InstanceType: types.ProductionVariantInstanceTypeMlM5Large,
			}},
		}))(t)
	}
	config("c1", 1)
	config("c2", 2)
	lab.Endpoint(t, name, "c1")
	wait := sagemaker.NewEndpointInServiceWaiter(srv.SageMaker(), func(o *sagemaker.EndpointInServiceWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	})
	if err := wait.Wait(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: &name}, 2*time.Minute); err != nil {
		t.Fatal(err, aws.ToString(lab.DescribeEndpoint(t, name).FailureReason))
	}
	p := predictor{srv.Access, lab, name}
	t.Run("bytes", p.bytes)
	t.Run("url", p.url)
	t.Run("instances", p.instances)
	t.Run("verbose", p.verbose)
	t.Run("bad requests", p.badRequests)

	must(srv.SageMaker().UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{EndpointName: &name, EndpointConfigName: aws.String("c2")}))(t)
	if out := lab.AwaitEndpoint(t, name); out.EndpointStatus != types.EndpointStatusInService || *out.ProductionVariants[0].CurrentInstanceCount != 2 {
		t.Errorf("the updated endpoint is %s: %s", out.EndpointStatus, aws.ToString(out.FailureReason))
	}
	t.Run("after the update", p.bytes)
	must(srv.SageMaker().DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: &name}))(t)
	gone := sagemaker.NewEndpointDeletedWaiter(srv.SageMaker(), func(o *sagemaker.EndpointDeletedWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	})
	if err := gone.Wait(t.Context(), &sagemaker.DescribeEndpointInput{EndpointName: &name}, 2*time.Minute); err != nil {
		t.Fatal(err)
	}
}

// predictor asks an endpoint of the three classes.
type predictor struct {
	musher.Access
	lab      *musher.Lab
	endpoint string
}

func (p predictor) ask(body []byte, contentType string, change ...func(*sagemakerruntime.InvokeEndpointInput)) ([]byte, error) {
	in := &sagemakerruntime.InvokeEndpointInput{EndpointName: &p.endpoint, Body: body, ContentType: &contentType}
	for _, c := range change {
		c(in)
	}
	out, err := p.Runtime().InvokeEndpoint(background(), in)
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// checkClass checks log probabilities: of all classes, adding up to one, the
// right one first.
func checkClass(t *testing.T, logp []float64, class int) {
	t.Helper()
	sum, best := 0.0, 0
	for i, v := range logp {
		sum += math.Exp(v)
		if v > logp[best] {
			best = i
		}
	}
	if len(logp) != len(musher.Classes) || math.Abs(sum-1) > 1e-4 || best != class {
		t.Errorf("class %d is predicted as %v", class, logp)
	}
}

func (p predictor) bytes(t *testing.T) {
	for class := range musher.Classes {
		for seed, kind := range []string{"image/jpeg", "image/png"} {
			picture, _ := musher.Picture(t, class, uint64(5000+seed))
			for _, contentType := range []string{kind, "application/x-image"} {
				var got [][]float64
				if err := json.Unmarshal(must(p.ask(picture, contentType))(t), &got); err != nil || len(got) != 1 {
					t.Fatalf("the answer is %v: %v", got, err)
				}
				checkClass(t, got[0], class)
			}
		}
	}
}

// url: Musher's own bucket may be named, with and without a signature; this
// machine's other addresses may not.
func (p predictor) url(t *testing.T) {
	picture, _ := musher.Picture(t, 2, 7000)
	p.lab.Upload(t, "ask/", map[string][]byte{"cross.jpg": picture})
	signed := must(s3.NewPresignClient(p.S3()).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: &p.lab.Bucket, Key: aws.String("ask/cross.jpg")}))(t)
	for _, u := range []string{signed.URL, p.Endpoint + "/lab/ask/cross.jpg", "s3://lab/ask/cross.jpg"} {
		body := must(json.Marshal(map[string]string{"url": u}))(t)
		var got [][]float64
		if err := json.Unmarshal(must(p.ask(body, "application/json"))(t), &got); err != nil || len(got) != 1 {
			t.Fatalf("the answer is %v: %v", got, err)
		}
		checkClass(t, got[0], 2)
	}
	seen := false
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		seen = true
		w.Write(picture) //nolint:errcheck // a test's answer
	}))
	defer other.Close()
	for _, u := range []string{other.URL, strings.Replace(other.URL, "127.0.0.1", "localhost", 1), "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "file:///etc/passwd"} {
		_, err := p.ask(must(json.Marshal(map[string]string{"url": u}))(t), "application/json")
		wantError(t, err, "ModelError")
		if seen {
			t.Fatalf("%s was fetched", u)
		}
	}
}

func (p predictor) instances(t *testing.T) {
	var list []map[string]string
	for class := range musher.Classes {
		picture, ext := musher.Picture(t, class, uint64(8000+class))
		key := fmt.Sprintf("%d%s", class, ext)
		p.lab.Upload(t, "ask/", map[string][]byte{key: picture})
		list = append(list, map[string]string{"url": "s3://lab/ask/" + key})
	}
	var got struct{ Predictions [][]float64 }
	body := must(json.Marshal(map[string]any{"instances": list}))(t)
	if err := json.Unmarshal(must(p.ask(body, "application/json"))(t), &got); err != nil || len(got.Predictions) != len(list) {
		t.Fatalf("the answer is %v: %v", got, err)
	}
	for class, logp := range got.Predictions {
		checkClass(t, logp, class)
	}
}

func (p predictor) verbose(t *testing.T) {
	picture, _ := musher.Picture(t, 1, 9000)
	for _, change := range []func(*sagemakerruntime.InvokeEndpointInput){
		func(in *sagemakerruntime.InvokeEndpointInput) { in.Accept = aws.String("application/json; verbose") },
		func(in *sagemakerruntime.InvokeEndpointInput) { in.CustomAttributes = aws.String("verbose,top_k=2") },
	} {
		var got struct {
			Predictions []struct {
				Label       string
				Probability float64
			}
			LogProbabilities []float64 `json:"log_probabilities"`
			Labels           []string
		}
		raw := must(p.ask(picture, "application/x-image", change))(t)
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Labels, musher.Classes) || len(got.Predictions) < 2 || got.Predictions[0].Label != musher.Classes[1] || got.Predictions[0].Probability < 0.5 {
			t.Errorf("the answer is %s", raw)
		}
		checkClass(t, got.LogProbabilities, 1)
	}
}

// badRequests: what a model cannot use is the client's fault, and told.
func (p predictor) badRequests(t *testing.T) {
	jpeg, _ := musher.Picture(t, 0, 10)
	png, _ := musher.Picture(t, 0, 11)
	for name, c := range map[string]struct {
		body   []byte
		kind   string
		status int32
	}{
		"text":           {[]byte("this is no picture"), "image/jpeg", 400},
		"empty":          {[]byte{}, "image/jpeg", 400},
		"truncated JPEG": {jpeg[:len(jpeg)/2], "image/jpeg", 400},
		"truncated PNG":  {png[:len(png)/2], "image/png", 400},
		"bomb":           {bomb(t), "image/png", 413},
		"bad JSON":       {[]byte(`{"url": `), "application/json", 400},
		"no URL":         {[]byte(`{}`), "application/json", 400},
		"missing key":    {[]byte(`{"url": "s3://lab/ask/none.jpg"}`), "application/json", 424},
		"CSV":            {[]byte("1,2,3"), "text/csv", 415},
	} {
		started := time.Now()
		_, err := p.ask(c.body, c.kind)
		var model *runtimetypes.ModelError
		if !asError(err, &model) {
			t.Errorf("%s: the error is %v, want a ModelError", name, err)
			continue
		}
		if aws.ToInt32(model.OriginalStatusCode) != c.status || aws.ToString(model.OriginalMessage) == "" {
			t.Errorf("%s: status %d, message %q; want %d", name, aws.ToInt32(model.OriginalStatusCode), aws.ToString(model.OriginalMessage), c.status)
		}
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	p.bytes(t) // the instance is fine
}

// TestDogs is the main job on real photos: the accuracy that a linear head on
// the same features reaches with scikit-learn is 0.938, less one point.
func TestDogs(t *testing.T) {
	if testing.Short() {
		t.Skip("a full run on real photos takes a while")
	}
	photos := musher.Shared(t, "data/dogs-mini")
	t.Parallel()
	srv := musher.New(t)
	lab := srv.Lab(t)
	for part, channel := range map[string]string{"train": "train", "valid": "validation", "test": "test"} {
		lab.Upload(t, "data/"+channel+"/", readFolder(t, filepath.Join(photos, part)))
	}
	in := lab.Tuning("dogs", 6, 2, map[string]string{"epochs": "30"})
	in.TrainingJobDefinition.InputDataConfig = append(in.TrainingJobDefinition.InputDataConfig, lab.Channel("test", "data/test/"))
	in.HyperParameterTuningJobConfig.Strategy = types.HyperParameterTuningJobStrategyTypeBayesian
	lab.Tune(t, in)
	tuned := lab.AwaitTuning(t, "dogs")
	if tuned.BestTrainingJob == nil {
		t.Fatalf("the tuning job is %s: %s", tuned.HyperParameterTuningJobStatus, aws.ToString(tuned.FailureReason))
	}
	best := lab.TrainingJob(t, *tuned.BestTrainingJob.TrainingJobName)
	accuracy := metric(t, best, "test:accuracy")
	t.Logf("%v: validation accuracy %.4f, test accuracy %.4f", tuned.BestTrainingJob.TunedHyperParameters, metric(t, best, "validation:accuracy"), accuracy)
	if accuracy < 0.928-1e-6 {
		t.Errorf("the best model's test accuracy is %.4f, want 0.928", accuracy)
	}
	// The endpoint says of every test photo what training said of them together.
	lab.Model(t, "best", *best.ModelArtifacts.S3ModelArtifacts)
	lab.Config(t, "c", "best", 1)
	lab.Endpoint(t, "dogs", "c")
	if out := lab.AwaitEndpoint(t, "dogs"); out.EndpointStatus != types.EndpointStatusInService {
		t.Fatal(aws.ToString(out.FailureReason))
	}
	right, all := 0, 0
	client := srv.Runtime()
	for path, photo := range readFolder(t, filepath.Join(photos, "test")) {
		out := must(client.InvokeEndpoint(t.Context(), &sagemakerruntime.InvokeEndpointInput{
			EndpointName: aws.String("dogs"), Body: photo, ContentType: aws.String("image/jpeg"), Accept: aws.String("application/json; verbose"),
		}))(t)
		var got struct{ Predictions []struct{ Label string } }
		if err := json.Unmarshal(out.Body, &got); err != nil {
			t.Fatal(err)
		}
		all++
		if got.Predictions[0].Label == strings.Split(path, "/")[0] {
			right++
		}
	}
	if served := float64(right) / float64(all); math.Abs(served-accuracy) > 1e-4 {
		t.Errorf("the endpoint is right on %d of %d test photos (%.4f), the training job was on %.4f", right, all, served, accuracy)
	}
}

// readFolder reads the photos of class folders, by class/name.
func readFolder(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	paths := must(filepath.Glob(filepath.Join(dir, "*", "*.jpg")))(t)
	for _, path := range paths {
		name := must(filepath.Rel(dir, path))(t)
		files[filepath.ToSlash(name)] = must(os.ReadFile(path))(t)
	}
	if len(files) == 0 {
		t.Fatalf("no photos below %s", dir)
	}
	return files
}
