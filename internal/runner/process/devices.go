//go:build linux

package process

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner/process/sandbox"
)

// sharedDevices are what every CUDA program opens besides its own GPUs.
var sharedDevices = []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset"}

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
