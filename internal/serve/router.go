package serve

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Errors of Invoke. What an instance answers is never one of them.
var (
	ErrNoEndpoint = errors.New("endpoint not found")
	ErrNoVariant  = errors.New("variant not found")
	// ErrUnavailable means that no instance could be reached; the request was
	// not processed.
	ErrUnavailable = errors.New("no instance is available")
	// ErrTimeout means that an instance took too long to answer.
	ErrTimeout = errors.New("the model did not answer in time")
	// ErrBroken means that an instance went away in the middle of a request.
	ErrBroken = errors.New("the model server closed the connection")
	// ErrNotReady means that an instance has lost its model and loads it again;
	// the request was not processed.
	ErrNotReady = errors.New("the model is not ready")
	// ErrTooLarge means that the answer is above the limit.
	ErrTooLarge = errors.New("the model's answer is too large")
)

// Request is what a client asks of a model.
type Request struct {
	Variant          string // empty: by weight
	ContentType      string
	Accept           string
	CustomAttributes string
	Body             []byte

	Timeout   time.Duration // 0: the router's
	MaxAnswer int64         // bytes; 0: the router's
}

// Response is what a model answered. Status 200 is success; anything else is
// the model's own error.
type Response struct {
	Status           int
	Variant          string
	ContentType      string
	CustomAttributes string
	Body             []byte
	Took             time.Duration // from the request's way to the instance to the end of its answer
}

// Options bound a router; the zero value has SageMaker's limits.
type Options struct {
	Timeout   time.Duration // of an answer; default 60 s
	MaxAnswer int64         // bytes; default 25 MiB
}

// Router sends requests to instances.
type Router struct {
	opts   Options
	client *http.Client

	table atomic.Pointer[table]
	mu    sync.Mutex // of those who publish
	// busy counts the requests in flight by instance. The counters outlive a
	// publication: an instance that was taken out still drains.
	busy sync.Map // instance ID → *atomic.Int64
}

// table is immutable once it is published.
type table struct {
	endpoints map[string][]Variant
}

// NewRouter returns a router without endpoints.
func NewRouter(opts Options) *Router {
	if opts.Timeout == 0 {
		opts.Timeout = 60 * time.Second
	}
	if opts.MaxAnswer == 0 {
		opts.MaxAnswer = 25 << 20
	}
	r := &Router{opts: opts}
	r.table.Store(&table{})
	r.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			socket, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return dialSocket(ctx, unhost(socket))
		},
		MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}
	return r
}

// Publish replaces the instances of an endpoint; none forgets the endpoint.
func (r *Router) Publish(endpoint string, variants []Variant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.table.Load()
	next := &table{endpoints: maps.Clone(old.endpoints)}
	if next.endpoints == nil {
		next.endpoints = map[string][]Variant{}
	}
	if len(variants) == 0 {
		delete(next.endpoints, endpoint)
	} else {
		next.endpoints[endpoint] = variants
	}
	r.table.Store(next)
}

// Idle tells whether no request is in flight on an instance.
func (r *Router) Idle(in Instance) bool { return r.counter(in.ID).Load() == 0 }

// InFlight counts the requests that a variant's instances work on now.
func (r *Router) InFlight(endpoint, variant string) (n int64) {
	for _, v := range r.table.Load().endpoints[endpoint] {
		if v.Name == variant {
			for _, in := range v.Instances {
				n += r.counter(in.ID).Load()
			}
		}
	}
	return n
}

func (r *Router) counter(id string) *atomic.Int64 {
	if c, ok := r.busy.Load(id); ok {
		return c.(*atomic.Int64)
	}
	c, _ := r.busy.LoadOrStore(id, new(atomic.Int64))
	return c.(*atomic.Int64)
}

// Ping asks an instance whether it can take requests.
func (r *Router) Ping(ctx context.Context, in Instance) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host(in.Socket)+"/ping", nil)
	if err != nil {
		return err
	}
	res, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("ping: %s", res.Status)
	}
	return nil
}

// Invoke sends a request to one of an endpoint's instances. An instance that
// cannot be reached is passed over, since it has not seen the request. Once a
// variant was chosen the response names it, also beside an error.
func (r *Router) Invoke(ctx context.Context, endpoint string, req *Request) (*Response, error) {
	variants, ok := r.table.Load().endpoints[endpoint]
	if !ok {
		return nil, ErrNoEndpoint
	}
	v, err := choose(variants, req.Variant)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(req.Timeout, r.opts.Timeout))
	defer cancel()
	none := &Response{Variant: v.Name}
	tried := map[string]bool{}
	for {
		in := r.leastBusy(v.Instances, tried)
		if in == nil {
			return none, ErrUnavailable
		}
		tried[in.ID] = true
		res, err := r.send(ctx, *in, req)
		var dial *dialError
		switch {
		case errors.As(err, &dial) && ctx.Err() == nil:
			continue
		case err != nil:
			return none, err
		}
		res.Variant = v.Name
		return res, nil
	}
}

// choose picks a variant by name, or at random by weight.
func choose(variants []Variant, name string) (*Variant, error) {
	total := 0.0
	for i, v := range variants {
		if name != "" && v.Name == name {
			return &variants[i], nil
		}
		total += v.Weight
	}
	if name != "" {
		return nil, ErrNoVariant
	}
	at := rand.Float64() * total //nolint:gosec // a fair share needs no secrecy
	for i, v := range variants {
		if at -= v.Weight; at < 0 {
			return &variants[i], nil
		}
	}
	return &variants[len(variants)-1], nil
}

// leastBusy returns the untried instance with the fewest requests in flight;
// equals take turns by chance.
func (r *Router) leastBusy(instances []Instance, tried map[string]bool) (best *Instance) {
	least, equals := int64(0), 0
	for i, in := range instances {
		if tried[in.ID] {
			continue
		}
		n := r.counter(in.ID).Load()
		switch {
		case best == nil || n < least:
			best, least, equals = &instances[i], n, 1
		case n == least:
			if equals++; rand.IntN(equals) == 0 { //nolint:gosec // as above
				best = &instances[i]
			}
		}
	}
	return best
}

func (r *Router) send(ctx context.Context, in Instance, req *Request) (*Response, error) {
	busy := r.counter(in.ID)
	busy.Add(1)
	defer busy.Add(-1)
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host(in.Socket)+"/invocations", bytes.NewReader(req.Body))
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"Content-Type": req.ContentType, "Accept": req.Accept, customAttributes: req.CustomAttributes,
	} {
		if value != "" {
			hr.Header.Set(name, value)
		}
	}
	begin := time.Now()
	res, err := r.client.Do(hr)
	if err != nil {
		return nil, classify(ctx, err)
	}
	defer res.Body.Close()
	if res.Header.Get(notReady) != "" {
		return nil, ErrNotReady
	}
	most := cmp.Or(req.MaxAnswer, r.opts.MaxAnswer)
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return nil, classify(ctx, err)
	case int64(len(body)) > most:
		return nil, ErrTooLarge
	}
	return &Response{
		Status: res.StatusCode, ContentType: res.Header.Get("Content-Type"),
		CustomAttributes: res.Header.Get(customAttributes), Body: body, Took: time.Since(begin),
	}, nil
}

const (
	customAttributes = "X-Amzn-Sagemaker-Custom-Attributes"
	notReady         = "Musher-Not-Ready" // in an answer of an instance, not of its model
)

// classify tells a slow instance from a client that went away and from an
// instance that did.
func classify(ctx context.Context, err error) error {
	var dial *dialError
	switch {
	case errors.As(err, &dial):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return ErrTimeout
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// dialError means that an instance could not be reached at all.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// maxSocketPath is what fits a sockaddr_un.
const maxSocketPath = 107

// dialSocket connects to a Unix socket, also to one whose path is too long for
// the system call: then by way of its open folder.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	if len(path) > maxSocketPath {
		dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, &dialError{err}
		}
		defer dir.Close()
		path = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, &dialError{err}
	}
	return conn, nil
}
