//go:build !linux

package docker

import (
	"fmt"
	"os"
)

// Init returns the exit code 1: containers run Linux.
func Init([]string) int {
	fmt.Fprintln(os.Stderr, "container-init: needs Linux")
	return 1
}
