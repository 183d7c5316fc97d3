//go:build linux

package process

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// processes gives all processes of the machine by id. One that ends while we
// look is left out.
func processes() (map[int]stat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil {
			all[pid] = st
		}
	}
	return all, nil
}

// descendants gives the processes below root, nearest first.
func descendants(all map[int]stat, root int) []int {
	children := map[int][]int{}
	for pid, st := range all {
		children[st.parent] = append(children[st.parent], pid)
	}
	found := append([]int(nil), children[root]...)
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found
}

// killDescendants kills what it can see below root. What is forked meanwhile
// is found by the next call.
func killDescendants(root int) {
	all, err := processes()
	if err != nil {
		return
	}
	for _, pid := range descendants(all, root) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// killSession kills the processes of a session whose leader has died. The
// session keeps its id from being used again as long as it has members.
func killSession(session int) {
	all, err := processes()
	if err != nil {
		return
	}
	for pid, st := range all {
		if st.session == session && pid != session {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// memoryBelow adds up what the processes below root hold: anonymous and shared
// memory, not pages of files, which the kernel can take back. Pages that
// forked processes still share are counted for each of them.
func memoryBelow(root int) int64 {
	all, err := processes()
	if err != nil {
		return 0
	}
	var sum int64
	for _, pid := range descendants(all, root) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil {
			sum += parseMemory(b)
		}
	}
	return sum
}

// parseMemory reads RssAnon and RssShmem, in bytes, of a /proc/<pid>/status.
func parseMemory(status []byte) int64 {
	var sum int64
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		if string(name) != "RssAnon" && string(name) != "RssShmem" {
			continue
		}
		kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(value, []byte("kB")))), 10, 64)
		if err == nil {
			sum += kib << 10
		}
	}
	return sum
}

// preferToKill makes the kernel end this process, and what it starts, before
// the server, if the machine runs out of memory.
func preferToKill(pid int) {
	// Best effort: it may have ended already.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("500"), 0)
}

// kernelKills tells how many processes the kernel has killed so far because
// memory ran out; 0 if it doesn't count them.
func kernelKills() int64 {
	b, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte("\noom_kill "))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
