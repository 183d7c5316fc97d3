//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// errNoNamespacesForNetwork keeps the promise of runner.NoNetwork where it
// can't be enforced: such work does not start.
var errNoNamespacesForNetwork = errors.New("no network isolation: this machine gives no namespaces, and without them the work could reach the network")

// ProbeNetwork tells why the calling process can't give work a network of its
// own, by making one. It can't tell for a process that will run elsewhere, as
// in another user namespace.
func ProbeNetwork() error {
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends, and its network with it
		made <- enterNetwork()
	}()
	return <-made
}

// enterNetwork gives the calling thread, and what it forks, a network of its
// own: a loopback device that is up, and nothing else. Sockets in the file
// system are not part of it, so those of mounted folders can still be used;
// abstract ones are, so those of the machine can't.
//
// The thread must be locked and must have CAP_SYS_ADMIN and CAP_NET_ADMIN.
func enterNetwork() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("no network isolation: new network namespace: %w", err)
	}
	if err := raiseLoopback(); err != nil {
		return fmt.Errorf("no network isolation: loopback device: %w", err)
	}
	return nil
}

// raiseLoopback sets the device up; the kernel then gives it its addresses.
func raiseLoopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo)
}
