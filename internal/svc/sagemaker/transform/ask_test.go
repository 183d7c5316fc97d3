package transform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// model answers as a function.
type model func(ctx context.Context, try int, body string) (*serve.Response, error)

// router counts the requests.
type router struct {
	model
	tries chan int
}

func (r router) Invoke(ctx context.Context, _ string, req *serve.Request) (*serve.Response, error) {
	n := <-r.tries
	r.tries <- n + 1
	return r.model(ctx, n, string(req.Body))
}

// running is a job of so many requests at once that asks a model.
func running(width int, m model, change func(*sagemaker.CreateTransformJobInput)) *run {
	line := "Line"
	in := &sagemaker.CreateTransformJobInput{
		TransformInput:  &sagemaker.TransformInput{SplitType: &line},
		TransformOutput: &sagemaker.TransformOutput{AssembleWith: &line},
	}
	change(in)
	r := router{m, make(chan int, 1)}
	r.tries <- 0
	return &run{Family: &Family{Deps: Deps{Router: r}}, job: &Job{}, in: in, slots: make(chan struct{}, width)}
}

func ok(text string) (*serve.Response, error) {
	return &serve.Response{Status: 200, Body: []byte(text)}, nil
}

// TestInsist: what may pass is tried again, as often as was asked for; what the
// model says of its input is not; and instances that come back are waited for.
func TestInsist(t *testing.T) {
	for name, c := range map[string]struct {
		model  model
		tries  int
		took   time.Duration
		answer string // or, after "! ", what the error says
	}{
		"at once": {func(context.Context, int, string) (*serve.Response, error) { return ok("yes") }, 1, 0, "yes"},
		"faults pass": {func(_ context.Context, try int, _ string) (*serve.Response, error) {
			if try < 2 {
				return &serve.Response{Status: 503, Body: []byte("busy")}, nil
			}
			return ok("yes")
		}, 3, 300 * time.Millisecond, "yes"},
		"faults stay": {func(context.Context, int, string) (*serve.Response, error) {
			return &serve.Response{Status: 500, Body: []byte("broken")}, nil
		}, 3, 300 * time.Millisecond, "! received from algorithm: 500, broken"},
		"instances die": {func(context.Context, int, string) (*serve.Response, error) {
			return nil, fmt.Errorf("%w: EOF", serve.ErrBroken)
		}, 3, 300 * time.Millisecond, "! closed the connection"},
		"refused": {func(context.Context, int, string) (*serve.Response, error) {
			return &serve.Response{Status: 400, Body: []byte("bad row")}, nil
		}, 1, 0, "! 400, bad row"},
		"nobody for a while": {func(_ context.Context, try int, _ string) (*serve.Response, error) {
			if try < 40 {
				return nil, serve.ErrUnavailable
			}
			return ok("yes")
		}, 41, 2 * time.Second, "yes"},
		"nobody": {func(context.Context, int, string) (*serve.Response, error) { return nil, serve.ErrUnavailable }, 201, 10 * time.Second, "! no instance"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := running(1, c.model, func(in *sagemaker.CreateTransformJobInput) {
				seconds, retries := int64(10), int64(2)
				in.ModelClientConfig = &sagemaker.ModelClientConfig{InvocationsTimeoutInSeconds: &seconds, InvocationsMaxRetries: &retries}
			})
			begin := time.Now()
			res, err := r.insist(t.Context(), []byte("x"))
			got := ""
			if res != nil {
				got = string(res.Body)
			}
			if !wanted(got, err, c.answer) {
				t.Errorf("%s: %q, %v; want %q", name, got, err, c.answer)
			}
			if n := <-r.Router.(router).tries; n != c.tries || time.Since(begin) != c.took {
				t.Errorf("%s: %d tries in %v, want %d in %v", name, n, time.Since(begin), c.tries, c.took)
			}
		})
	}
}

// TestPump: answers are written in the order of the records, whichever comes
// first, with as many requests in flight as there are slots.
func TestPump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flying, most := make(chan int, 1), 0
		flying <- 0
		r := running(3, func(_ context.Context, try int, body string) (*serve.Response, error) {
			n := <-flying + 1
			most = max(most, n)
			flying <- n
			time.Sleep(time.Duration(3-try%3) * time.Second)
			flying <- <-flying - 1
			return ok("<" + body + ">")
		}, func(in *sagemaker.CreateTransformJobInput) {
			one := "SingleRecord"
			in.BatchStrategy = &one
		})
		var in, want, out bytes.Buffer
		for i := range 50 {
			fmt.Fprintf(&in, "record %d\n", i)
			fmt.Fprintf(&want, "<record %d>\n", i)
		}
		if err := r.pump(t.Context(), &in, &out); err != nil || out.String() != want.String() {
			t.Errorf("%v: %q", err, &out)
		}
		if most != 3 {
			t.Errorf("%d requests were in flight, want 3", most)
		}
	})
}

// TestPumpGivesUp: a record that fails ends its object, also while others hang.
func TestPumpGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := running(2, func(ctx context.Context, _ int, body string) (*serve.Response, error) {
			if body == "bad" {
				return &serve.Response{Status: 422}, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}, func(in *sagemaker.CreateTransformJobInput) {
			one := "SingleRecord"
			in.BatchStrategy = &one
		})
		var status *statusError
		err := r.pump(t.Context(), strings.NewReader("hangs\nbad\nmore\nmore\nmore\n"), new(bytes.Buffer))
		if !errors.As(err, &status) || status.code != 422 {
			t.Errorf("it ended with %v", err)
		}
		if len(r.slots) != 0 {
			t.Errorf("%d slots are still taken", len(r.slots))
		}
	})
}
