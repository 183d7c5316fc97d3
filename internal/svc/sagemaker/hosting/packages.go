package hosting

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/toolkit"
)

// installMost is how long the packages of a script may take to be installed.
const installMost = time.Hour

// prepare brings all that the pending deployment's instances need. It is done
// with a row that has no such deployment any more only in the next step.
func (f *Family) prepare(ctx context.Context, row *Endpoint) (done bool, err error) {
	if err := f.fetch(ctx, row); err != nil || row.Pending == nil {
		return false, err
	}
	if !row.Pending.Ready.IsZero() {
		return true, nil
	}
	for i := 0; row.Pending != nil && i < len(row.Pending.Variants); i++ {
		if done, err := f.install(ctx, row, i); !done {
			return false, err
		}
	}
	err = f.update(ctx, row, func(now time.Time, e *Endpoint) {
		if e.Pending != nil {
			e.Pending.Ready = now
		}
	})
	return err == nil && row.Pending != nil, err
}

// install puts what a variant's script asks for in requirements.txt into a
// folder beside the model. pip runs as work of its own, in a sandbox that can
// write nothing else; instances see the folder read only, and all that serve
// the same files with the same interpreter share it.
func (f *Family) install(ctx context.Context, row *Endpoint, i int) (done bool, err error) {
	v := &row.Pending.Variants[i]
	requirements := filepath.Join(v.code(), "requirements.txt")
	text, err := os.ReadFile(requirements)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	rt, err := f.Images.Resolve(*v.container().Image)
	if err != nil || rt.Kind != runtimes.Python {
		return err == nil, err
	}
	folder := filepath.Join(f.ModelsDir, named("packages", v.code(), rt.Python, string(text)))
	if _, err := os.Stat(folder); err != nil {
		work := installation{instance{row.Name, row.Pending.Generation, v.Spec.VariantName, -1}, requirements, folder}
		if done, err := f.runPip(ctx, row.Pending, v, rt, work); !done {
			return false, err
		}
	}
	if v.Packages == folder {
		return true, nil
	}
	err = f.update(ctx, row, func(_ time.Time, e *Endpoint) {
		if e.Pending != nil {
			e.Pending.Variants[i].Packages = folder
		}
	})
	return err == nil, err
}

// code is the folder of the variant's script on this machine.
func (v *Variant) code() string {
	if v.Code != "" {
		return v.Code
	}
	return filepath.Join(v.Folder, toolkit.CodeFolder(v.container().Environment[submitDirectory]))
}

// installation is the work that fills a folder.
type installation struct {
	instance
	requirements, folder string
}

// half is where pip writes until it is done.
func (w installation) half() string {
	return filepath.Join(filepath.Dir(w.folder), "installing-"+named(w.id(), w.folder))
}

// runPip takes a step towards the folder: it is there when done.
func (f *Family) runPip(ctx context.Context, d *Deployment, v *Variant, rt runtimes.Runtime, w installation) (done bool, err error) {
	st, err := f.Runner.Inspect(ctx, w.id())
	switch {
	case errors.Is(err, runner.ErrNotFound):
		return false, f.startPip(ctx, v, rt, w)
	case err != nil:
		return false, err
	case !st.Ended() && time.Since(d.Since) > installMost:
		return false, fmt.Errorf("installing %s of variant %s took longer than %v", "requirements.txt", w.variant, installMost)
	case !st.Ended():
		return false, nil
	}
	if st.ExitCode != 0 || st.Phase == runner.Lost {
		return false, errors.New(f.blame("Installing the packages of requirements.txt for", w.instance, st))
	}
	if err := settle(w.half(), w.folder); err != nil {
		return false, err
	}
	return true, errors.Join(f.Runner.Remove(ctx, w.id()), os.RemoveAll(w.half()))
}

func (f *Family) startPip(ctx context.Context, v *Variant, rt runtimes.Runtime, w installation) error {
	tools, err := f.Toolkit()
	if err != nil {
		return err
	}
	dir := w.dir(f.Dir)
	for _, folder := range []string{dir, w.half()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	cmd := toolkit.Packages(rt, tools, w.requirements, w.half())
	env := sagemaker.WorkEnvironment(dir, nil)
	maps.Copy(env, f.Packages.Env)
	maps.Copy(env, cmd.Env)
	f.followLog(ctx, w.instance)
	return f.Runner.Start(ctx, runner.Spec{
		ID: w.id(), Labels: labels(w.instance),
		Command: cmd.Argv, Env: env, Dir: dir, LogPath: w.log(f.Dir),
		Mounts: append(cmd.Mounts, f.Packages.Mounts...), Network: network(v),
	})
}

// step names an instance, or the installation before it.
func (i instance) step() string {
	if i.index < 0 {
		return "packages"
	}
	return strconv.Itoa(i.index)
}
