package blob

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// helper names the part that a copy of the test binary plays.
const helper = "BLOB_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helper) {
	case "put":
		putForever(os.Getenv("BLOB_TEST_DIR"))
	case "full":
		if err := fillDisk(os.Getenv("BLOB_TEST_DIR")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func helperCommand(part, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helper+"="+part, "BLOB_TEST_DIR="+dir)
	return cmd
}

// putForever puts blobs from four goroutines and prints the ID and the number
// of each one that is acknowledged.
func putForever(dir string) {
	s, err := Open(dir)
	if err != nil {
		panic(err)
	}
	for i := range 4 {
		go func() {
			for n := i; ; n += 4 {
				info, err := s.Put(context.Background(), bytes.NewReader(numbered(n)), Options{})
				if err != nil {
					panic(err)
				}
				fmt.Println(info.ID, n)
			}
		}()
	}
	select {}
}

// numbered returns bytes that differ with n, sometimes more than one chunk.
func numbered(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d,", n), 1000+(n%7)*20000)
}

func TestKilledWhilePutting(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[ID]int{}
	for range 3 {
		cmd := helperCommand("put", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for seen := 0; lines.Scan(); seen++ {
			if seen == 40 {
				cmd.Process.Signal(syscall.SIGKILL)
			}
			if id, n, ok := strings.Cut(lines.Text(), " "); ok {
				acknowledged[ID(id)], _ = strconv.Atoi(n)
			}
		}
		cmd.Wait()
	}
	if len(acknowledged) < 120 {
		t.Fatalf("only %d puts were acknowledged", len(acknowledged))
	}
	s := open(t, dir)
	for id, n := range acknowledged {
		want := numbered(n)
		if got := get(t, s, []Part{{id, int64(len(want))}}, 0, int64(len(want))); !bytes.Equal(got, want) {
			t.Errorf("blob %s, number %d, changed", id, n)
		}
	}
	if _, err := s.Sweep(func(id ID) bool { _, ok := acknowledged[id]; return ok }); err != nil {
		t.Fatal(err)
	}
	if n := len(files(t, dir)); n != len(acknowledged) {
		t.Errorf("%d files for %d blobs", n, len(acknowledged))
	}
}

// fillDisk mounts a small file system over dir and puts until it is full.
func fillDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		return fmt.Errorf("skip: mount: %w", err)
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	small, err := s.Put(context.Background(), bytes.NewReader(make([]byte, 1<<20)), Options{})
	if err != nil {
		return err
	}
	if _, err := s.Put(context.Background(), bytes.NewReader(make([]byte, 8<<20)), Options{}); !errors.Is(err, ErrNoSpace) {
		return fmt.Errorf("a put into a full disk: %w", err)
	}
	entries, err := os.ReadDir(s.tmpDir())
	if err != nil || len(entries) > 0 {
		return fmt.Errorf("left behind: %v, %v", entries, err)
	}
	if err := s.Delete(small.ID); err != nil {
		return err
	}
	_, err = s.Put(context.Background(), bytes.NewReader(make([]byte, 1<<20)), Options{})
	return err
}

func TestDiskFull(t *testing.T) {
	cmd := helperCommand("full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.HasPrefix(string(out), "skip: ") {
		t.Skipf("no small file system can be mounted here: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
