package toolkit

import (
	"cmp"
	"maps"
	"path/filepath"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
)

// jobFolder is where the SDK's users expect a job's folder.
const jobFolder = "/opt/ml"

// systemPath is where programs lie on any Unix.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// frameworkModules name the parts of AWS's images that run a framework's
// scripts. Nothing of that name is imported here: scripts see it as
// SM_FRAMEWORK_MODULE, and may ask in which image they are.
var frameworkModules = map[string]string{
	"pytorch": "sagemaker_pytorch_container.training:main",
	"sklearn": "sagemaker_sklearn_container.training:main",
	"xgboost": "sagemaker_xgboost_container.training:main",
}

// Trainer is how the Python runtime rt runs the script of a training job whose
// folder the work sees at base. tools is the folder that Install made.
//
// Beside the layout of /opt/ml, base holds the user's code where the job has
// some: its sourcedir.tar.gz as code.tar.gz, or the channel input/data/code.
func Trainer(rt runtimes.Runtime, tools, base string) Command {
	c := inFolder(rt, tools, "train", base)
	if module := frameworkModules[rt.Name]; module != "" {
		c.Env["SAGEMAKER_TRAINING_MODULE"] = module
	}
	return c
}

// Entrypoint is how a job's own command runs with the Python runtime rt, as
// the entry point of a container would. What it installs with pip stays in the
// job's folder.
func Entrypoint(rt runtimes.Runtime, tools, base string, command []string) Command {
	c := inFolder(rt, tools, "enter", base)
	c.Argv = append(c.Argv, command...)
	return c
}

// inFolder runs a module for work that sees its folder at base.
func inFolder(rt runtimes.Runtime, tools, module, base string) Command {
	c := python(rt, tools, module)
	if base != jobFolder {
		c.Env["SAGEMAKER_BASE_DIR"] = base
	}
	return c
}

// python runs a module of the Python package. Isolated (-I) and without
// site-packages (-S), the toolkit starts the faster the more the user has
// installed; the script gets an interpreter of its own.
func python(rt runtimes.Runtime, tools, module string) Command {
	env := maps.Clone(rt.Env)
	if env == nil {
		env = map[string]string{}
	}
	env["PATH"] = rt.Bin + ":" + cmp.Or(env["PATH"], systemPath)
	env["PYTHONUNBUFFERED"] = cmp.Or(env["PYTHONUNBUFFERED"], "1") // as in AWS's images: the log is read as it grows
	return Command{
		Argv:   []string{rt.Python, "-I", "-S", filepath.Join(tools, "musher_toolkit", "start.py"), module},
		Env:    env,
		Mounts: append([]runner.Mount{{Source: tools, ReadOnly: true}}, rt.Mounts...),
	}
}
