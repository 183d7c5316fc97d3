package docker

import (
	"cmp"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/musher/musher/internal/runner"
)

// Where a container finds what Init needs.
const (
	initTarget    = "/.musher/init" // the binary
	loaderTarget  = "/.musher/loader"
	libraryTarget = "/.musher/lib"
	workTarget    = "/.musher/work" // the folder of records, to be read only
	logTarget     = "/.musher/log"
)

// Labels of our containers.
const (
	labelRunner = "musher.runner"
	labelWork   = "musher.work"
)

// creation is the engine's description of a container to be.
type creation struct {
	Image      string
	Entrypoint []string
	Cmd        []string
	Env        []string
	WorkingDir string
	User       string
	Labels     map[string]string
	HostConfig hostConfig
}

type hostConfig struct {
	Mounts         []mount
	NetworkMode    string
	NanoCPUs       int64 `json:"NanoCpus,omitempty"`
	Memory         int64 `json:",omitempty"`
	MemorySwap     int64 `json:",omitempty"`
	ShmSize        int64
	CapDrop        []string
	SecurityOpt    []string
	LogConfig      logConfig
	DeviceRequests []deviceRequest `json:",omitempty"`
}

type mount struct {
	Type     string
	Source   string
	Target   string
	ReadOnly bool
}

type logConfig struct {
	Type   string
	Config map[string]string
}

type deviceRequest struct {
	Driver       string
	DeviceIDs    []string
	Capabilities [][]string
}

// droppedCapabilities go beyond the engine's own list: raw sockets could read
// what others of the machine send, and device nodes reach its disks.
var droppedCapabilities = []string{"NET_RAW", "MKNOD", "AUDIT_WRITE"}

// sharedMemory is what data loaders of several processes pass batches in; the
// engine's default of 64 MiB is too little for photos. It is a limit, not taken.
const sharedMemory = 4 << 30

// machine is what of this machine a container's description depends on.
type machine struct {
	cpus     int
	uid, gid int
	runner   string // our name with the engine
	first    firstProcess
}

// describe turns work into the container that carries it out. dir is the work's
// folder of records.
func (m machine) describe(l launch, dir, logPath string) creation {
	spec := l.Spec
	c := creation{
		Image:      l.Image,
		Entrypoint: m.first.entrypoint(),
		Cmd:        append([]string{strconv.FormatInt(l.LogLimit, 10), "--"}, spec.Command...),
		WorkingDir: spec.Dir,
		User:       strconv.Itoa(m.uid) + ":" + strconv.Itoa(m.gid),
		Labels:     maps.Clone(spec.Labels),
		HostConfig: hostConfig{
			Mounts: mounts(spec), NetworkMode: "host", ShmSize: sharedMemory,
			CapDrop: droppedCapabilities, SecurityOpt: []string{"no-new-privileges"},
			// What Init says of itself: a line or two.
			LogConfig: logConfig{Type: "json-file", Config: map[string]string{"max-size": "1m"}},
		},
	}
	for name, value := range spec.Env {
		c.Env = append(c.Env, name+"="+value)
	}
	slices.Sort(c.Env)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	c.Labels[labelRunner], c.Labels[labelWork] = m.runner, spec.ID
	c.HostConfig.Mounts = append(append(c.HostConfig.Mounts, m.first.mounts()...),
		mount{Type: "bind", Source: dir, Target: workTarget, ReadOnly: true},
		mount{Type: "bind", Source: logPath, Target: logTarget})
	if spec.Network == runner.NoNetwork {
		c.HostConfig.NetworkMode = "none"
	}
	m.limit(&c.HostConfig, l)
	return c
}

func (m machine) limit(h *hostConfig, l launch) {
	if cpu := min(l.Spec.CPU, float64(m.cpus)); cpu > 0 {
		const least = 0.01 // the engine's
		h.NanoCPUs = int64(math.Ceil(max(cpu, least) * 1e9))
	}
	if l.Spec.Memory > 0 {
		h.Memory, h.MemorySwap = l.Spec.Memory, l.Spec.Memory // the same: no swap
		h.ShmSize = min(h.ShmSize, l.Spec.Memory)
	}
	if len(l.GPUs) > 0 {
		h.DeviceRequests = []deviceRequest{{Driver: "nvidia", DeviceIDs: l.GPUs, Capabilities: [][]string{{"gpu"}}}}
	}
}

// mounts gives the folders of the work, the last of each target.
func mounts(spec runner.Spec) []mount {
	last := map[string]mount{}
	for _, m := range append(slices.Clone(spec.Mounts), runner.Mount{Source: spec.Dir}) {
		target := filepath.Clean(cmp.Or(m.Target, m.Source))
		last[target] = mount{Type: "bind", Source: m.Source, Target: target, ReadOnly: m.ReadOnly}
	}
	return slices.SortedFunc(maps.Values(last), func(a, b mount) int { return cmp.Compare(a.Target, b.Target) })
}
