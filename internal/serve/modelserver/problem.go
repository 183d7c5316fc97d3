package modelserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/musher/musher/internal/serve/batch"
	"github.com/musher/musher/internal/serve/fetch"
	"github.com/musher/musher/internal/vision"
)

// problem is an error as the client sees it.
type problem struct {
	status int
	text   string
	hint   string
	cause  error // for the log only; may be nil
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.cause }

func problemf(status int, format string, args ...any) *problem {
	return &problem{status: status, text: fmt.Sprintf(format, args...)}
}

func (p *problem) withHint(hint string) *problem {
	p.hint = hint
	return p
}

// at says which of several photos it is about.
func (p *problem) at(place string) *problem {
	q := *p
	q.text = place + ": " + p.text
	return &q
}

// statusGone is for the metrics: the client had gone, nobody sees it.
const statusGone = 499

func busy(what string) *problem {
	return problemf(http.StatusServiceUnavailable, "ThrottlingError: %s", what).
		withHint("try again in a moment, or give the endpoint more instances")
}

// explain makes a problem of any error. What the client cannot know of stays inside.
func explain(err error) *problem {
	var p *problem
	var f *fetch.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &f):
		return explainFetch(f)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &problem{status: statusGone, text: "the client has gone", cause: err}
	case errors.Is(err, batch.ErrFull):
		return busy("too many photos are waiting")
	case errors.Is(err, batch.ErrClosed):
		return problemf(http.StatusServiceUnavailable, "the instance is stopping").withHint("try again: another instance answers")
	case errors.Is(err, vision.ErrFormat), errors.Is(err, vision.ErrCorrupt):
		return problemf(http.StatusBadRequest, "%s", strings.TrimPrefix(err.Error(), "vision: ")).
			withHint("send a whole JPEG, PNG, WebP or GIF file")
	case errors.Is(err, vision.ErrTooLarge):
		return problemf(http.StatusRequestEntityTooLarge, "%s", strings.TrimPrefix(err.Error(), "vision: ")).
			withHint("scale the photo down: the model looks at a few hundred pixels a side")
	}
	return &problem{status: http.StatusInternalServerError, text: "the model server failed", hint: "its log tells more", cause: err}
}

func explainFetch(f *fetch.Error) *problem {
	status := http.StatusFailedDependency
	switch f.Kind {
	case fetch.ErrForbiddenURL, fetch.ErrForbiddenAddress: //nolint:errorlint // kinds are compared, nothing wraps them
		status = http.StatusBadRequest
	case fetch.ErrTooLarge:
		status = http.StatusRequestEntityTooLarge
	}
	return &problem{status: status, text: fmt.Sprintf("fetch %s: %v: %s", f.URL, f.Kind, f.Detail), hint: f.Hint, cause: f}
}
