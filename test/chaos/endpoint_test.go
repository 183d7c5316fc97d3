package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"

	"github.com/musher/musher/test/musher"
)

// instances are the model servers that run for an endpoint: pid → command.
func instances(srv *musher.Server, endpoint string) map[int]string {
	found := musher.Processes(srv.Data)
	maps.DeleteFunc(found, func(_ int, line string) bool {
		return !strings.Contains(line, " serve-model ") || !strings.Contains(line, "/endpoints/"+endpoint+"/")
	})
	return found
}

// trained gives a lab with a model "m" and a configuration "c" of so many
// instances.
func trained(t *testing.T, srv *musher.Server, n int32) *musher.Lab {
	t.Helper()
	lab := srv.Lab(t)
	lab.UploadPictures(t)
	lab.Train(t, "job", map[string]string{"epochs": "30"})
	job := lab.AwaitTraining(t, "job")
	if job.TrainingJobStatus != types.TrainingJobStatusCompleted {
		t.Fatalf("the job is %s: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
	}
	lab.Model(t, "m", *job.ModelArtifacts.S3ModelArtifacts)
	lab.Config(t, "c", "m", n)
	return lab
}

func predict(a musher.Access, endpoint string, picture []byte) ([][]float64, error) {
	out, err := a.Runtime().InvokeEndpoint(context.Background(), &sagemakerruntime.InvokeEndpointInput{
		EndpointName: &endpoint, Body: picture, ContentType: aws.String("application/x-image"),
	})
	if err != nil {
		return nil, err
	}
	var got [][]float64
	return got, json.Unmarshal(out.Body, &got)
}

// TestKillDuringEndpointCreation: the endpoint gets into service after the
// restart, with as many instances as it should have.
func TestKillDuringEndpointCreation(t *testing.T) {
	srv := musher.New(t)
	at := newMoments(t)
	lab := trained(t, srv, 2)
	picture, _ := musher.Picture(t, 0, 99)
	n := rounds(4)
	for i := range n {
		name := fmt.Sprintf("photos-%d", i)
		lab.Endpoint(t, name, "c")
		at.wait(500 * time.Millisecond)
		srv.Kill()
		at.wait(200 * time.Millisecond)
		srv.Restart()
		if out := lab.AwaitEndpoint(t, name); out.EndpointStatus != types.EndpointStatusInService {
			t.Fatalf("%s is %s: %s", name, out.EndpointStatus, aws.ToString(out.FailureReason))
		}
		if _, err := predict(srv.Access, name, picture); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := instances(srv, name); len(got) != 2 {
			t.Errorf("%s has %d instances: %v", name, len(got), got)
		}
	}
	for i := range n {
		name := fmt.Sprintf("photos-%d", i)
		if _, err := lab.SageMaker().DeleteEndpoint(context.Background(), &sagemaker.DeleteEndpointInput{EndpointName: &name}); err != nil {
			t.Error(err)
		}
		if i == n/2 { // in the middle of deletions
			srv.Kill()
			srv.Restart()
		}
	}
	musher.Eventually(t, "all endpoints are gone", func() bool {
		left, err := lab.SageMaker().ListEndpoints(context.Background(), nil)
		return err == nil && len(left.Endpoints) == 0
	})
	for i := range n {
		if left := instances(srv, fmt.Sprintf("photos-%d", i)); len(left) > 0 {
			t.Errorf("a deleted endpoint leaves %v", left)
		}
	}
}

// TestKillDuringUpdate: the endpoint ends up with the new configuration and
// nothing of the old one, and answers whenever there is a server.
func TestKillDuringUpdate(t *testing.T) {
	srv := musher.New(t)
	at := newMoments(t)
	lab := trained(t, srv, 1)
	lab.Config(t, "c2", "m", 2)
	lab.Endpoint(t, "photos", "c")
	lab.AwaitEndpoint(t, "photos")
	picture, _ := musher.Picture(t, 0, 99)
	for i := range rounds(3) {
		config, want := "c2", 2
		if i%2 == 1 {
			config, want = "c", 1
		}
		_, err := lab.SageMaker().UpdateEndpoint(context.Background(), &sagemaker.UpdateEndpointInput{EndpointName: aws.String("photos"), EndpointConfigName: &config})
		if err != nil {
			t.Fatal(err)
		}
		at.wait(600 * time.Millisecond)
		srv.Kill()
		srv.Restart()
		if _, err := predict(srv.Access, "photos", picture); err != nil {
			t.Errorf("right after the restart: %v", err)
		}
		if out := lab.AwaitEndpoint(t, "photos"); out.EndpointStatus != types.EndpointStatusInService || *out.EndpointConfigName != config {
			t.Errorf("the endpoint is %s with %s: %s", out.EndpointStatus, *out.EndpointConfigName, aws.ToString(out.FailureReason))
		}
		musher.Eventually(t, "only the new instances run", func() bool { return len(instances(srv, "photos")) == want })
	}
}

// TestKillWhileServing: the instances go on, and the first request after the
// restart is answered by the same processes.
func TestKillWhileServing(t *testing.T) {
	srv := musher.New(t)
	at := newMoments(t)
	lab := trained(t, srv, 2)
	lab.Endpoint(t, "photos", "c")
	lab.AwaitEndpoint(t, "photos")
	picture, _ := musher.Picture(t, 1, 99)
	want, err := predict(srv.Access, "photos", picture)
	if err != nil {
		t.Fatal(err)
	}
	before := instances(srv, "photos")
	for range rounds(2) {
		done := make(chan struct{})
		go func() { // requests that may or may not be answered
			defer close(done)
			for range 20 {
				if got, err := predict(srv.Access, "photos", picture); err == nil && !same(got, want) {
					t.Errorf("the answer was %v, now it is %v", want, got)
				}
			}
		}()
		at.wait(300 * time.Millisecond)
		srv.Kill()
		<-done
		srv.Restart()
		got, err := predict(srv.Access, "photos", picture)
		if err != nil || !same(got, want) {
			t.Errorf("the first answer after the restart: %v, %v", got, err)
		}
	}
	if after := instances(srv, "photos"); !maps.Equal(before, after) {
		t.Errorf("the instances were %v, now they are %v", before, after)
	}
	out := lab.DescribeEndpoint(t, "photos")
	if v := out.ProductionVariants[0]; out.EndpointStatus != types.EndpointStatusInService || *v.CurrentInstanceCount != 2 {
		t.Errorf("the endpoint is %s with %d instances", out.EndpointStatus, *v.CurrentInstanceCount)
	}
	// After a clean stop they are started again.
	srv.Stop()
	if left := musher.Processes(srv.Data); len(left) > 0 {
		t.Errorf("the stopped server leaves %v", slices.Collect(maps.Values(left)))
	}
	srv.Restart()
	musher.Eventually(t, "the endpoint serves again", func() bool {
		got, err := predict(srv.Access, "photos", picture)
		return err == nil && same(got, want)
	})
}

func same(a, b [][]float64) bool { return slices.EqualFunc(a, b, slices.Equal[[]float64]) }
