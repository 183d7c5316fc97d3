package smruntime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/serve"
)

// Service is SageMaker Runtime.
type Service struct {
	Deps
	noted sync.Map // fields that were said to be ignored
	usage usage
}

// New returns the service.
func New(deps Deps) *Service {
	return &Service{Deps: deps, usage: usage{Metrics: deps.Metrics, log: deps.Log, seen: map[series]map[float64]float64{}}}
}

// Run brings the figures of requests to CloudWatch until ctx ends.
func (h *Service) Run(ctx context.Context) error { return h.usage.run(ctx) }

// API is what clients see.
func (h *Service) API() *awsapi.Service {
	s := awsapi.NewService(Model)
	awsapi.Handle(s, "InvokeEndpoint", h.invokeEndpoint, awsapi.Access(func(r *awsapi.Request, in *InvokeEndpointInput) []awsapi.Permission {
		return []awsapi.Permission{{Action: "sagemaker:InvokeEndpoint", Resource: endpointARN(r, in.EndpointName)}}
	}))
	return s
}

func endpointARN(r *awsapi.Request, name string) string {
	return fmt.Sprintf("arn:aws:sagemaker:%s:%s:endpoint/%s", r.Region, r.Account, strings.ToLower(name))
}

func (h *Service) invokeEndpoint(ctx context.Context, in *InvokeEndpointInput) (*InvokeEndpointOutput, error) {
	if err := h.check(in); err != nil {
		return nil, err
	}
	r := awsapi.RequestFrom(ctx)
	res, err := h.Router.Invoke(ctx, in.EndpointName, &serve.Request{
		Variant: value(in.TargetVariant), ContentType: value(in.ContentType), Accept: value(in.Accept),
		CustomAttributes: value(in.CustomAttributes), Body: in.Body,
	})
	h.usage.record(in.EndpointName, r.Time, res, err)
	if err != nil {
		return nil, explain(r, in, err)
	}
	if res.Status != 200 {
		text := strings.TrimSpace(strings.ToValidUTF8(string(res.Body), "�"))
		return nil, modelError(r, in, res.Status, text, fmt.Sprintf("Received %s (%d) from primary with message \"%s\"", whose(res.Status), res.Status, text))
	}
	out := &InvokeEndpointOutput{Body: res.Body, InvokedProductionVariant: &res.Variant}
	if res.ContentType != "" {
		out.ContentType = &res.ContentType
	}
	if res.CustomAttributes != "" {
		out.CustomAttributes = &res.CustomAttributes
	}
	return out, nil
}

// check refuses what would change the answer, and notes what would not.
func (h *Service) check(in *InvokeEndpointInput) error {
	switch {
	case in.TargetModel != nil:
		return awsapi.Errorf("ValidationError", "TargetModel is not supported: the endpoint %s does not serve several models.", in.EndpointName)
	case in.TargetContainerHostname != nil:
		return awsapi.Errorf("ValidationError", "TargetContainerHostname is not supported: the endpoint %s has one container.", in.EndpointName)
	case in.InferenceComponentName != nil:
		return awsapi.Errorf("ValidationError", "InferenceComponentName is not supported yet.")
	}
	for field, set := range map[string]bool{
		"InferenceId": in.InferenceId != nil, "EnableExplanations": in.EnableExplanations != nil,
		"SessionId": in.SessionId != nil, "PrefixAwareId": in.PrefixAwareId != nil,
	} {
		if !set {
			continue
		}
		if _, old := h.noted.LoadOrStore(field, true); !old {
			h.Log.Warn("a field of the request is not acted on", "operation", "InvokeEndpoint", "field", field)
		}
	}
	return nil
}

// explain turns what kept a request from an answer into the service's error.
func explain(r *awsapi.Request, in *InvokeEndpointInput, err error) error {
	switch {
	case errors.Is(err, serve.ErrNoEndpoint):
		return awsapi.Errorf("ValidationError", "Endpoint %s of account %s not found.", in.EndpointName, r.Account)
	case errors.Is(err, serve.ErrNoVariant):
		return awsapi.Errorf("ValidationError", "Variant %s of endpoint %s not found.", value(in.TargetVariant), in.EndpointName)
	case errors.Is(err, serve.ErrUnavailable):
		return awsapi.Errorf("ServiceUnavailable", "No instance of endpoint %s can take requests now. Try again.", in.EndpointName)
	case errors.Is(err, serve.ErrNotReady):
		return awsapi.Errorf("ModelNotReadyException", "The model of endpoint %s is not ready: its server loads it again. The model's log tells why: musher logs %s.", in.EndpointName, in.EndpointName)
	case errors.Is(err, serve.ErrTimeout):
		return modelError(r, in, 504, "", "Received server error (0) from primary with message \"Your invocation timed out while waiting for a response from container primary\"")
	case errors.Is(err, serve.ErrBroken), errors.Is(err, serve.ErrTooLarge):
		return modelError(r, in, 502, err.Error(), fmt.Sprintf("Received server error (0) from primary with message %q", err))
	}
	return err
}

func modelError(r *awsapi.Request, in *InvokeEndpointInput, status int, original, message string) error {
	log := fmt.Sprintf("arn:aws:logs:%s:%s:log-group:/aws/sagemaker/Endpoints/%s", r.Region, r.Account, in.EndpointName)
	return awsapi.Errorf("ModelError", "%s. The model's log tells more: musher logs %s.", message, in.EndpointName).
		With("OriginalStatusCode", status).With("OriginalMessage", original).With("LogStreamArn", log)
}

func whose(status int) string {
	if status < 500 {
		return "client error"
	}
	return "server error"
}

func value(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
