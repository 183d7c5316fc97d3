package sdk

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	runtimetypes "github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"

	"github.com/musher/musher/test/musher"
)

// putModel makes a model whose server answers with its name.
func putModel(t *testing.T, lab *musher.Lab, name string) {
	t.Helper()
	lab.Upload(t, "models/", map[string][]byte{name + ".tar.gz": artifact(t, tar.Header{Name: "model.txt"}, tar.Header{Name: name})})
	lab.Model(t, name, lab.URI("models/"+name+".tar.gz"))
}

type answer struct {
	Model  string
	Before int64
}

func invoke(a musher.Access, endpoint string, change ...func(*sagemakerruntime.InvokeEndpointInput)) (got answer, err error) {
	in := &sagemakerruntime.InvokeEndpointInput{EndpointName: &endpoint, Body: []byte("x"), ContentType: aws.String("application/x-image")}
	for _, c := range change {
		c(in)
	}
	out, err := a.Runtime().InvokeEndpoint(background(), in)
	if err != nil {
		return got, err
	}
	return got, json.Unmarshal(out.Body, &got)
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	putModel(t, lab, "one")
	lab.Config(t, "config-1", "one", 2)
	lab.Endpoint(t, "photos", "config-1")
	if out := lab.DescribeEndpoint(t, "photos"); out.EndpointStatus != types.EndpointStatusCreating && out.EndpointStatus != types.EndpointStatusInService {
		t.Errorf("a new endpoint is %s", out.EndpointStatus)
	}
	out := lab.AwaitEndpoint(t, "photos")
	if out.EndpointStatus != types.EndpointStatusInService || *out.EndpointConfigName != "config-1" ||
		*out.EndpointArn != "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/photos" {
		t.Fatalf("the endpoint is %s (%s), of %s", out.EndpointStatus, aws.ToString(out.FailureReason), *out.EndpointConfigName)
	}
	if v := out.ProductionVariants[0]; *v.VariantName != "all" || *v.CurrentInstanceCount != 2 || *v.DesiredInstanceCount != 2 || *v.CurrentWeight != 1 {
		t.Errorf("the variant is %+v", v)
	}
	if n := len(srv.Runner.Specs()); n != 2 {
		t.Errorf("%d instances run", n)
	}
	got, err := invoke(srv.Access, "photos")
	if err != nil || got.Model != "content of model.txt" {
		t.Errorf("the endpoint answers %v, %v", got, err)
	}
	_, err = invoke(srv.Access, "none")
	wantError(t, err, "ValidationError", "Endpoint none of account 123456789012 not found.")
	_, err = invoke(srv.Access, "photos", func(in *sagemakerruntime.InvokeEndpointInput) { in.TargetVariant = aws.String("none") })
	wantError(t, err, "ValidationError", "Variant none")
	_, err = srv.SageMaker().CreateEndpoint(t.Context(), &sagemaker.CreateEndpointInput{EndpointName: aws.String("photos"), EndpointConfigName: aws.String("config-1")})
	wantError(t, err, "ValidationException", "Cannot create already existing endpoint", *out.EndpointArn)

	// What an endpoint was made from may go; it serves on.
	must(srv.SageMaker().DeleteEndpointConfig(t.Context(), &sagemaker.DeleteEndpointConfigInput{EndpointConfigName: aws.String("config-1")}))(t)
	must(srv.SageMaker().DeleteModel(t.Context(), &sagemaker.DeleteModelInput{ModelName: aws.String("one")}))(t)
	if _, err := invoke(srv.Access, "photos"); err != nil {
		t.Error(err)
	}
	must(srv.SageMaker().DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: aws.String("photos")}))(t)
	awaitGone(t, srv.Access, "photos")
	if specs := srv.Runner.Specs(); len(specs) != 0 {
		t.Errorf("the deleted endpoint leaves %v", specs)
	}
	_, err = invoke(srv.Access, "photos")
	wantError(t, err, "ValidationError", "not found")
}

func awaitGone(t *testing.T, a musher.Access, endpoint string) {
	t.Helper()
	musher.Eventually(t, "endpoint "+endpoint+" is gone", func() bool {
		_, err := a.SageMaker().DescribeEndpoint(background(), &sagemaker.DescribeEndpointInput{EndpointName: &endpoint})
		if err != nil {
			wantError(t, err, "ValidationException", "Could not find endpoint", "endpoint/"+endpoint)
		}
		return err != nil
	})
}

// TestFirstRequest: an endpoint that says InService answers.
func TestFirstRequest(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	putModel(t, lab, "m")
	lab.Config(t, "c", "m", 1)
	var clients sync.WaitGroup
	for i := range 24 {
		clients.Go(func() {
			name := fmt.Sprintf("photos-%d", i)
			sm, runtime := srv.SageMaker(), srv.Runtime()
			in := &sagemaker.CreateEndpointInput{EndpointName: &name, EndpointConfigName: aws.String("c")}
			if _, err := sm.CreateEndpoint(background(), in); err != nil {
				t.Error(err)
				return
			}
			for range 10_000 {
				out, err := sm.DescribeEndpoint(background(), &sagemaker.DescribeEndpointInput{EndpointName: &name})
				if err != nil {
					t.Error(err)
					return
				}
				if out.EndpointStatus == types.EndpointStatusInService {
					break
				}
			}
			if _, err := runtime.InvokeEndpoint(background(), &sagemakerruntime.InvokeEndpointInput{EndpointName: &name, Body: []byte("x")}); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
}

// TestUpdateEndpoint: an endpoint changes its model under load, and no request
// is lost.
func TestUpdateEndpoint(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	putModel(t, lab, "old")
	putModel(t, lab, "new")
	lab.Config(t, "old", "old", 2)
	lab.Config(t, "new", "new", 1)
	lab.Endpoint(t, "photos", "old")
	lab.AwaitEndpoint(t, "photos")

	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	var asked atomic.Int64
	for range 4 {
		clients.Go(func() {
			client := srv.Runtime()
			for ctx.Err() == nil {
				_, err := client.InvokeEndpoint(context.Background(), &sagemakerruntime.InvokeEndpointInput{EndpointName: aws.String("photos"), Body: []byte("x")})
				if err != nil {
					t.Errorf("a request was lost: %v", err)
					return
				}
				asked.Add(1)
			}
		})
	}
	update := func(config string) error {
		_, err := srv.SageMaker().UpdateEndpoint(background(), &sagemaker.UpdateEndpointInput{EndpointName: aws.String("photos"), EndpointConfigName: &config})
		return err
	}
	for _, config := range []string{"new", "old", "new"} {
		if err := update(config); err != nil {
			t.Error(err)
		}
		if err := update(config); err != nil {
			wantError(t, err, "ValidationException", "Cannot update in-progress endpoint")
		}
		out := lab.AwaitEndpoint(t, "photos")
		if out.EndpointStatus != types.EndpointStatusInService || *out.EndpointConfigName != config {
			t.Errorf("after the update to %s the endpoint is %s with %s: %s", config, out.EndpointStatus, *out.EndpointConfigName, aws.ToString(out.FailureReason))
		}
		before := asked.Load()
		musher.Eventually(t, "requests go on", func() bool { return asked.Load() > before+20 || t.Failed() })
	}
	cancel()
	clients.Wait()
	musher.Eventually(t, "the old instances are gone", func() bool { return len(srv.Runner.Specs()) == 1 })
	wantError(t, update("none"), "ValidationException", "Could not find endpoint configuration")
}

// TestBrokenUpdate: an update that cannot work leaves the endpoint as it was.
func TestBrokenUpdate(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t, musher.Doings{Instance: func(ctx context.Context, socket, model string) int {
		if _, err := os.Stat(model + "/bad"); err == nil {
			return 3
		}
		return musher.ModelServer(ctx, socket, model)
	}})
	lab := srv.Lab(t)
	putModel(t, lab, "good")
	putModel(t, lab, "bad")
	lab.Config(t, "good", "good", 1)
	lab.Config(t, "bad", "bad", 1)
	lab.Endpoint(t, "photos", "good")
	lab.AwaitEndpoint(t, "photos")
	must(srv.SageMaker().UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{EndpointName: aws.String("photos"), EndpointConfigName: aws.String("bad")}))(t)
	out := lab.AwaitEndpoint(t, "photos")
	if out.EndpointStatus != types.EndpointStatusInService || *out.EndpointConfigName != "good" || !strings.Contains(aws.ToString(out.FailureReason), "exit code 3") {
		t.Errorf("the endpoint is %s with %s: %q", out.EndpointStatus, *out.EndpointConfigName, aws.ToString(out.FailureReason))
	}
	if _, err := invoke(srv.Access, "photos"); err != nil {
		t.Error(err)
	}
	lab.Endpoint(t, "broken", "bad")
	out = lab.AwaitEndpoint(t, "broken")
	if out.EndpointStatus != types.EndpointStatusFailed || !strings.Contains(aws.ToString(out.FailureReason), "exit code 3") {
		t.Errorf("the endpoint is %s: %q", out.EndpointStatus, aws.ToString(out.FailureReason))
	}
	_, err := invoke(srv.Access, "broken")
	if err == nil {
		t.Error("a failed endpoint answers")
	}
	// A failed endpoint can be mended.
	must(srv.SageMaker().UpdateEndpoint(t.Context(), &sagemaker.UpdateEndpointInput{EndpointName: aws.String("broken"), EndpointConfigName: aws.String("good")}))(t)
	if out = lab.AwaitEndpoint(t, "broken"); out.EndpointStatus != types.EndpointStatusInService || out.FailureReason != nil {
		t.Errorf("the mended endpoint is %s: %q", out.EndpointStatus, aws.ToString(out.FailureReason))
	}
}

// TestBadModels: artifacts that cannot be served, and roles that may not read
// them, make the endpoint fail with the reason.
func TestBadModels(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	blind := srv.NewRole(t, "blind", "")
	outside := srv.Path("outside")
	lab.Upload(t, "models/", map[string][]byte{
		"climbs.tar.gz":   artifact(t, tar.Header{Name: "model.txt"}, tar.Header{Name: "../outside"}),
		"climbs2.tar.gz":  artifact(t, tar.Header{Name: "code/../../../outside"}),
		"absolute.tar.gz": artifact(t, tar.Header{Name: outside}),
		"link.tar.gz":     artifact(t, tar.Header{Name: "way", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, tar.Header{Name: "way/passwd"}),
		"hard.tar.gz":     artifact(t, tar.Header{Name: "way", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"device.tar.gz":   artifact(t, tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}),
		"text.tar.gz":     []byte("this is no archive"),
		"half.tar.gz":     artifact(t, tar.Header{Name: "model.txt"})[:40],
		"good.tar.gz":     artifact(t, tar.Header{Name: "model.txt"}),
	})
	for name, c := range map[string]struct{ key, role, says string }{
		"climbs": {"climbs.tar.gz", lab.Role, "../outside"}, "climbs2": {"climbs2.tar.gz", lab.Role, "outside"},
		"absolute": {"absolute.tar.gz", lab.Role, outside}, "link": {"link.tar.gz", lab.Role, "link"},
		"hard": {"hard.tar.gz", lab.Role, "link"}, "device": {"device.tar.gz", lab.Role, "null"},
		"text": {"text.tar.gz", lab.Role, "unpack"}, "half": {"half.tar.gz", lab.Role, "unpack"},
		"missing": {"none.tar.gz", lab.Role, "NoSuchKey"}, "blind": {"good.tar.gz", blind, "assumed-role/blind"},
	} {
		lab.Role = c.role
		lab.Model(t, name, lab.URI("models/"+c.key))
		lab.Config(t, name, name, 1)
		lab.Endpoint(t, name, name)
		out := lab.AwaitEndpoint(t, name)
		reason := aws.ToString(out.FailureReason)
		if out.EndpointStatus != types.EndpointStatusFailed || !strings.Contains(reason, c.says) || !strings.Contains(reason, lab.URI("models/"+c.key)) {
			t.Errorf("%s: the endpoint is %s: %q; want %q in it", name, out.EndpointStatus, reason, c.says)
		}
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Error("an archive wrote outside of its folder")
	}
	if n := len(srv.Runner.Specs()); n != 0 {
		t.Errorf("%d instances run", n)
	}
}

// TestCrashingInstance: an instance that dies is replaced, and the other one
// takes its requests meanwhile.
func TestCrashingInstance(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	putModel(t, lab, "m")
	lab.Config(t, "c", "m", 2)
	lab.Endpoint(t, "photos", "c")
	lab.AwaitEndpoint(t, "photos")
	for range 3 {
		victim := srv.Runner.Specs()[0].ID
		if err := srv.Runner.Kill(victim); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			// A request that the dead instance had taken may be lost, no other.
			if _, err := invoke(srv.Access, "photos"); err != nil && musher.Code(err) != "ModelError" {
				t.Error(err)
			}
		}
		musher.Eventually(t, "two instances are healthy", func() bool {
			return *lab.DescribeEndpoint(t, "photos").ProductionVariants[0].CurrentInstanceCount == 2
		})
	}
	if out := lab.DescribeEndpoint(t, "photos"); out.EndpointStatus != types.EndpointStatusInService {
		t.Errorf("the endpoint is %s", out.EndpointStatus)
	}
}

// TestServingRestart: instances go on while no server is there, and the first
// request after it is back reaches them.
func TestServingRestart(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	putModel(t, lab, "m")
	lab.Config(t, "c", "m", 1)
	lab.Endpoint(t, "photos", "c")
	lab.AwaitEndpoint(t, "photos")
	if _, err := invoke(srv.Access, "photos"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		srv.Stop()
		srv.Start()
		got, err := invoke(srv.Access, "photos")
		if err != nil || got.Before != int64(i+1) {
			t.Errorf("after restart %d the instance has answered %d requests: %v", i+1, got.Before, err)
		}
	}
}

// TestRetrainedModel: an artifact that is put anew under the same key is
// another model for the next endpoint, and the same one for those that serve.
func TestRetrainedModel(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	lab.Model(t, "m", lab.URI("model.tar.gz"))
	lab.Config(t, "c", "m", 1)
	for _, text := range []string{"first", "second"} {
		lab.Upload(t, "", map[string][]byte{"model.tar.gz": packed(t, map[string]string{"model.txt": text})})
		lab.Endpoint(t, text, "c")
		if out := lab.AwaitEndpoint(t, text); out.EndpointStatus != types.EndpointStatusInService {
			t.Fatal(aws.ToString(out.FailureReason))
		}
	}
	for _, text := range []string{"first", "second"} {
		if got, err := invoke(srv.Access, text); err != nil || got.Model != text {
			t.Errorf("the endpoint %s serves %q: %v", text, got.Model, err)
		}
	}
}

// TestWeights: variants share the requests by their weights.
func TestWeights(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	putModel(t, lab, "m")
	variant := func(name string, weight float32) types.ProductionVariant {
		return types.ProductionVariant{
			VariantName: &name, ModelName: aws.String("m"), InitialInstanceCount: aws.Int32(1), InitialVariantWeight: &weight,
			InstanceType: types.ProductionVariantInstanceTypeMlM5Large,
		}
	}
	must(srv.SageMaker().CreateEndpointConfig(t.Context(), &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: aws.String("c"), ProductionVariants: []types.ProductionVariant{variant("a", 3), variant("b", 1), variant("idle", 0)},
	}))(t)
	lab.Endpoint(t, "photos", "c")
	lab.AwaitEndpoint(t, "photos")
	client := srv.Runtime()
	count := map[string]int{}
	const n = 400
	for range n {
		out := must(client.InvokeEndpoint(t.Context(), &sagemakerruntime.InvokeEndpointInput{EndpointName: aws.String("photos"), Body: []byte("x")}))(t)
		count[*out.InvokedProductionVariant]++
	}
	// 300 are expected, with a deviation of 8.7: six of them are allowed.
	if count["a"] < 248 || count["a"] > 352 || count["idle"] != 0 {
		t.Errorf("of %d requests the variants got %v", n, count)
	}
	out := must(client.InvokeEndpoint(t.Context(), &sagemakerruntime.InvokeEndpointInput{EndpointName: aws.String("photos"), Body: []byte("x"), TargetVariant: aws.String("idle")}))(t)
	if *out.InvokedProductionVariant != "idle" {
		t.Errorf("asked for idle, %s answered", *out.InvokedProductionVariant)
	}
}

// TestLongNames: jobs with names as long as the API allows them; TestMainJob
// has such an endpoint, whose socket is a real one.
func TestLongNames(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	upload(t, lab)
	long := func(what string) string { return what + strings.Repeat("-long", 12)[:62-len(what)] + "x" }
	lab.Train(t, long("job"), nil)
	if job := lab.AwaitTraining(t, long("job")); job.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Errorf("the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
	tune := long("tune")[:31] + "x"
	lab.Tune(t, lab.Tuning(tune, 2, 2, nil))
	checkCounters(t, lab.AwaitTuning(t, tune), 2, 0, 0)
}

func TestModelError(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	lab.Upload(t, "models/", map[string][]byte{"empty.tar.gz": artifact(t, tar.Header{Name: "other.txt"})})
	lab.Model(t, "empty", lab.URI("models/empty.tar.gz"))
	lab.Config(t, "c", "empty", 1)
	lab.Endpoint(t, "photos", "c")
	lab.AwaitEndpoint(t, "photos")
	_, err := invoke(srv.Access, "photos")
	wantError(t, err, "ModelError", "Received server error (500) from primary", "no such file")
	if !is[*runtimetypes.ModelError](err) {
		t.Errorf("the error is %T", err)
	}
}

func TestListHosting(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t)
	lab := srv.Lab(t)
	sm := srv.SageMaker()
	putModel(t, lab, "m-00")
	for i := 1; i < 12; i++ {
		lab.Model(t, fmt.Sprintf("m-%02d", i), lab.URI("models/m-00.tar.gz"))
	}
	for i := range 12 {
		lab.Config(t, fmt.Sprintf("c-%02d", i), "m-00", 1)
		lab.Endpoint(t, fmt.Sprintf("e-%02d", i), "c-00")
	}
	var models, configs, endpoints []string
	for p := sagemaker.NewListModelsPaginator(sm, &sagemaker.ListModelsInput{SortBy: types.ModelSortKeyName, SortOrder: types.OrderKeyAscending}); p.HasMorePages(); {
		for _, m := range must(p.NextPage(t.Context()))(t).Models {
			models = append(models, *m.ModelName)
		}
	}
	for p := sagemaker.NewListEndpointConfigsPaginator(sm, &sagemaker.ListEndpointConfigsInput{}); p.HasMorePages(); {
		for _, c := range must(p.NextPage(t.Context()))(t).EndpointConfigs {
			configs = append(configs, *c.EndpointConfigName)
		}
	}
	for p := sagemaker.NewListEndpointsPaginator(sm, &sagemaker.ListEndpointsInput{NameContains: aws.String("e-0"), MaxResults: aws.Int32(3)}); p.HasMorePages(); {
		for _, e := range must(p.NextPage(t.Context()))(t).Endpoints {
			endpoints = append(endpoints, *e.EndpointName)
		}
	}
	// The newest comes first, unless asked otherwise.
	if len(models) != 12 || models[0] != "m-00" || models[11] != "m-11" {
		t.Errorf("models: %v", models)
	}
	if len(configs) != 12 || configs[0] != "c-11" || configs[11] != "c-00" {
		t.Errorf("configurations: %v", configs)
	}
	if len(endpoints) != 10 || endpoints[0] != "e-09" || endpoints[9] != "e-00" {
		t.Errorf("endpoints: %v", endpoints)
	}
	for i := range 12 {
		must(sm.DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: aws.String(fmt.Sprintf("e-%02d", i))}))(t)
	}
	for i := range 12 {
		awaitGone(t, srv.Access, fmt.Sprintf("e-%02d", i))
	}
}

// TestDeleteWhileCreating: an endpoint that never came up can be deleted, and
// leaves nothing.
func TestDeleteWhileCreating(t *testing.T) {
	t.Parallel()
	srv := musher.InProcess(t, musher.Doings{Instance: func(ctx context.Context, _, _ string) int {
		<-ctx.Done() // it never answers a ping
		return 0
	}})
	lab := srv.Lab(t)
	putModel(t, lab, "m")
	lab.Config(t, "c", "m", 2)
	lab.Endpoint(t, "stuck", "c")
	musher.Eventually(t, "instances start", func() bool { return len(srv.Runner.Specs()) == 2 })
	time.Sleep(50 * time.Millisecond)
	if out := lab.DescribeEndpoint(t, "stuck"); out.EndpointStatus != types.EndpointStatusCreating {
		t.Errorf("the endpoint is %s", out.EndpointStatus)
	}
	must(srv.SageMaker().DeleteEndpoint(t.Context(), &sagemaker.DeleteEndpointInput{EndpointName: aws.String("stuck")}))(t)
	awaitGone(t, srv.Access, "stuck")
	if n := len(srv.Runner.Specs()); n != 0 {
		t.Errorf("%d instances are left", n)
	}
}
