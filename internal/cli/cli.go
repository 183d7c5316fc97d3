// Package cli is the command line: one file per command.
//
// A command writes what was asked for to standard output and everything else
// to standard error. With --json both are JSON: the answer as one value, the
// progress as one object a line. Errors end in a hint where there is one.
//
// Exit codes: 0 done, 1 it failed, 2 the command line was wrong, 130 it was
// interrupted.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/musher/musher/internal/runtimes"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// globals are the flags that every command takes.
type globals struct {
	Cache string `help:"Folder of weights, libraries and computed features." env:"MUSHER_CACHE" default:"${cache}" type:"path" placeholder:"DIR"`
	JSON  bool   `help:"Write JSON: the answer as one value, progress as one object a line." name:"json"`

	out io.Writer // answers
	err io.Writer // progress, notes and errors
}

// commands is the command line.
type commands struct {
	globals

	Up       upCommand       `cmd:"" help:"Run the server: one port for all services."`
	Env      envCommand      `cmd:"" help:"Print the variables that point AWS clients at the server."`
	Demo     demoCommand     `cmd:"" help:"Do the main job once: upload photos, train, tune, deploy, predict."`
	Ls       lsCommand       `cmd:"" help:"List jobs, models, endpoints, buckets, or the objects in a bucket."`
	Describe describeCommand `cmd:"" help:"Show one job, model, endpoint or bucket."`
	Tune     tuneCommand     `cmd:"" help:"List, show and watch tuning jobs."`
	Logs     logsCommand     `cmd:"" help:"Print what a training job or an endpoint has written."`
	Invoke   invokeCommand   `cmd:"" help:"Send a photo to an endpoint and print the best labels."`
	Fetch    fetchCommand    `cmd:"" help:"Fetch libraries and weights ahead of time, and print where they lie."`
	Spot     spotCommand     `cmd:"" help:"Rehearse what spot instances do: go away in the middle of a job."`
	Runtime  runtimeCommand  `cmd:"" help:"Tell and change what runs for container images."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	Train      trainCommand      `cmd:"" hidden:"" help:"Run the built-in algorithm on a job's folder (started by the server)."`
	ServeModel serveModelCommand `cmd:"" hidden:"" help:"Answer for a model on a Unix socket (started by the server)."`
}

// Main runs a command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	var c commands
	c.out, c.err = stdout, stderr
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("musher"),
		kong.Description("The SageMaker and Lambda workflow on machines you own."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.Vars{"data": defaultData(), "cache": defaultCache(), "demo": defaultData() + "-demo", "fetchable": strings.Join(fetchable(), ", "), "recipes": strings.Join(runtimes.Recipes(), ", ")},
	)
	if err != nil {
		panic(err) // the command line above is malformed
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help has been answered
	}
	if err != nil {
		fmt.Fprintf(stderr, "musher: %v\n(musher --help lists the commands)\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	parsed.BindTo(ctx, (*context.Context)(nil))
	return report(&c.globals, parsed.Run(&c.globals))
}

// exitError ends the command with a code of its own, without a word.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// hinter is an error that knows what to do about it.
type hinter interface{ Hint() string }

// hinted is an error with a hint of its own.
type hinted struct {
	error
	hint string
}

func (e *hinted) Hint() string  { return e.hint }
func (e *hinted) Unwrap() error { return e.error }

func withHint(err error, format string, args ...any) error {
	return &hinted{err, fmt.Sprintf(format, args...)}
}

func report(g *globals, err error) int {
	var code exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(g.err, "musher: interrupted")
		return exitInterrupted
	}
	fmt.Fprintf(g.err, "musher: %v\n", err)
	var h hinter
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintf(g.err, "hint: %s\n", h.Hint())
	}
	return exitFailed
}

func defaultData() string {
	if dir, err := os.UserHomeDir(); err == nil {
		return filepath.Join(dir, ".musher")
	}
	return ".musher"
}

func defaultCache() string {
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "musher")
	}
	return filepath.Join(os.TempDir(), "musher-cache")
}
