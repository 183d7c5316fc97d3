//go:build linux

package process

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner/process/sandbox"
)

// sharedDevices are what every CUDA program opens besides its own GPUs.
var sharedDevices = []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset"}

// machineGPUs gives the indices of the GPUs of this machine.
func machineGPUs() []string {
	nodes, _ := filepath.Glob("/dev/nvidia[0-9]*") // the pattern is well formed
	for i, n := range nodes {
		nodes[i] = strings.TrimPrefix(n, "/dev/nvidia")
	}
	return nodes
}

// pickGPUs takes n GPUs that nobody uses, or says why it can't.
func pickGPUs(n int, all []string, used map[string]bool) ([]string, error) {
	free := slices.DeleteFunc(slices.Clone(all), func(g string) bool { return used[g] })
	if n > len(free) {
		return nil, fmt.Errorf("needs %d GPUs: this machine has %d, of which %d are free", n, len(all), len(free))
	}
	return free[:n], nil
}

// machineCPUs gives the CPUs that this process may use.
func machineCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("usable CPUs: %w", err)
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// pickCPUs gives the CPUs for work that may use so many cores, fractions
// rounded up: those that the least other work is bound to. It gives nil if
// there is nothing to limit.
func pickCPUs(cores float64, all []int, load map[int]int) []int {
	n := int(math.Ceil(cores))
	if n <= 0 || n >= len(all) {
		return nil
	}
	byLoad := slices.Clone(all)
	slices.SortStableFunc(byLoad, func(a, b int) int { return cmp.Compare(load[a], load[b]) })
	picked := byLoad[:n]
	slices.Sort(picked)
	return picked
}

// giveGPUs makes the GPUs visible to the command, to be used alone.
func giveGPUs(c *sandbox.Config, gpus []string) {
	if len(gpus) == 0 {
		return
	}
	for _, g := range gpus {
		c.Devices = append(c.Devices, "/dev/nvidia"+g)
	}
	c.Devices = append(c.Devices, sharedDevices...)
	c.Env = maps.Clone(c.Env)
	if c.Env == nil {
		c.Env = map[string]string{}
	}
	c.Env["CUDA_VISIBLE_DEVICES"] = strings.Join(gpus, ",")
}
