//go:build linux

package process

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolation is the way a supervisor is started. The server tries the ways in
// order and remembers the first that works.
type isolation string

const (
	isolationRoot isolation = "pid-namespace"  // as root
	isolationUser isolation = "user-namespace" // as anybody, where the machine allows it
	isolationNone isolation = "none"
)

// isolationVar tells the supervisor which way was taken.
const isolationVar = "MUSHER_ISOLATION"

func isolations(noNamespaces bool) []isolation {
	switch {
	case noNamespaces:
		return []isolation{isolationNone}
	case os.Geteuid() == 0:
		return []isolation{isolationRoot, isolationUser, isolationNone}
	default:
		return []isolation{isolationUser, isolationNone}
	}
}

// attr makes the supervisor the first process of a pid namespace, so that the
// kernel ends the work whenever the supervisor ends, however that comes about.
func (i isolation) attr() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	switch i {
	case isolationRoot:
		a.Cloneflags = syscall.CLONE_NEWPID
	case isolationUser:
		a.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN} // to mount, to set up a network; execve takes away all others
	}
	return a
}
