// Package gpu finds the GPUs of this machine and shares them out, whole.
package gpu

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// All gives the indices of the GPUs of this machine.
func All() []string {
	nodes, _ := filepath.Glob("/dev/nvidia[0-9]*") // the pattern is well formed
	for i, n := range nodes {
		nodes[i] = strings.TrimPrefix(n, "/dev/nvidia")
	}
	return nodes
}

// Pick takes n GPUs that nobody uses, or says why it can't.
func Pick(n int, all []string, used map[string]bool) ([]string, error) {
	free := slices.DeleteFunc(slices.Clone(all), func(g string) bool { return used[g] })
	if n > len(free) {
		return nil, fmt.Errorf("needs %d GPUs: this machine has %d, of which %d are free", n, len(all), len(free))
	}
	return free[:n], nil
}
