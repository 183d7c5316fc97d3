package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/blob"
	"github.com/musher/musher/internal/front"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/cloudwatch"
	"github.com/musher/musher/internal/svc/iam"
	"github.com/musher/musher/internal/svc/logs"
	"github.com/musher/musher/internal/svc/s3"
	"github.com/musher/musher/internal/svc/sagemaker/hosting"
	"github.com/musher/musher/internal/svc/sagemaker/processing"
	"github.com/musher/musher/internal/svc/sagemaker/training"
	"github.com/musher/musher/internal/svc/sagemaker/transform"
	"github.com/musher/musher/internal/svc/sagemaker/tuning"
	"github.com/musher/musher/internal/svc/smruntime"
	"github.com/musher/musher/internal/svc/spot"
	"github.com/musher/musher/internal/svc/sts"
)

const (
	stopRequests = 5 * time.Second  // what open requests get when the server stops
	stopWork     = 10 * time.Second // and jobs and instances, between SIGTERM and SIGKILL
)

// Server is a whole Musher.
type Server struct {
	opts     Options
	lock     *os.File
	listener net.Listener
	front    *front.Door

	db      *state.DB
	blobs   *blob.Store
	runner  runner.Runner
	gateway *awsapi.Gateway
	metrics *metrics

	roles      *roles
	buckets    *s3.Service
	logs       *logs.Service
	measured   *cloudwatch.Service
	training   *training.Family
	tuning     *tuning.Family
	hosting    *hosting.Family
	transform  *transform.Family
	processing *processing.Family
	invoked    *smruntime.Service
	spot       *spot.Service

	wired atomic.Bool // the families exist

	rootKey, rootSecret string
}

// Open builds a server and takes its port and folder. Nothing is answered and
// no work is looked after until Serve.
func Open(ctx context.Context, opts Options) (s *Server, err error) {
	opts.setDefaults()
	s = &Server{opts: opts}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	if err := s.takeFolder(); err != nil {
		return s, err
	}
	if s.opts.Images == nil {
		if s.opts.Images, err = runtimes.Open(s.opts.Data, runtimes.Options{Cache: opts.Cache}); err != nil {
			return s, err
		}
	}
	if s.listener, err = net.Listen("tcp", opts.Listen); err != nil {
		return s, fmt.Errorf("cannot listen on %s: %w (is another server running? choose a port with --listen)", opts.Listen, err)
	}
	if s.db, err = state.Open(s.path("state", "musher.db")); err != nil {
		return s, err
	}
	if s.blobs, err = blob.Open(s.path("blobs")); err != nil {
		return s, err
	}
	if s.runner, err = s.openRunner(ctx); err != nil {
		return s, err
	}
	if err := s.wire(ctx); err != nil {
		return s, err
	}
	s.front, err = front.New(front.Options{Dir: s.path("tls"), Handler: s.handler(), Log: s.opts.Log, Dial: opts.Dial})
	if err != nil {
		return s, err
	}
	return s, s.announce()
}

func (s *Server) path(parts ...string) string {
	return filepath.Join(append([]string{s.opts.Data}, parts...)...)
}

// takeFolder makes sure that one server at most works on a data folder.
func (s *Server) takeFolder() (err error) {
	if s.opts.Data, err = filepath.Abs(s.opts.Data); err != nil {
		return err
	}
	if err := os.MkdirAll(s.opts.Data, 0o700); err != nil {
		return err
	}
	if s.lock, err = os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := lockSoon(s.lock); err != nil {
		return fmt.Errorf("another server has the folder %s open (choose another one with --data): %w", s.opts.Data, err)
	}
	return nil
}

// lockSoon locks a file that nobody else has locked. A process that a killed
// server was about to start still has its files for a moment, so it is tried
// for a while.
func lockSoon(file *os.File) (err error) {
	for range 50 {
		if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// wire makes the services, one after the other, and the gateway in front.
func (s *Server) wire(ctx context.Context) error {
	o, log := s.opts, s.opts.Log
	identity, err := iam.New(ctx, s.db, iam.Options{Account: o.Account, RootAccessKey: o.RootAccessKey, RootSecretKey: o.RootSecretKey, Log: log})
	if err != nil {
		return err
	}
	s.rootKey, s.rootSecret = identity.RootKey()
	tokens := sts.New(sts.Options{Account: o.Account, Identities: identity})
	s.buckets = s3.New(s3.Deps{DB: s.db, Blobs: s.blobs, Authorizer: identity, Log: log})
	if s.logs, err = logs.New(ctx, logs.Deps{DB: s.db, Log: log}); err != nil {
		return err
	}
	s.measured = cloudwatch.New(cloudwatch.Deps{DB: s.db, Account: o.Account, Log: log})
	bucketsAsCaller := &objects{}
	router := serve.NewRouter(serve.Options{})
	if s.roles, err = newRoles(ctx, s.db, tokens, s.runner, s.Endpoint()); err != nil {
		return err
	}
	sm, err := s.wireSageMaker(bucketsAsCaller, router)
	if err != nil {
		return err
	}
	s.spot = spot.New(spot.Deps{DB: s.db, Jobs: spotJobs{s.training}, Log: log})
	s.invoked = smruntime.New(smruntime.Deps{Router: router, Metrics: usage{s.measured}, Log: log})
	s.metrics = newMetrics()
	s.gateway = awsapi.NewGateway(awsapi.Config{
		Account: o.Account, Region: o.Region, Authenticator: identity, Authorizer: identity,
		Log: log, Observe: s.metrics.observe,
	},
		identity.API(),
		tokens.API(),
		s.buckets.API(),
		s.logs.API(),
		s.measured.API(),
		sm,
		s.invoked.API(),
		s.spot.API(),
	)
	bucketsAsCaller.gateway = s.gateway
	return nil
}

// announce writes what `musher env` reads.
func (s *Server) announce() error {
	files := map[string]string{
		"endpoint":    s.Endpoint() + "\n",
		"credentials": fmt.Sprintf("AWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n", s.rootKey, s.rootSecret),
	}
	for name, text := range files {
		half := s.path(name + ".new")
		if err := os.WriteFile(half, []byte(text), 0o600); err != nil {
			return err
		}
		if err := os.Rename(half, s.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// Endpoint is the address that clients use.
func (s *Server) Endpoint() string {
	addr := s.listener.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

// RootKey is the access key of the account's root.
func (s *Server) RootKey() (accessKeyID, secret string) { return s.rootKey, s.rootSecret }

// Serve answers requests and looks after work until ctx ends, then stops in
// order: the network first, the store last.
func (s *Server) Serve(ctx context.Context) error {
	defer s.close()
	if err := s.hosting.Adopt(ctx); err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{s.training.Run, s.tuning.Run, s.hosting.Run, s.transform.Run, s.processing.Run, s.invoked.Run, s.logs.Run, s.spot.Run, s.janitor} {
		work.Go(func() error { return run(ctx) })
	}
	work.Go(func() error { return s.front.Serve(s.listener) })
	work.Go(func() error {
		<-ctx.Done()
		return s.front.Stop(stopRequests)
	})
	err := work.Wait()
	s.stopWork()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// stopper is a runner that can end all its work.
type stopper interface {
	StopAll(ctx context.Context, grace time.Duration) error
}

func (s *Server) stopWork() {
	all, ok := s.runner.(stopper)
	if !ok || s.opts.LeaveWork {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*stopWork)
	defer cancel()
	if err := all.StopAll(ctx, stopWork); err != nil {
		s.opts.Log.Warn("some work did not stop", "error", err)
	}
}

// close gives back what Open took, in the reverse order.
func (s *Server) close() {
	if s.listener != nil {
		s.listener.Close()
	}
	if c, ok := s.runner.(interface{ Close() error }); ok {
		c.Close()
	}
	if s.db != nil {
		s.db.Close()
	}
	if s.blobs != nil {
		s.blobs.Close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}
