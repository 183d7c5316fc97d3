package modelserver

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/serve/fetch"
)

// Config says what is served, and within which bounds. Model, Socket and Library
// are required.
type Config struct {
	Model   string // folder, see package model
	Socket  string // path to listen on; a stale socket there is replaced
	Library string // libonnxruntime

	// Workers and MaxBatch override what the model and the machine suggest.
	Workers  int // runs of the network at the same time
	MaxBatch int // photos in a run

	MaxQueue     int           // photos that wait; default 1024
	MaxBody      int64         // bytes of a request; default 25 MiB, as on SageMaker
	MaxInstances int           // in a request; default 64
	Memory       int64         // bytes of requests and fetched photos held at a time; default 256 MiB
	FetchTimeout time.Duration // of one URL; default 10 s
	DrainTimeout time.Duration // what open requests get at the end; default 25 s

	// Endpoint is where Musher's own buckets are, and Objects reads them with the
	// rights of the execution role. Without them those URLs are refused.
	Endpoint string
	Objects  Objects
	// FetchFrom lists addresses, networks (CIDR) and hosts that photos may be
	// fetched from although they are not public.
	FetchFrom []string

	Log *slog.Logger
}

// Objects reads objects out of buckets. Errors of type *awsapi.Error are shown
// to the client.
type Objects interface {
	Get(ctx context.Context, bucket, key string) (body io.ReadCloser, contentType string, err error)
}

func (c *Config) setDefaults() {
	orElse(&c.MaxQueue, 1024)
	orElse(&c.MaxBody, 25<<20)
	orElse(&c.MaxInstances, 64)
	orElse(&c.Memory, 256<<20)
	orElse(&c.DrainTimeout, 25*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func orElse[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// plan is how a machine's cores are used.
type plan struct {
	workers  int // runs of the network at the same time
	threads  int // of each run
	maxBatch int // photos in a run
	decoders int // photos decoded at the same time
	tensors  int // photos that are decoded, waiting or in a run
}

// newPlan asks the operator, then the model, then the machine. On a CPU one
// single-threaded run per core, one photo each, is the fastest way by far: with
// EfficientNet-Lite0 on two cores 316 photos/s, against 245 in batches of eight
// and 202 in batches of 32.
func newPlan(c Config, hint *model.Serving) plan {
	cores := runtime.GOMAXPROCS(0)
	p := plan{workers: c.Workers, maxBatch: c.MaxBatch, decoders: cores}
	if hint != nil {
		orElse(&p.workers, hint.Workers)
		orElse(&p.maxBatch, hint.MaxBatch)
	}
	orElse(&p.workers, cores)
	orElse(&p.maxBatch, 1)
	p.workers, p.maxBatch = min(p.workers, 256), min(p.maxBatch, 1024) // a hint may be anything
	p.threads = max(1, cores/p.workers)
	// One batch in each worker and the next one gathered, while the decoders fill
	// tensors of their own.
	p.tensors = 2*p.workers*p.maxBatch + p.decoders
	return p
}

// fetchOptions sorts what the operator lists into addresses and names.
func (c Config) fetchOptions() fetch.Options {
	o := fetch.Options{Timeout: c.FetchTimeout, MaxBytes: c.MaxBody}
	for _, entry := range c.FetchFrom {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if p, err := netip.ParsePrefix(entry); err == nil {
			o.AllowCIDRs = append(o.AllowCIDRs, p.Masked())
		} else if a, err := netip.ParseAddr(entry); err == nil {
			o.AllowCIDRs = append(o.AllowCIDRs, netip.PrefixFrom(a, a.BitLen()))
		} else {
			o.AllowHosts = append(o.AllowHosts, entry)
		}
	}
	return o
}
