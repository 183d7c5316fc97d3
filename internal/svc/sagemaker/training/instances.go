package training

import (
	"fmt"
	"path/filepath"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// cluster is the name that SageMaker gives the only group of a job that asked
// for none.
const cluster = "homogeneousCluster"

// instance is one of the machines that a job asked for. Here each is a piece of
// work with a folder of its own.
type instance struct {
	Number int // from 1
	Type   string
	Group  string
}

// instances lists the job's machines: those of the first group first.
func (j *Job) instances() (all []instance) {
	for _, g := range j.groups() {
		for range g.InstanceCount {
			all = append(all, instance{Number: len(all) + 1, Type: g.InstanceType, Group: g.InstanceGroupName})
		}
	}
	return all
}

// groups are the instance groups asked for; a plain job is one group.
func (j *Job) groups() []*sagemaker.InstanceGroup {
	res := j.Request.ResourceConfig
	if len(res.InstanceGroups) > 0 {
		return res.InstanceGroups
	}
	return []*sagemaker.InstanceGroup{{
		InstanceType: sagemaker.Or(res.InstanceType, ""), InstanceGroupName: cluster,
		InstanceCount: max(1, sagemaker.Or(res.InstanceCount, 1)),
	}}
}

func (i instance) host() string { return sagemaker.Host(i.Number) }

// address is where the instance is on this machine.
func (i instance) address(job *Job) string { return sagemaker.Loopback(job.ARN, i.Number) }

func workID(job *Job, i instance) string {
	return fmt.Sprintf("training.%s.%d.%d", job.Request.TrainingJobName, job.Attempt, i.Number)
}

// home is where everything of a job lies.
func (f *Family) home(job *Job) string { return filepath.Join(f.Dir, job.Request.TrainingJobName) }

// folder is where an instance works; it has the layout of /opt/ml.
func (f *Family) folder(job *Job, i instance) string {
	return filepath.Join(f.home(job), i.host())
}

// logPath is the log of an instance. All attempts write to it, one after the
// other, and the instance's log stream follows it.
func (f *Family) logPath(job *Job, i instance) string {
	if i.Number == 1 {
		return filepath.Join(f.home(job), "log")
	}
	return filepath.Join(f.home(job), "log."+i.host())
}

func sessionName(job *Job) string { return "SageMaker-" + job.Request.TrainingJobName }

// resourceConfig is what resourceconfig.json tells an instance. name gives the
// address of a host as the instances can reach it.
func resourceConfig(job *Job, self instance, name func(instance) string) map[string]any {
	hosts, groups := []string{}, []map[string]any{}
	all := job.instances()
	for _, i := range all {
		hosts = append(hosts, name(i))
	}
	for _, g := range job.groups() {
		members := []string{}
		for _, i := range all {
			if i.Group == g.InstanceGroupName {
				members = append(members, name(i))
			}
		}
		groups = append(groups, map[string]any{
			"instance_group_name": g.InstanceGroupName, "instance_type": g.InstanceType, "hosts": members,
		})
	}
	return map[string]any{
		"current_host": name(self), "hosts": hosts, "network_interface_name": "lo",
		"current_instance_type": self.Type, "current_group_name": self.Group, "instance_groups": groups,
	}
}
