//go:build linux

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/runner/record"
)

// identity names one process for ever: process ids are used again, but not
// with the same start time, and start times are counted from a boot.
type identity struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"` // clock ticks since the boot
	BootID string `json:"boot_id"`
}

// self gives the calling process's identity as others see it. In a pid
// namespace os.Getpid would not tell; /proc is the outer one's there.
func self() (identity, error) {
	name, err := os.Readlink("/proc/self")
	if err != nil {
		return identity{}, err
	}
	pid, err := strconv.Atoi(name)
	if err != nil {
		return identity{}, err
	}
	st, err := readStat(pid)
	if err != nil {
		return identity{}, err
	}
	boot, err := record.BootID()
	return identity{PID: pid, Start: st.start, BootID: boot}, err
}

// stat is what we need of /proc/<pid>/stat.
type stat struct {
	state   byte // 'Z': ended, its parent has not asked yet
	parent  int
	session int
	start   uint64
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

// parseStat reads the fields after the program's name, which may itself hold
// spaces and parentheses.
func parseStat(b []byte) (stat, error) {
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	if end < 0 || len(fields) < 20 {
		return stat{}, fmt.Errorf("process status %q: too short", b)
	}
	parent, err1 := strconv.Atoi(fields[1])
	session, err2 := strconv.Atoi(fields[3])
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	return stat{state: fields[0][0], parent: parent, session: session, start: start}, errors.Join(err1, err2, err3)
}

// process is a hold on a running process that is not fooled by a reuse of its
// id. It costs one descriptor and no thread.
type process struct{ fd *os.File }

// find gives the process that id names, or false if it has ended.
func find(id identity) (*process, bool, error) {
	fd, err := unix.PidfdOpen(id.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("watch process %d: %w", id.PID, err)
	}
	p := &process{os.NewFile(uintptr(fd), "pidfd")}
	st, err := readStat(id.PID)
	if err != nil || st.start != id.Start || st.state == 'Z' {
		p.close()
		return nil, false, nil
	}
	return p, true, nil
}

// wait returns nil when the process has ended, or an error after close.
func (p *process) wait() error {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, 0)
		return err == nil && n > 0
	})
}

// signal reports an ended process as os.ErrProcessDone.
func (p *process) signal(s unix.Signal) error {
	conn, err := p.fd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), s, nil, 0) }); err != nil {
		return err
	}
	if errors.Is(sent, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return sent
}

func (p *process) close() { p.fd.Close() }
