//go:build linux

package process

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

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
