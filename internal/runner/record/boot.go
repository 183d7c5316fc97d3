package record

import (
	"os"
	"strings"
)

// BootID names this run of the machine: it changes when the machine restarts.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}
