package processing

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/svc/sagemaker/channel"
	"github.com/musher/musher/internal/toolkit"
)

// ownCache is where a job's programs keep what they download, below /opt/ml.
const ownCache = ".cache"

// instance is one of the machines that a job asked for, numbered from 1. Here
// each is a piece of work with folders of its own.
type instance int

func (j *Job) instances() []instance {
	all := make([]instance, j.count())
	for n := range all {
		all[n] = instance(n + 1)
	}
	return all
}

func (i instance) host() string { return sagemaker.Host(int(i)) }

func workID(job *Job, i instance) string {
	return fmt.Sprintf("processing.%s.%d.%d", job.Request.ProcessingJobName, job.Attempt, i)
}

func sessionName(job *Job) string { return "SageMaker-" + job.Request.ProcessingJobName }

// home is where everything of a job lies.
func (f *Family) home(job *Job) string { return filepath.Join(f.Dir, job.Request.ProcessingJobName) }

// folder is where everything of an instance lies.
func (f *Family) folder(job *Job, i instance) string { return filepath.Join(f.home(job), i.host()) }

// optFolder is what an instance sees as /opt/ml.
func (f *Family) optFolder(job *Job, i instance) string { return filepath.Join(f.folder(job, i), "ml") }

// localFolder is what an instance sees at a LocalPath.
func (f *Family) localFolder(job *Job, i instance, local string) string {
	return filepath.Join(f.folder(job, i), "local", strconv.Itoa(slices.Index(job.locals(), path.Clean(local))))
}

// logPath is the log of an instance. All attempts write to it, one after the
// other, and the instance's log stream follows it.
func (f *Family) logPath(job *Job, i instance) string {
	return filepath.Join(f.home(job), "log."+i.host())
}

func (f *Family) hostsPath(job *Job) string { return filepath.Join(f.home(job), "hosts") }

// inputs are those that the job does not fetch by itself.
func (j *Job) inputs() []*sagemaker.ProcessingInput {
	return slices.DeleteFunc(slices.Clone(j.Request.ProcessingInputs), func(i *sagemaker.ProcessingInput) bool {
		return sagemaker.Or(i.AppManaged, false)
	})
}

// outputs are those that the job does not take to S3 by itself.
func (j *Job) outputs() []*sagemaker.ProcessingOutput {
	return slices.DeleteFunc(slices.Clone(outputs(&j.Request)), func(o *sagemaker.ProcessingOutput) bool {
		return sagemaker.Or(o.AppManaged, false)
	})
}

// locals are the paths of the job's inputs and outputs, each once. An input
// and an output may share one.
func (j *Job) locals() (all []string) {
	for _, i := range j.inputs() {
		all = append(all, path.Clean(*i.S3Input.LocalPath))
	}
	for _, o := range j.outputs() {
		all = append(all, path.Clean(*o.S3Output.LocalPath))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// layOut makes the folders of an instance anew, empty but for the job's
// configuration.
func (f *Family) layOut(job *Job, i instance) error {
	if err := os.RemoveAll(f.folder(job, i)); err != nil {
		return err
	}
	opt := f.optFolder(job, i)
	folders := []string{filepath.Join(opt, "config"), filepath.Join(opt, "output"), filepath.Join(opt, "processing")}
	for _, local := range job.locals() {
		folders = append(folders, f.localFolder(job, i, local))
	}
	for _, d := range folders {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	for name, content := range map[string]any{
		"processingjobconfig.json": jobConfig(job), "resourceconfig.json": resourceConfig(job, i),
	} {
		raw, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(opt, "config", name), raw, 0o600); err != nil {
			return err
		}
	}
	for n := range job.outputs() {
		// What an earlier attempt has put into S3 stays there, as far as this
		// one does not replace it.
		os.Remove(f.memory(job, i, n))
	}
	return sagemaker.LendWeights(f.Weights, filepath.Join(opt, ownCache, "torch"))
}

// jobConfig is the request as processingjobconfig.json tells it to programs.
func jobConfig(job *Job) map[string]any {
	in := job.Request
	config := map[string]any{
		"ProcessingJobArn": job.ARN, "ProcessingJobName": in.ProcessingJobName, "RoleArn": in.RoleArn,
		"AppSpecification": in.AppSpecification, "Environment": in.Environment, "NetworkConfig": in.NetworkConfig,
		"ProcessingInputs": in.ProcessingInputs, "ProcessingOutputConfig": in.ProcessingOutputConfig,
		"ProcessingResources": in.ProcessingResources, "StoppingCondition": in.StoppingCondition,
	}
	return plain(config).(map[string]any)
}

// plain is what JSON makes of v, without members that have no value.
func plain(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		return v
	}
	return dropNull(out)
}

func dropNull(v any) any {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, member any) bool { return member == nil })
		for name, member := range v {
			v[name] = dropNull(member)
		}
	case []any:
		for n, member := range v {
			v[n] = dropNull(member)
		}
	}
	return v
}

// resourceConfig is what resourceconfig.json tells an instance.
func resourceConfig(job *Job, self instance) map[string]any {
	hosts := []string{}
	for _, i := range job.instances() {
		hosts = append(hosts, i.host())
	}
	kind := sagemaker.Or(job.Request.ProcessingResources.ClusterConfig.InstanceType, "")
	return map[string]any{
		"current_host": self.host(), "hosts": hosts, "network_interface_name": "lo",
		"current_instance_type": kind, "current_group_name": "homogeneousCluster",
		"instance_groups": []any{map[string]any{"instance_group_name": "homogeneousCluster", "instance_type": kind, "hosts": hosts}},
	}
}

// bring copies the inputs of instances into their folders. They are staged on
// the way, so the next job finds them on this machine.
func (f *Family) bring(ctx context.Context, caller *awsapi.Caller, job *Job, to []instance) error {
	for _, in := range job.inputs() {
		whole := ""
		for _, i := range to {
			r := request(job, i, in.S3Input)
			staged := whole
			if staged == "" || r.Sharded {
				var err error
				if staged, err = f.Stage.Bring(ctx, caller, r, func(int64, int64) {}); err != nil {
					return fmt.Errorf("data download failed for input %s: %w", in.InputName, err)
				}
				whole = staged
			}
			if err := copyFolder(ctx, f.localFolder(job, i, *in.S3Input.LocalPath), staged); err != nil {
				return fmt.Errorf("input %s: %w", in.InputName, err)
			}
		}
	}
	return nil
}

// request says what an instance gets of an input: all of it, or its share.
func request(job *Job, i instance, s3 *sagemaker.ProcessingS3Input) channel.Request {
	return channel.Request{
		URI: s3.S3Uri, Type: s3.S3DataType,
		Sharded:  sagemaker.Or(s3.S3DataDistributionType, "") == "ShardedByS3Key",
		Gunzip:   sagemaker.Or(s3.S3CompressionType, "") == "Gzip",
		Instance: int(i) - 1, Instances: job.count(),
	}
}

// spec is the work of an instance. Its own variables win over those of the
// request: a job must not be talked out of its keys.
func (f *Family) spec(job *Job, i instance, rt runtimes.Runtime) (runner.Spec, error) {
	cmd, err := f.command(job, rt)
	if err != nil {
		return runner.Spec{}, err
	}
	env := sagemaker.WorkEnvironment(optML, nil)
	maps.Copy(env, map[string]string{
		"XDG_CACHE_HOME": path.Join(optML, ownCache), "TORCH_HOME": path.Join(optML, ownCache, "torch"),
	})
	maps.Copy(env, f.Packages.Env)
	maps.Copy(env, sagemaker.WorkEnvironment(optML, job.Request.Environment))
	asked := env["PATH"]
	maps.Copy(env, f.Environment)
	maps.Copy(env, cmd.Env)
	if rt.Bin != "" {
		env["PATH"] = rt.Bin + ":" + asked
	}
	maps.Copy(env, f.Roles.Environment(workID(job, i), job.Request.RoleArn, sessionName(job)))
	maps.Copy(env, map[string]string{"AWS_REGION": job.Region, "AWS_DEFAULT_REGION": job.Region})
	return runner.Spec{
		ID:      workID(job, i),
		Labels:  map[string]string{"kind": "processing", "job": job.Request.ProcessingJobName, "host": i.host()},
		Command: cmd.Argv, Env: env, Dir: f.optFolder(job, i), Image: rt.Image, Network: job.network(),
		Mounts:  slices.Concat(cmd.Mounts, f.Packages.Mounts, f.ownMounts(job, i)),
		LogPath: f.logPath(job, i),
	}, nil
}

// command is what the job asked for, with what it needs of the machine.
func (f *Family) command(job *Job, rt runtimes.Runtime) (toolkit.Command, error) {
	argv := slices.Concat(job.Request.AppSpecification.ContainerEntrypoint, job.Request.AppSpecification.ContainerArguments)
	if rt.Kind == runtimes.Container {
		return toolkit.Command{Argv: argv, Env: rt.Env, Mounts: rt.Mounts}, nil
	}
	return f.Toolkit(rt, optML, argv)
}

// ownMounts show an instance /opt/ml, its inputs and outputs where it wants
// them, the names of the others, and the weights.
func (f *Family) ownMounts(job *Job, i instance) []runner.Mount {
	mounts := []runner.Mount{
		{Source: f.optFolder(job, i), Target: optML},
		{Source: f.hostsPath(job), Target: "/etc/hosts", ReadOnly: true},
	}
	for _, local := range job.locals() {
		mounts = append(mounts, runner.Mount{Source: f.localFolder(job, i, local), Target: local})
	}
	if _, err := os.Stat(f.Weights); f.Weights != "" && err == nil {
		mounts = append(mounts, runner.Mount{Source: f.Weights, ReadOnly: true})
	}
	return mounts
}
