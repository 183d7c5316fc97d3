package hosting

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/toolkit"
)

// command is how an instance of a variant is run, by the kind of its image.
func (f *Family) command(ctx context.Context, d *Deployment, v *Variant, in instance) (toolkit.Command, error) {
	image := *v.container().Image
	rt, err := f.Images.Resolve(image)
	switch {
	case err != nil:
		return toolkit.Command{}, err
	case rt.Kind == runtimes.Builtin:
		return f.builtin(ctx, v, in)
	case rt.Kind == runtimes.Python:
		return f.script(d, v, in, rt)
	}
	return toolkit.Command{}, fmt.Errorf("the image %s cannot be run here", image)
}

func (f *Family) builtin(ctx context.Context, v *Variant, in instance) (toolkit.Command, error) {
	provided, err := f.Builtin.Provide(ctx)
	if err != nil {
		return toolkit.Command{}, err
	}
	env := maps.Clone(f.Builtin.Environment)
	maps.Copy(env, provided.Env)
	return toolkit.Command{
		Argv:   append(slices.Clone(f.Builtin.Command), v.Folder, in.target(f.Dir).Socket),
		Env:    env,
		Mounts: slices.Concat([]runner.Mount{{Source: v.Folder, ReadOnly: true}}, f.Builtin.Mounts, provided.Mounts),
	}, nil
}

// script serves the user's script. It finds its model at the path that it has
// in the cloud, where this machine can show it there.
func (f *Family) script(d *Deployment, v *Variant, in instance, rt runtimes.Runtime) (toolkit.Command, error) {
	tools, err := f.Toolkit()
	if err != nil {
		return toolkit.Command{}, err
	}
	s := toolkit.Serving{
		Model: v.Folder, Code: v.Code, Packages: v.Packages, Socket: in.target(f.Dir).Socket,
		Workers: workers(d, v), Loading: f.healthTimeout(d),
	}
	model := runner.Mount{Source: v.Folder, ReadOnly: true}
	if f.Runner.Abilities().Remap {
		s.Model, model.Target = toolkit.ModelFolder, toolkit.ModelFolder
	}
	cmd := toolkit.Server(rt, tools, s)
	cmd.Mounts = append(cmd.Mounts, model)
	for _, folder := range []string{v.Code, v.Packages} {
		if folder != "" {
			cmd.Mounts = append(cmd.Mounts, runner.Mount{Source: folder, ReadOnly: true})
		}
	}
	if v.container().Environment["TORCH_HOME"] != "" {
		return cmd, nil
	}
	return cmd, f.lendWeights(in, &cmd)
}

// lendWeights gives an instance a TORCH_HOME of its own with what is at hand.
func (f *Family) lendWeights(in instance, cmd *toolkit.Command) error {
	home := filepath.Join(in.dir(f.Dir), "torch")
	cmd.Env["TORCH_HOME"] = home
	if _, err := os.Stat(f.Weights); err != nil {
		return nil // there is none
	}
	cmd.Mounts = append(cmd.Mounts, runner.Mount{Source: f.Weights, ReadOnly: true})
	return sagemaker.LendWeights(f.Weights, home)
}

// workers is an instance's share of this machine's cores, and no more than the
// instance has in the cloud: each worker holds a copy of the model.
func workers(d *Deployment, v *Variant) int {
	instances := 0
	for _, v := range d.Variants {
		instances += v.Desired
	}
	share := max(1, runtime.NumCPU()/max(1, instances))
	if v.Spec.InstanceType != nil {
		share = min(share, cores(*v.Spec.InstanceType))
	}
	return share
}

// cores is how many virtual cores an instance type has, by its size: 2 where it
// does not say.
func cores(instanceType string) int {
	size := instanceType[strings.LastIndex(instanceType, ".")+1:]
	times, ok := strings.CutSuffix(size, "xlarge")
	if !ok {
		return 2
	}
	n, err := strconv.Atoi(times)
	if err != nil {
		return 4
	}
	return 4 * n
}

func network(v *Variant) runner.Network {
	if v.Isolated {
		return runner.NoNetwork
	}
	return ""
}

// labels are by which the runner's work is known to be this endpoint's.
func labels(in instance) map[string]string {
	return map[string]string{"kind": "endpoint", "endpoint": in.endpoint, "variant": in.variant}
}
