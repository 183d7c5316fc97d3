//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// enterRoot gives the calling thread a root file system of its own that holds
// the view, /proc of its pid namespace, a small /dev and nothing else. The
// thread must be locked and must have CAP_SYS_ADMIN in its user namespace.
// scratch is an empty folder over which the new root is mounted for a moment.
//
// An error is ErrNoNamespaces if the machine is to blame, and nothing that the
// spec or earlier work did: those must not talk us into less isolation.
func enterRoot(v view, scratch string) error {
	root, err := newRoot(scratch)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	}
	defer unix.Close(root)
	for _, e := range v.entries {
		err := bind(root, e)
		if err != nil && !e.given {
			return fmt.Errorf("%w: mount %s at %s: %w", ErrNoNamespaces, e.source, e.target, err)
		}
		if err != nil {
			return fmt.Errorf("mount %s at %s: %w", e.source, e.target, err)
		}
	}
	for _, l := range v.links {
		if err := symlink(root, l); err != nil {
			return fmt.Errorf("link %s: %w", l.at, err)
		}
	}
	if err := switchRoot(scratch); err != nil {
		return fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	}
	return nil
}

// newRoot mounts an empty root with /proc and /dev at scratch and opens it.
func newRoot(scratch string) (int, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return -1, fmt.Errorf("new mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return -1, fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=755"); err != nil {
		return -1, fmt.Errorf("mount new root: %w", err)
	}
	root, err := unix.Open(scratch, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open new root: %w", err)
	}
	if err := errors.Join(mountProc(root), fillDev(root)); err != nil {
		unix.Close(root)
		return -1, err
	}
	return root, nil
}

// mountProc gives a /proc of the command's own processes. It is read-only:
// what root may write there (core_pattern, sysrq) reaches the whole machine.
func mountProc(root int) error {
	at, err := makePoint(root, "/proc", false)
	if err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	defer unix.Close(at)
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY)
	if err := unix.Mount("proc", fdPath(at), "proc", flags, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// fillDev makes what /dev needs besides the devices themselves, which are
// entries of the view.
func fillDev(root int) error {
	at, err := makePoint(root, "/dev/shm", false)
	if err != nil {
		return fmt.Errorf("/dev/shm: %w", err)
	}
	defer unix.Close(at)
	if err := unix.Mount("tmpfs", fdPath(at), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	links := []link{{"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"}}
	for _, l := range links {
		if err := symlink(root, l); err != nil {
			return fmt.Errorf("link %s: %w", l.at, err)
		}
	}
	return nil
}

// bind shows e.source at e.target, with all that is mounted below it.
func bind(root int, e entry) error {
	at, err := makePoint(root, e.target, e.file)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if err := unix.Mount(e.source, fdPath(at), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if e.access != device {
		attr.Attr_set |= unix.MOUNT_ATTR_NODEV
	}
	if e.access == readOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	// The descriptor still means the covered point: the path finds the mount.
	mounted, err := openBeneath(root, e.target)
	if err != nil {
		return err
	}
	defer unix.Close(mounted)
	if err := unix.MountSetattr(mounted, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("set mount flags: %w", err)
	}
	return nil
}

// openBeneath opens target below root. It follows no link: the work of an
// earlier run could have left one that leads out of its folder.
func openBeneath(root int, target string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	return unix.Openat2(root, strings.TrimPrefix(target, "/"), &how)
}

// makePoint opens target below root as a mount point, and makes what is missing
// of it: folders on the way, and an empty file or folder at its end.
func makePoint(root int, target string, file bool) (int, error) {
	at, err := unix.Dup(root)
	if err != nil {
		return -1, err
	}
	parts := strings.FieldsFunc(target, func(r rune) bool { return r == '/' })
	for i, name := range parts {
		next, err := step(at, name, file && i == len(parts)-1)
		unix.Close(at)
		if err != nil {
			return -1, fmt.Errorf("mount point /%s: %w", strings.Join(parts[:i+1], "/"), err)
		}
		at = next
	}
	return at, nil
}

func step(at int, name string, file bool) (int, error) {
	if next, err := openBeneath(at, name); !errors.Is(err, unix.ENOENT) {
		return next, err
	}
	if err := makeNode(at, name, file); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	return openBeneath(at, name)
}

func makeNode(at int, name string, file bool) error {
	if !file {
		return unix.Mkdirat(at, name, 0o755)
	}
	fd, err := unix.Openat(at, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func symlink(root int, l link) error {
	parent, err := makePoint(root, filepath.Dir(l.at), false)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := unix.Symlinkat(l.to, parent, filepath.Base(l.at)); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// switchRoot makes root the calling thread's "/" and lets go of the old one.
func switchRoot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("enter new root: %w", err)
	}
	// With both arguments the same, the old root lies on top of the new one
	// and is unmounted from there: no folder for it is needed.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter new root: %w", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return fmt.Errorf("make new root read-only: %w", err)
	}
	return nil
}

func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }
