//go:build linux

// Command demopicture runs a command on a terminal of its own and writes what
// stands on it at the end as an SVG: the picture in the README.
//
//	make build
//	go run ./docs/demopicture -o docs/demo.svg bin/musher demo --data PHOTOS
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	out := flag.String("o", "docs/demo.svg", "file to write")
	columns := flag.Int("columns", 84, "width of the terminal")
	show := flag.String("show", "", "command line to show in place of the one that is run")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *show == "" {
		*show = strings.Join(flag.Args(), " ")
	}
	if err := draw(*out, *show, *columns, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "demopicture:", err)
		os.Exit(1)
	}
}

func draw(file, show string, columns int, command []string) error {
	printed, err := onTerminal(columns, command)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", show, err, printed)
	}
	s := &screen{}
	s.write("\x1b[32m$\x1b[0m " + show + "\r\n")
	s.write(string(printed))
	return os.WriteFile(file, s.svg(columns), 0o644)
}

// onTerminal runs a command on a pseudo-terminal and returns all that it wrote.
func onTerminal(columns int, command []string) ([]byte, error) {
	master, slave, err := openTerminal(columns)
	if err != nil {
		return nil, err
	}
	defer master.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, slave.Close())
	}
	if err := slave.Close(); err != nil { // the command has it now
		return nil, err
	}
	var printed bytes.Buffer
	_, err = io.Copy(io.MultiWriter(&printed, os.Stdout), master)
	if errors.Is(err, syscall.EIO) { // how a terminal says that nobody is left on it
		err = nil
	}
	return printed.Bytes(), errors.Join(err, cmd.Wait())
}

func openTerminal(columns int) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	size := &unix.Winsize{Row: 60, Col: uint16(columns)}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size))
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open a terminal: %w", err), master.Close())
	}
	return master, slave, nil
}
