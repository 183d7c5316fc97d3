//go:build !linux

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/musher/musher/internal/runner"
)

// Runner can't be had on this system: New says so.
type Runner struct{}

var _ runner.Runner = (*Runner)(nil)

var errSystem = fmt.Errorf("process runner: needs Linux: %w", errors.ErrUnsupported)

// New returns an error: supervisors need Linux.
func New(string, Options) (*Runner, error) { return nil, errSystem }

// Supervise returns the exit code 1.
func Supervise(string) int {
	fmt.Fprintln(os.Stderr, errSystem)
	return 1
}

func (*Runner) Close() error                                      { return errSystem }
func (*Runner) StopAll(context.Context, time.Duration) error      { return errSystem }
func (*Runner) Start(context.Context, runner.Spec) error          { return errSystem }
func (*Runner) Stop(context.Context, string, time.Duration) error { return errSystem }
func (*Runner) Remove(context.Context, string) error              { return errSystem }
func (*Runner) List(context.Context) ([]runner.Status, error)     { return nil, errSystem }
func (*Runner) Abilities() runner.Abilities                       { return runner.Abilities{} }
func (*Runner) Inspect(context.Context, string) (runner.Status, error) {
	return runner.Status{}, errSystem
}
func (*Runner) Logs(context.Context, string, bool) (io.ReadCloser, error) { return nil, errSystem }
