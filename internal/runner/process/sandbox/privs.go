//go:build linux

package sandbox

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFiles is the soft limit of open files that the command gets, where the
// hard limit allows: enough for data loaders, low enough for programs that
// close every possible descriptor at their start.
const openFiles = 65536

// keptCapabilities let work that runs as root handle files of any owner inside
// its view, as unpacking an archive does. Everything else that root may do
// (mount, trace, load modules, set the clock, open raw sockets …) is dropped.
var keptCapabilities = []uint{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID}

// setLimits changes the limits of the whole process: they are harmless to the
// supervisor, and limits can't be set for one thread.
func setLimits() error {
	if err := syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("core limit: %w", err)
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("open files limit: %w", err)
	}
	files.Cur = min(files.Max, openFiles)
	if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("open files limit: %w", err)
	}
	return nil
}

// bindToCPUs keeps the calling thread, and what it forks, on the given CPUs.
// Unlike a share of time it needs no cgroup, and programs that ask how many
// CPUs there are start as many threads as they may use.
func bindToCPUs(cpus []int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bind to CPUs %v: %w", cpus, err)
	}
	return nil
}

// dropPrivileges makes the calling thread, and what it forks, unable to gain
// any privilege, also by executing a set-user-id program.
func dropPrivileges() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("ambient capabilities: %w", err)
	}
	kept := mask(keptCapabilities)
	for c := uint(0); c <= unix.CAP_LAST_CAP; c++ {
		if kept&(1<<c) != 0 {
			continue
		}
		// Without CAP_SETPCAP this fails; then there is nothing to drop either.
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
	}
	if err := limitCapabilities(kept); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	return nil
}

// limitCapabilities takes from the calling thread every capability not kept.
func limitCapabilities(kept uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for i := range data {
		half := uint32(kept >> (32 * i))
		data[i].Permitted &= half
		data[i].Effective &= half
		data[i].Inheritable = 0
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return nil
}

func mask(capabilities []uint) uint64 {
	var m uint64
	for _, c := range capabilities {
		m |= 1 << c
	}
	return m
}
