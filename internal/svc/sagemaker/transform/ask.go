package transform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/svc/sagemaker"
)

const (
	defaultTimeout = 600 // seconds for an answer, as on SageMaker
	defaultRetries = 3   // the same
	maxAnswer      = 256 << 20
)

// statusError is an answer of a model that is no success.
type statusError struct {
	code int
	body string // cut
}

func (e *statusError) Error() string {
	return fmt.Sprintf("Bad HTTP status received from algorithm: %d, %s", e.code, e.body)
}

// ask sends a batch, and makes its output out of the answer.
func (r *run) ask(ctx context.Context, records [][]byte) ([]byte, error) {
	sent, err := r.processing.before(records)
	if err != nil {
		return nil, err
	}
	res, err := r.insist(ctx, bytes.Join(sent, []byte("\n")))
	if err != nil {
		return nil, err
	}
	out, err := r.processing.after(records, res.Body, res.ContentType)
	if err != nil {
		return nil, err
	}
	if sagemaker.Or(r.in.TransformOutput.AssembleWith, "None") == "Line" && !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, '\n')
	}
	return out, nil
}

// insist sends a request again where another try may help.
func (r *run) insist(ctx context.Context, body []byte) (*serve.Response, error) {
	timeout, retries := int64(defaultTimeout), int64(defaultRetries)
	if c := r.in.ModelClientConfig; c != nil {
		timeout = sagemaker.Or(c.InvocationsTimeoutInSeconds, timeout)
		retries = sagemaker.Or(c.InvocationsMaxRetries, retries)
	}
	for try := int64(0); ; try++ {
		res, err := r.send(ctx, body, time.Duration(timeout)*time.Second)
		if err == nil || try >= retries || !mayPass(err) {
			return res, err
		}
		if err := pause(ctx, 100*time.Millisecond<<try); err != nil {
			return nil, err
		}
	}
}

// mayPass tells whether a fault may be over at the next try: what a model says
// of its input stays.
func mayPass(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.code >= 500 || status.code == http.StatusTooManyRequests
	}
	return errors.Is(err, serve.ErrTimeout) || errors.Is(err, serve.ErrBroken)
}

// send sends a request once. While no instance can take it, it has not been
// sent: instances that ended come back.
func (r *run) send(ctx context.Context, body []byte, timeout time.Duration) (*serve.Response, error) {
	req := &serve.Request{
		ContentType: sagemaker.Or(r.in.TransformInput.ContentType, ""), Accept: sagemaker.Or(r.in.TransformOutput.Accept, ""),
		Body: body, Timeout: timeout, MaxAnswer: maxAnswer,
	}
	for end := time.Now().Add(timeout); ; {
		res, err := r.Router.Invoke(ctx, r.job.Leased.Address, req)
		none := errors.Is(err, serve.ErrUnavailable) || errors.Is(err, serve.ErrNotReady) || errors.Is(err, serve.ErrNoEndpoint)
		switch {
		case none && time.Now().Before(end):
			if err := pause(ctx, look); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		case res.Status/100 != 2:
			const most = 500 // characters
			return nil, &statusError{res.Status, fmt.Sprintf("%.*s", most, bytes.ToValidUTF8(res.Body, []byte("�")))}
		default:
			return res, nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
