package runnertest

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Program carries out steps as a real process and gives the exit code.
func Program(steps []string) int {
	for _, step := range steps {
		verb, rest, _ := strings.Cut(step, " ")
		if verb == "exit" {
			return number(rest)
		}
		do, known := verbs[verb]
		if !known {
			fmt.Fprintf(os.Stderr, "runnertest: unknown step %q\n", step)
			return 99
		}
		if err := do(rest); err != nil {
			fmt.Fprintf(os.Stderr, "runnertest: %s: %v\n", step, err)
			return 98
		}
	}
	return 0
}

var verbs = map[string]func(arg string) error{
	"out": func(s string) error { _, err := fmt.Println(s); return err },
	"err": func(s string) error { _, err := fmt.Fprintln(os.Stderr, s); return err },
	"hex": func(s string) error {
		b, err := hex.DecodeString(s)
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(b)
		return err
	},
	"flood":  func(s string) error { return Flood(os.Stdout, number(s)) },
	"env":    func(string) error { return printEnv() },
	"sleep":  sleep,
	"trap":   trap,
	"spawn":  spawn,
	"signal": raise,
	"dial": func(s string) error {
		network, address, _ := strings.Cut(s, " ")
		return dial(network, address)
	},
	"loopback": func(string) error { return dialSelf() },
}

// dialPatience is long for one machine, and short for an address that swallows
// packets.
const dialPatience = 5 * time.Second

func dial(network, address string) error {
	conn, err := net.DialTimeout(network, address, dialPatience)
	if err != nil {
		_, err := fmt.Println("failed")
		return err
	}
	defer conn.Close()
	_, err = fmt.Println("connected")
	return err
}

func dialSelf() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	return dial("tcp", l.Addr().String())
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 97
	}
	return n
}

// Flood writes n bytes in lines of 64, each with its number.
func Flood(w interface{ Write([]byte) (int, error) }, n int) error {
	out := bufio.NewWriterSize(w, 32<<10)
	for i := 0; i < n; i += 64 {
		line := fmt.Sprintf("%063d\n", i/64)
		if _, err := out.WriteString(line[max(0, 64-(n-i)):]); err != nil {
			return err
		}
	}
	return out.Flush()
}

func printEnv() error {
	env := os.Environ()
	slices.Sort(env)
	_, err := fmt.Println(strings.Join(env, "\n"))
	return err
}

func sleep(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	time.Sleep(d)
	return nil
}

func trap(s string) error {
	if s == "ignore" {
		signal.Ignore(syscall.SIGTERM)
		return nil
	}
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	go func() {
		<-terms
		os.Exit(number(s))
	}()
	return nil
}

// spawn starts this program again, in its own session and with its own output,
// as a daemon would. The mark stands on its command line only.
func spawn(mark string) error {
	steps := []string{"trap ignore", LongSleep, MarkStep(mark)}
	cmd := exec.Command(os.Args[0], append(slices.Clone(os.Args[1:stepsAt()]), steps...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	_, err := fmt.Println("spawned")
	return err
}

// MarkStep is an argument on the command line of what "spawn MARK" started.
func MarkStep(mark string) string { return "mark " + mark }

// stepsAt gives the index of the first step in os.Args: what stands before it
// is how the program is started.
func stepsAt() int {
	at := slices.Index(os.Args, ProgramArg)
	return at + 1
}

// ProgramArg is the argument after which the steps stand on a command line.
const ProgramArg = "runnertest-program"

func raise(name string) error {
	signals := map[string]syscall.Signal{"SIGKILL": syscall.SIGKILL, "SIGSEGV": syscall.SIGSEGV, "SIGTERM": syscall.SIGTERM}
	sig, known := signals[name]
	if !known {
		return fmt.Errorf("unknown signal %q", name)
	}
	signal.Reset(sig)
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		return err
	}
	select {} // the signal is on its way
}
