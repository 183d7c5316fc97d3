//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner"
)

// Isolation is how much of the machine's help is used.
type Isolation int

const (
	// None uses Landlock and dropped privileges only.
	None Isolation = iota
	// Namespaces adds a private root. The caller must be the first process of
	// a pid namespace, with CAP_SYS_ADMIN in its user namespace.
	Namespaces
)

// ErrNoNamespaces is returned if this machine does not allow a private root.
// Nothing has been started then.
var ErrNoNamespaces = errors.New("sandbox: no private root on this machine")

// Config says what to start and what it gets.
type Config struct {
	Command []string          // argv; argv[0] is looked up in Env's PATH
	Env     map[string]string // the whole environment
	Dir     string            // working folder, which the command may write
	Mounts  []runner.Mount
	System  []string // more folders to read, such as the operator's Python
	Devices []string // device files to use, such as /dev/nvidia0
	CPUs    []int    // that the command may use; none: all
	Output  *os.File // gets stdout and stderr

	Isolation Isolation
	NoNetwork bool   // but a loopback device of its own; needs Namespaces and CAP_NET_ADMIN
	Scratch   string // an empty folder of the caller's, for Namespaces
}

// Child is a started command. It is the caller's child process: the caller
// waits for it. It leads a process group of its own, and the kernel kills it if
// the caller dies.
type Child struct {
	PID      int  // in the caller's pid namespace
	Landlock bool // false: this kernel has none
}

// Start starts the command. A program that is not there gives an error that
// is fs.ErrNotExist, one that may not be executed fs.ErrPermission.
func Start(c Config) (Child, error) {
	if c.NoNetwork && c.Isolation == None {
		return Child{}, errNoNamespacesForNetwork
	}
	if err := makeTempFolder(c.Dir); err != nil {
		return Child{}, err
	}
	v, err := plan(c)
	if err != nil {
		return Child{}, err
	}
	program, err := v.lookup(c.Command[0], c.Dir, c.Env["PATH"])
	if errors.Is(err, errNotFound) {
		return Child{}, &notFoundError{err}
	}
	if err != nil {
		return Child{}, err
	}
	if err := setLimits(); err != nil {
		return Child{}, err
	}
	return startOnThread(c, v, program)
}

// notFoundError reads well and still is fs.ErrNotExist.
type notFoundError struct{ error }

func (*notFoundError) Is(target error) bool { return target == fs.ErrNotExist }

// startOnThread confines a thread and forks from it. The thread is never used
// for anything else, and it never ends: the command's parent-death signal is
// bound to it.
func startOnThread(c Config, v view, program string) (Child, error) {
	type result struct {
		child Child
		err   error
	}
	started := make(chan result)
	go func() {
		runtime.LockOSThread()
		child, err := confineAndFork(c, v, program)
		started <- result{child, err}
		if err == nil {
			select {}
		}
	}()
	r := <-started
	return r.child, r.err
}

func confineAndFork(c Config, v view, program string) (Child, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return Child{}, err
	}
	defer null.Close()
	if c.Isolation == Namespaces {
		if err := enterRoot(v, c.Scratch); err != nil {
			return Child{}, err
		}
	}
	if c.NoNetwork {
		if err := enterNetwork(); err != nil {
			return Child{}, err
		}
	}
	if err := bindToCPUs(c.CPUs); err != nil {
		return Child{}, err
	}
	if err := dropPrivileges(); err != nil {
		return Child{}, err
	}
	landlocked, err := restrict(v.landlockRules(c.Isolation))
	if err != nil {
		return Child{}, err
	}
	attr := &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   environ(c),
		Files: []uintptr{null.Fd(), c.Output.Fd(), c.Output.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	pid, err := syscall.ForkExec(program, c.Command, attr)
	if err != nil {
		return Child{}, fmt.Errorf("execute %q: %w", program, err)
	}
	return Child{PID: pid, Landlock: landlocked}, nil
}

// environ is the environment given, and TMPDIR if it was not given: /tmp may
// not be there, and a program that finds no temporary folder breaks.
func environ(c Config) []string {
	env := []string{}
	for name, value := range c.Env {
		env = append(env, name+"="+value)
	}
	if _, given := c.Env["TMPDIR"]; !given {
		env = append(env, "TMPDIR="+TempFolder(c.Dir))
	}
	slices.Sort(env)
	return env
}

// makeTempFolder makes the temporary folder. A link in its place could lead
// anywhere, so it is refused.
func makeTempFolder(dir string) error {
	tmp := TempFolder(dir)
	if err := os.Mkdir(tmp, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("temporary folder: %w", err)
	}
	info, err := os.Lstat(tmp)
	if err != nil {
		return fmt.Errorf("temporary folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("temporary folder: %s: %w", tmp, unix.ENOTDIR)
	}
	return nil
}
