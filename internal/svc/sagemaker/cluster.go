package sagemaker

import (
	"fmt"
	"hash/fnv"
	"os"
	"strings"
)

// Host is the name of a job's nth machine, from 1, by which logs and
// configuration know it. Here each machine is a piece of work.
func Host(n int) string { return fmt.Sprintf("algo-%d", n) }

// Loopback is where a job's nth machine is on this one: each has a loopback
// address, and those of two jobs differ, so that their ports may be the same.
func Loopback(job string, n int) string {
	h := fnv.New32a()
	h.Write([]byte(job))
	sum := h.Sum32()
	return fmt.Sprintf("127.%d.%d.%d", 16+sum%200, (sum>>8)%256, 1+n)
}

// WriteHosts writes a file to be a job's /etc/hosts: its n machines, and the
// names that this machine knows.
func WriteHosts(path, job string, n int) error {
	known, err := os.ReadFile("/etc/hosts")
	if err != nil || len(known) == 0 {
		known = []byte("127.0.0.1 localhost\n::1 localhost\n")
	}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s %s\n", Loopback(job, i+1), Host(i+1))
	}
	b.Write(known)
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
