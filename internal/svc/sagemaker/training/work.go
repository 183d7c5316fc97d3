package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/toolkit"
)

// Where jobs find their folder, and within it.
const (
	optML          = "/opt/ml"
	checkpointPath = optML + "/checkpoints"
	codeArchive    = "code.tar.gz"
	ownCache       = ".cache"
)

// place is the folder of an instance: where it lies, and where the instance
// sees it. The two differ where the runner can mount it at /opt/ml.
type place struct{ dir, base string }

func (f *Family) place(job *Job, i instance) place {
	p := place{dir: f.folder(job, i)}
	p.base = p.dir
	if !job.builtin() && f.Runner.Abilities().Remap {
		p.base = optML
	}
	return p
}

func (p place) mapped() bool { return p.dir != p.base }

// hostname is what the other instances of a job call one: its name where
// /etc/hosts can tell what that means, else its address.
func (f *Family) hostname(job *Job, i instance) string {
	if job.builtin() || f.place(job, i).mapped() {
		return i.host()
	}
	return i.address(job)
}

// layOut makes the folder of an instance anew: configuration, input, and empty
// folders for what the instance writes.
func (f *Family) layOut(job *Job, i instance, inputs map[string]string) error {
	p := f.place(job, i)
	if err := os.RemoveAll(p.dir); err != nil {
		return err
	}
	for _, d := range []string{"input/config", "input/data", "model", "output/data", "checkpoints", ownCache + "/torch"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o700); err != nil {
			return err
		}
	}
	for _, c := range channelsFor(job, i) {
		if err := p.input(c.ChannelName, inputs[inputKey(i, c.ChannelName)]); err != nil {
			return err
		}
	}
	for name, content := range map[string]any{
		"hyperparameters.json": orEmpty(job.Request.HyperParameters),
		"inputdataconfig.json": inputDataConfig(job, i),
		"resourceconfig.json":  resourceConfig(job, i, func(other instance) string { return f.hostname(job, other) }),
	} {
		raw, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.dir, "input/config", name), raw, 0o600); err != nil {
			return err
		}
	}
	return sagemaker.LendWeights(f.Weights, filepath.Join(p.dir, ownCache, "torch"))
}

// programs are the channels by which version 3 of the SDK brings the code that
// a job runs. Jobs make its files executable, so these are copies of their own.
func programs(channel string) bool { return channel == "code" || channel == "sm_drivers" }

// input shows a staged folder as a channel. A pipe has none.
func (p place) input(channel, staged string) error {
	at := filepath.Join(p.dir, "input/data", channel)
	switch {
	case staged == "":
		return nil
	case programs(channel):
		return os.CopyFS(at, os.DirFS(staged))
	case p.mapped():
		return os.Mkdir(at, 0o700) // the staged folder is mounted there
	}
	return os.Symlink(staged, at)
}

// inputMounts let an instance see its staged folders.
func (f *Family) inputMounts(job *Job, i instance) (mounts []runner.Mount) {
	p := f.place(job, i)
	for _, c := range channelsFor(job, i) {
		staged := job.Inputs[inputKey(i, c.ChannelName)]
		switch {
		case staged == "" || programs(c.ChannelName):
		case p.mapped():
			mounts = append(mounts, runner.Mount{Source: staged, Target: filepath.Join(p.base, "input/data", c.ChannelName), ReadOnly: true})
		default:
			mounts = append(mounts, runner.Mount{Source: staged, ReadOnly: true})
		}
	}
	return mounts
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func inputDataConfig(job *Job, i instance) map[string]any {
	out := map[string]any{}
	for _, c := range channelsFor(job, i) {
		out[c.ChannelName] = map[string]any{
			"TrainingInputMode":  inputMode(job, c),
			"S3DistributionType": sagemaker.Or(c.DataSource.S3DataSource.S3DataDistributionType, "FullyReplicated"),
			"RecordWrapperType":  sagemaker.Or(c.RecordWrapperType, "None"),
			"ContentType":        sagemaker.Or(c.ContentType, ""),
		}
	}
	return out
}

// submitted is the address of the archive with the user's script, or empty.
// The SDK writes hyperparameters as JSON.
func submitted(job *Job) string {
	uri := job.Request.HyperParameters["sagemaker_submit_directory"]
	var decoded string
	if json.Unmarshal([]byte(uri), &decoded) == nil {
		uri = decoded
	}
	if !strings.HasPrefix(uri, "s3://") {
		return ""
	}
	return uri
}

// maxCode bounds the archive of a user's script.
const maxCode = 2 << 30

// fetchCode brings the archive with the user's script into the job's home, as
// the job's role. It returns the file, or nothing where the job has no script.
func (f *Family) fetchCode(ctx context.Context, caller *awsapi.Caller, job *Job) (path string, err error) {
	uri := submitted(job)
	if uri == "" || job.builtin() {
		return "", nil
	}
	bucket, key, err := sagemaker.SplitS3URI(uri)
	if err != nil {
		return "", err
	}
	body, size, err := f.Objects.Get(ctx, caller, bucket, key)
	if err != nil {
		return "", fmt.Errorf("the script %s cannot be fetched: %w", uri, err)
	}
	defer body.Close()
	if size > maxCode {
		return "", fmt.Errorf("the script %s has %d bytes, more than the %d that are allowed", uri, size, maxCode)
	}
	path = filepath.Join(f.home(job), codeArchive)
	return path, writeFile(path, body)
}

// copyFile gives an instance a file of its own: scripts may change theirs.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeFile(to, in)
}

func writeFile(path string, content io.Reader) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, content)
	return errors.Join(err, out.Close())
}

// keepMemory lets glibc keep what a script frees. PyTorch on CPUs asks for large
// blocks and frees them at every step, and fetching their pages from the kernel
// anew each time can take as long as the arithmetic.
var keepMemory = map[string]string{"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "137438953472"} //nolint:gochecknoglobals // constant

// spec is the work of an instance. Its own variables win over those of the
// request: a job must not be talked out of its own name and keys.
func (f *Family) spec(job *Job, i instance, rt runtimes.Runtime, provided sagemaker.Provision) (runner.Spec, error) {
	p := f.place(job, i)
	cmd, err := f.command(job, p, rt, provided)
	if err != nil {
		return runner.Spec{}, err
	}
	env := sagemaker.WorkEnvironment(p.base, nil)
	maps.Copy(env, map[string]string{
		"XDG_CACHE_HOME": filepath.Join(p.base, ownCache), "TORCH_HOME": filepath.Join(p.base, ownCache, "torch"),
		"MASTER_PORT": strconv.Itoa(job.Port),
	})
	maps.Copy(env, keepMemory)
	maps.Copy(env, f.Packages.Env)
	maps.Copy(env, sagemaker.WorkEnvironment(p.base, job.Request.Environment))
	path := env["PATH"]
	maps.Copy(env, f.Environment)
	maps.Copy(env, cmd.Env)
	if rt.Bin != "" {
		env["PATH"] = rt.Bin + ":" + path // the toolkit's does not know what the job asked for
	}
	maps.Copy(env, f.Roles.Environment(workID(job, i), job.Request.RoleArn, sessionName(job)))
	maps.Copy(env, map[string]string{
		"TRAINING_JOB_NAME": job.Request.TrainingJobName, "TRAINING_JOB_ARN": job.ARN,
		"AWS_REGION": job.Region, "AWS_DEFAULT_REGION": job.Region,
	})
	return runner.Spec{
		ID:      workID(job, i),
		Labels:  map[string]string{"kind": "training", "job": job.Request.TrainingJobName, "host": i.host()},
		Command: cmd.Argv, Env: env, Dir: p.dir, Image: rt.Image, Network: f.network(job),
		Mounts:  slices.Concat(cmd.Mounts, f.ownMounts(job, p), f.inputMounts(job, i)),
		LogPath: f.logPath(job, i),
	}, nil
}

// command is what runs on an instance, with what it needs of the machine.
func (f *Family) command(job *Job, p place, rt runtimes.Runtime, provided sagemaker.Provision) (toolkit.Command, error) {
	asked := job.Request.AlgorithmSpecification
	argv := slices.Concat(asked.ContainerEntrypoint, asked.ContainerArguments)
	switch {
	case job.builtin():
		env := maps.Clone(f.Algorithm.Environment)
		maps.Copy(env, provided.Env)
		return toolkit.Command{
			Argv: append(slices.Clone(f.Algorithm.Command), p.dir), Env: env,
			Mounts: slices.Concat(f.Algorithm.Mounts, provided.Mounts),
		}, nil
	case rt.Kind == runtimes.Container && len(asked.ContainerEntrypoint) > 0:
		return toolkit.Command{Argv: argv, Env: rt.Env, Mounts: rt.Mounts}, nil
	case rt.Kind == runtimes.Container:
		return toolkit.Command{Argv: append([]string{"train"}, argv...), Env: rt.Env, Mounts: rt.Mounts}, nil
	}
	if len(asked.ContainerEntrypoint) == 0 {
		argv = nil
	}
	cmd, err := f.Toolkit(rt, p.base, argv)
	cmd.Mounts = slices.Concat(cmd.Mounts, f.Packages.Mounts)
	return cmd, err
}

// ownMounts show an instance its folder as /opt/ml, the names of the others,
// its checkpoints where it wants them, and the weights.
func (f *Family) ownMounts(job *Job, p place) (mounts []runner.Mount) {
	if p.mapped() {
		mounts = append(mounts,
			runner.Mount{Source: p.dir, Target: p.base},
			runner.Mount{Source: f.hostsPath(job), Target: "/etc/hosts", ReadOnly: true})
	}
	if c := job.Request.CheckpointConfig; c != nil {
		if local := filepath.Clean(sagemaker.Or(c.LocalPath, checkpointPath)); local != checkpointPath {
			mounts = append(mounts, runner.Mount{Source: filepath.Join(p.dir, "checkpoints"), Target: local})
		}
	}
	if _, err := os.Stat(f.Weights); f.Weights != "" && err == nil {
		mounts = append(mounts, runner.Mount{Source: f.Weights, ReadOnly: true})
	}
	return mounts
}

func (f *Family) hostsPath(job *Job) string { return filepath.Join(f.home(job), "hosts") }

// freePort finds a port for the instances of a job to meet at. Jobs share the
// machine's ports, and libraries have one favourite for all of them.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
