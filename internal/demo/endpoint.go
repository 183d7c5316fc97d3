package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/awsapi/awsclient"
	"github.com/musher/musher/internal/progress"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/smruntime"
)

// deploy puts the best trial's model behind an endpoint.
func (r *run) deploy(ctx context.Context) error {
	return r.step("endpoint", func(s *progress.Step) (string, error) {
		if err := r.createEndpoint(ctx); err != nil {
			return "", err
		}
		err := every(ctx, look/4, func() (bool, error) {
			e, err := r.describeEndpoint(ctx)
			if err != nil {
				return false, err
			}
			s.Detail("%s", e.EndpointStatus)
			switch e.EndpointStatus {
			case "InService":
				return true, nil
			case "Creating":
				return false, nil
			}
			return false, &WorkError{name, e.EndpointStatus, or(e.FailureReason, "")}
		})
		r.result.Endpoint = name
		return name + " is in service with the best trial's model", err
	})
}

func (r *run) createEndpoint(ctx context.Context) error {
	_, err := awsclient.Do[sagemaker.CreateModelOutput](ctx, r.Client, sagemaker.Model, "CreateModel", &sagemaker.CreateModelInput{
		ModelName: name, ExecutionRoleArn: &r.role,
		PrimaryContainer: &sagemaker.ContainerDefinition{Image: new(runtimes.ImageClassification), ModelDataUrl: &r.best.model},
	})
	if err != nil {
		return err
	}
	_, err = awsclient.Do[sagemaker.CreateEndpointConfigOutput](ctx, r.Client, sagemaker.Model, "CreateEndpointConfig", &sagemaker.CreateEndpointConfigInput{
		EndpointConfigName: name,
		ProductionVariants: []*sagemaker.ProductionVariant{{
			VariantName: "best", ModelName: new(name), InstanceType: new("ml.m5.large"),
			InitialInstanceCount: new(int64(1)), InitialVariantWeight: new(1.0),
		}},
	})
	if err != nil {
		return err
	}
	_, err = awsclient.Do[sagemaker.CreateEndpointOutput](ctx, r.Client, sagemaker.Model, "CreateEndpoint", &sagemaker.CreateEndpointInput{EndpointName: name, EndpointConfigName: name})
	return err
}

func (r *run) describeEndpoint(ctx context.Context) (*sagemaker.DescribeEndpointOutput, error) {
	return awsclient.Do[sagemaker.DescribeEndpointOutput](ctx, r.Client, sagemaker.Model, "DescribeEndpoint", &sagemaker.DescribeEndpointInput{EndpointName: name})
}

// removeEndpoint deletes the endpoint, its configuration and its model, those
// of them that are there, and waits until the endpoint is gone.
func (r *run) removeEndpoint(ctx context.Context) error {
	_, err := awsclient.Do[sagemaker.DeleteEndpointOutput](ctx, r.Client, sagemaker.Model, "DeleteEndpoint", &sagemaker.DeleteEndpointInput{EndpointName: name})
	if err == nil {
		err = every(ctx, look, func() (bool, error) {
			_, err := r.describeEndpoint(ctx)
			return gone(err), unlessGone(err)
		})
	}
	_, err2 := awsclient.Do[sagemaker.DeleteEndpointConfigOutput](ctx, r.Client, sagemaker.Model, "DeleteEndpointConfig", &sagemaker.DeleteEndpointConfigInput{EndpointConfigName: name})
	_, err3 := awsclient.Do[sagemaker.DeleteModelOutput](ctx, r.Client, sagemaker.Model, "DeleteModel", &sagemaker.DeleteModelInput{ModelName: name})
	return errors.Join(unlessGone(err), unlessGone(err2), unlessGone(err3))
}

// gone is how SageMaker says that there is no such thing.
func gone(err error) bool { return is(err, "ValidationException") }

func unlessGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}

// photoSeed chooses the photo whose labels are shown.
const photoSeed = 1

// predict asks the endpoint about one held-out photo in both ways, then about
// all of them.
func (r *run) predict(ctx context.Context) error {
	return r.step("predict", func(s *progress.Step) (string, error) {
		photos := r.Photos.Part(test)
		s.Total(int64(len(photos)), "photos")
		if err := r.predictOne(ctx, photos[rand.New(rand.NewPCG(photoSeed, 0)).IntN(len(photos))]); err != nil {
			return "", err
		}
		began := time.Now()
		right, err := r.predictAll(ctx, s, photos)
		if err != nil {
			return "", err
		}
		rate := float64(len(photos)) / time.Since(began).Seconds()
		r.result.TestPhotos, r.result.TestRight = len(photos), right
		r.result.TestAccuracy = float64(right) / float64(len(photos))
		return fmt.Sprintf("%d of %d test photos right (%.0f photos/s)", right, len(photos), rate), nil
	})
}

// predictOne sends a photo as bytes, and as an address for the endpoint to read
// itself: a presigned URL of the bucket.
func (r *run) predictOne(ctx context.Context, f Photo) error {
	body, err := r.read(ctx, f)
	if err != nil {
		return err
	}
	byBytes, err := r.labels(ctx, contentType(f.Name), body)
	if err != nil {
		return err
	}
	url, err := r.Client.Presign(s3.Model, "GetObject", &s3.GetObjectInput{Bucket: name, Key: r.Photos.Key(f)}, time.Hour)
	if err != nil {
		return err
	}
	request, err := json.Marshal(map[string]string{"url": url})
	if err != nil {
		return err
	}
	byURL, err := r.labels(ctx, "application/json", request)
	if err != nil {
		return fmt.Errorf("by URL: %w", err)
	}
	r.result.Example = Example{Photo: f.Name, Class: f.Class, Labels: byBytes, SameByURL: same(byBytes, byURL)}
	return nil
}

// labels asks for the five best labels.
func (r *run) labels(ctx context.Context, kind string, body []byte) ([]Label, error) {
	out, err := r.invoke(ctx, kind, "top_k=5", body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Predictions []Label `json:"predictions"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("the endpoint's answer cannot be read: %w", err)
	}
	return answer.Predictions, nil
}

func (r *run) invoke(ctx context.Context, kind, attributes string, body []byte) ([]byte, error) {
	in := &smruntime.InvokeEndpointInput{EndpointName: name, ContentType: &kind, Body: body}
	if attributes != "" {
		in.CustomAttributes = &attributes
	}
	out, err := awsclient.Do[smruntime.InvokeEndpointOutput](ctx, r.Client, smruntime.Model, "InvokeEndpoint", in)
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// same compares two answers; a batch of another size may change the last digits.
func same(a, b []Label) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Label != b[i].Label || math.Abs(a[i].Probability-b[i].Probability) > 1e-4 {
			return false
		}
	}
	return true
}

// predictAll counts the photos whose best class is their own.
func (r *run) predictAll(ctx context.Context, s *progress.Step, photos []Photo) (right int, err error) {
	var hits atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * runtime.NumCPU()) // one photo is decoded while another one is in the network
	for _, f := range photos {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			hit, err := r.isRight(ctx, f)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			if hit {
				hits.Add(1)
			}
			s.Add(1)
			return nil
		})
	}
	err = group.Wait()
	return int(hits.Load()), err
}

// isRight reads the plain answer: log probabilities in the order of the
// classes, in a batch of one.
func (r *run) isRight(ctx context.Context, f Photo) (bool, error) {
	body, err := r.read(ctx, f)
	if err != nil {
		return false, err
	}
	out, err := r.invoke(ctx, contentType(f.Name), "", body)
	if err != nil {
		return false, err
	}
	var answer [][]float64
	if err := json.Unmarshal(out, &answer); err != nil || len(answer) != 1 || len(answer[0]) != len(r.Photos.Classes) {
		return false, fmt.Errorf("the endpoint's answer is not one row of %d log probabilities: %.80s", len(r.Photos.Classes), out)
	}
	best := 0
	for i, p := range answer[0] {
		if p > answer[0][best] {
			best = i
		}
	}
	return r.Photos.Classes[best] == f.Class, nil
}
