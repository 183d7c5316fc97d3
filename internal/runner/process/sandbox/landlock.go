//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Rights by kind of access. Making device nodes is in none of them: work that
// runs as root could reach the disk through one.
const (
	rightsRead  = ll.AccessFSExecute | ll.AccessFSReadFile | ll.AccessFSReadDir
	rightsWrite = rightsRead | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSRefer |
		ll.AccessFSRemoveDir | ll.AccessFSRemoveFile | ll.AccessFSMakeDir | ll.AccessFSMakeReg |
		ll.AccessFSMakeSock | ll.AccessFSMakeFifo | ll.AccessFSMakeSym
	rightsDevice = ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSIoctlDev
	rightsOfFile = ll.AccessFSExecute | ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSIoctlDev
)

// handled gives the rights that a kernel with this Landlock version checks.
func handled(abi int) uint64 {
	all := uint64(ll.AccessFSMakeSym<<1 - 1)
	if abi >= 2 {
		all |= ll.AccessFSRefer
	}
	if abi >= 3 {
		all |= ll.AccessFSTruncate
	}
	if abi >= 5 {
		all |= ll.AccessFSIoctlDev
	}
	return all
}

// scoped says what may not cross the border of the sandbox: a job that runs
// under the server's own user could otherwise kill the server.
func scoped(abi int) uint64 {
	if abi >= 6 {
		return ll.ScopeAbstractUnixSocket | ll.ScopeSignal
	}
	return 0
}

// restrict puts the calling thread, and what it forks from now on, under the
// rules. It reports false if this kernel has no Landlock. It must run after no
// new privileges has been set, on a locked thread.
func restrict(rules []entry) (bool, error) {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil {
		return false, nil
	}
	attr := ll.RulesetAttr{HandledAccessFS: handled(abi), Scoped: scoped(abi)}
	set, err := ll.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return false, fmt.Errorf("landlock: %w", err)
	}
	defer unix.Close(set)
	for _, e := range rules {
		if err := allow(set, e, attr.HandledAccessFS); err != nil {
			return false, fmt.Errorf("landlock: %s: %w", e.target, err)
		}
	}
	if err := ll.LandlockRestrictSelf(set, 0); err != nil {
		return false, fmt.Errorf("landlock: %w", err)
	}
	return true, nil
}

func allow(set int, e entry, handled uint64) error {
	fd, err := unix.Open(e.target, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing there to give
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	rights := map[access]uint64{readOnly: rightsRead, readWrite: rightsWrite, device: rightsDevice}[e.access] & handled
	if e.file {
		rights &= rightsOfFile
	}
	return ll.LandlockAddPathBeneathRule(set, &ll.PathBeneathAttr{AllowedAccess: rights, ParentFd: fd}, 0)
}

// landlockRules turns the view into rules. Inside a private root everything
// may be read, because nothing else is there; outside it, entry by entry.
func (v *view) landlockRules(isolation Isolation) []entry {
	if isolation == None {
		return append([]entry{{target: "/proc", access: readOnly}}, v.entries...)
	}
	rules := []entry{{target: "/", access: readOnly}, {target: "/dev/shm", access: readWrite}}
	for _, e := range v.entries {
		if e.access != readOnly {
			rules = append(rules, e)
		}
	}
	return rules
}
