package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/demo"
	"github.com/musher/musher/internal/progress"
	"github.com/musher/musher/internal/server"
)

// demoCommand does the main job with a server of its own, which runs in this
// process: so nothing is left when it ends, however it ends, and a server that
// runs already is not touched. Its state stays, for the next run to use.
type demoCommand struct {
	Data     string `help:"Photos: a folder, the address of a zip, or s3://bucket/prefix of a server that runs. Default: MUSHER_DATA, the Udacity dog photos, or handwritten digits." placeholder:"DIR|URL"`
	Trials   int    `help:"Training jobs of the tuning job." default:"12"`
	Parallel int    `help:"Training jobs at the same time." default:"3"`
	Epochs   int    `help:"Epochs of each training job." default:"10"`
	Keep     bool   `help:"Leave the endpoint up until Ctrl-C."`

	State    string `help:"Folder of the demo's own server." env:"MUSHER_DEMO_DIR" default:"${demo}" type:"path" placeholder:"DIR"`
	Listen   string `help:"Address of the demo's own server; port 0 is any free one." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	Endpoint string `help:"Use the server at this address, with the keys of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY." xor:"server" placeholder:"URL"`
	DataDir  string `help:"Use the server that runs on this folder." xor:"server" type:"path" placeholder:"DIR"`
}

func (c demoCommand) Validate() error {
	for name, n := range map[string]int{"trials": c.Trials, "parallel": c.Parallel, "epochs": c.Epochs} {
		if n < 1 {
			return fmt.Errorf("--%s must be 1 at least", name)
		}
	}
	return nil
}

func (c demoCommand) Run(ctx context.Context, g *globals) (err error) {
	// A reader that has gone (| head) would end the process where it stands:
	// with this, writing fails instead, and what was started is stopped.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	report := progress.New(g.err, progress.Options{JSON: g.JSON})
	defer report.Close()
	d := &demoRun{demoCommand: c, globals: g, report: report, fetching: &fetching{}}
	defer func() { err = errors.Join(err, d.stop()) }()
	for _, part := range []func(context.Context) error{d.openProvider, d.findData, d.fetch, d.findServer, d.openBucket} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return d.run(ctx)
}

// run does the job and points at what tells more if it fails.
func (d *demoRun) run(ctx context.Context) error {
	_, err := demo.Run(ctx, demo.Config{
		Client: d.client.Client, Photos: d.photos, Progress: d.report,
		Trials: d.Trials, Parallel: d.Parallel, Epochs: d.Epochs,
		Before: d.before, JobLog: d.jobLog(), Ready: func(r *demo.Result) error { return d.show(ctx, r) },
	})
	var work *demo.WorkError
	if errors.As(err, &work) && d.dir != "" {
		return withHint(err, "`musher logs%s %s` shows what it printed", dataFlag(d.dir), work.Name)
	}
	return d.client.explain(err)
}

// demoRun is a demo under way.
type demoRun struct {
	demoCommand
	*globals
	report   *progress.Reporter
	fetching *fetching
	log      *os.File

	provider *provider
	source   string // an s3:// address whose photos are not yet listed
	photos   *demo.Photos
	client   *client
	dir      string // the server's folder; empty: not known
	before   []demo.StepTime
	stopped  chan error
	halt     context.CancelFunc
}

// openProvider opens the cache, and the log for all that is said behind the
// progress.
func (d *demoRun) openProvider(context.Context) (err error) {
	if err := os.MkdirAll(d.State, 0o700); err != nil {
		return err
	}
	if d.log, err = os.Create(filepath.Join(d.State, "server.log")); err != nil {
		return err
	}
	d.provider, err = newProvider(d.Cache, d.logger(), d.fetching.show)
	return err
}

func (d *demoRun) logger() *slog.Logger { return slog.New(slog.NewTextHandler(d.log, nil)) }

// step runs a part as a step with a name, which shows what is fetched
// meanwhile, and keeps its time.
func (d *demoRun) step(name string, do func() (summary string, err error)) error {
	step := d.report.Step(name)
	d.fetching.in(step)
	summary, err := do()
	d.fetching.in(nil)
	if err != nil {
		step.Fail(err)
		return err
	}
	step.Done("%s", summary)
	d.before = append(d.before, demo.StepTime{Step: name, Seconds: step.Elapsed().Seconds(), Summary: summary})
	return nil
}

// findData brings the photos onto this machine and lists them.
func (d *demoRun) findData(ctx context.Context) error {
	var remark string
	err := d.step("photos", func() (string, error) {
		where, instead, err := demo.NewSources(os.Getenv, d.provider.resolver, d.Cache).Locate(ctx, d.Data)
		if err != nil {
			return "", err
		}
		remark = instead
		if strings.HasPrefix(where, "s3://") {
			d.source = where
			return where, nil
		}
		d.photos, err = demo.OpenFolder(where)
		if err != nil {
			return "", err
		}
		return d.describeData(where), nil
	})
	d.remark(remark)
	return err
}

func (d *demoRun) describeData(where string) string {
	return fmt.Sprintf("%d photos of %d classes, %s, in %s", len(d.photos.All), len(d.photos.Classes), progress.Size(d.photos.Bytes()), where)
}

// remark says what a user may want to know of the photos.
func (d *demoRun) remark(first string) {
	remarks := []string{first}
	if d.photos != nil {
		remarks = append(remarks, d.photos.Remarks...)
	}
	for _, r := range remarks {
		if r != "" {
			d.report.Note("%s", r)
		}
	}
}

// fetch brings what jobs load, so that none of them waits for it unseen.
func (d *demoRun) fetch(ctx context.Context) error {
	return d.step("fetch", func() (string, error) {
		const what = "ONNX Runtime and weights"
		if _, err := d.provider.Training(ctx, nil); err != nil {
			return "", err
		}
		if d.fetching.idle() {
			return what + " are there from before", nil
		}
		return what, nil
	})
}

// findServer uses the server that was named, or starts one.
func (d *demoRun) findServer(ctx context.Context) (err error) {
	switch {
	case d.Endpoint != "":
		conn, _ := environment(os.Getenv)
		if conn.AccessKeyID == "" || conn.SecretAccessKey == "" {
			return withHint(errors.New("--endpoint needs keys"), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `musher env` prints them")
		}
		conn.Endpoint = d.Endpoint
		d.client = newClient(conn)
		return nil
	case d.DataDir != "":
		d.client, err = place{d.DataDir}.connect()
		d.dir = d.DataDir
		return err
	case d.source != "":
		d.client, err = place{defaultData()}.connect()
		return err
	}
	return d.start(ctx)
}

// start runs a server in this process. It outlives an interrupt, so that the
// demo can clear up with it.
func (d *demoRun) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return d.step("server", func() (string, error) {
		ctx, halt := context.WithCancel(context.WithoutCancel(ctx))
		s, err := server.Open(ctx, server.Options{
			Data: d.State, Cache: d.Cache, Listen: d.Listen, Self: []string{self}, Provider: d.provider, Log: d.logger(),
		})
		if err != nil {
			halt()
			return "", err
		}
		d.halt, d.stopped, d.dir = halt, make(chan error, 1), d.State
		go func() { d.stopped <- s.Serve(ctx) }()
		key, secret := s.RootKey()
		d.client = newClient(connection{Endpoint: s.Endpoint(), AccessKeyID: key, SecretAccessKey: secret})
		return s.Endpoint() + ", state in " + tilde(d.State), nil
	})
}

// tilde shortens a path in the home folder.
func tilde(path string) string {
	home, err := os.UserHomeDir()
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok && err == nil {
		return filepath.Join("~", rest)
	}
	return path
}

// stop ends the demo's own server, and waits until its processes are gone.
func (d *demoRun) stop() (err error) {
	if d.halt != nil {
		d.halt()
		err = <-d.stopped
	}
	if d.log != nil {
		err = errors.Join(err, d.log.Close())
	}
	return err
}

// openBucket lists photos that are in the server already.
func (d *demoRun) openBucket(ctx context.Context) (err error) {
	if d.source == "" {
		return nil
	}
	if d.photos, err = demo.OpenBucket(ctx, d.client.Client, d.source); err != nil {
		return d.client.explain(err)
	}
	d.report.Note("%s", d.describeData(d.source))
	d.remark("")
	return nil
}

// jobLog finds the logs of jobs, if the server's folder is known.
func (d *demoRun) jobLog() func(string) string {
	if d.dir == "" {
		return nil
	}
	return func(job string) string { return filepath.Join(d.dir, "jobs", job, "log") }
}

// show prints the result, and with --keep waits.
func (d *demoRun) show(ctx context.Context, r *demo.Result) error {
	d.report.Close()
	if err := d.print(r); err != nil || !d.Keep {
		return err
	}
	fmt.Fprintf(d.err, "\nThe endpoint %s is up. In another terminal:\n  eval \"$(%s)\"\n  musher invoke %s PHOTO\nCtrl-C deletes it and ends.\n",
		r.Endpoint, d.envCommand(), r.Endpoint)
	<-ctx.Done()
	return nil
}

func (d *demoRun) envCommand() string {
	if d.dir == "" {
		return "musher env"
	}
	return "musher env" + dataFlag(d.dir)
}

func (d *demoRun) print(r *demo.Result) error {
	if d.JSON {
		return json.NewEncoder(d.out).Encode(r)
	}
	if _, err := io.WriteString(d.out, "\n"); err != nil {
		return err
	}
	return r.Write(d.out)
}

// fetching shows what the resolver reports in the step of the moment.
type fetching struct {
	mu   sync.Mutex
	step *progress.Step
	seen bool
}

// in makes a step the one that reports go to.
func (f *fetching) in(step *progress.Step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.step, f.seen = step, false
}

// idle says that nothing had to be fetched since.
func (f *fetching) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.seen
}

func (f *fetching) show(p assets.Progress) {
	f.mu.Lock()
	step := f.step
	f.seen = true
	f.mu.Unlock()
	if step == nil {
		return
	}
	switch p.Phase {
	case assets.Waiting:
		step.Detail("%s: another process fetches it", p.Item)
	case assets.Downloading:
		step.Detail("%s from %s", p.Item, p.Source)
	case assets.Unpacking:
		step.Detail("unpacking %s", p.Item)
	case assets.Finished:
		step.Detail("%s", p.Item)
		return
	}
	step.Total(p.Total, "bytes")
	step.Set(p.Done)
}
