// Program is what the containers of the tests run: their first process and the
// command, whose steps are those of package runnertest and some more:
//
//	read PATH      print the file, or "failed"
//	write PATH     write "written" to the file and print that, or "failed"
//	grow N         take N MiB of memory
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/musher/musher/internal/runner/docker"
	"github.com/musher/musher/internal/runner/runnertest"
)

func main() {
	if os.Args[1] != runnertest.ProgramArg {
		os.Exit(docker.Init(os.Args[2:]))
	}
	others := slices.DeleteFunc(os.Args[2:], ours)
	os.Exit(runnertest.Program(others))
}

// ours carries out a step if it is one of the additional ones.
func ours(step string) bool {
	verb, arg, _ := strings.Cut(step, " ")
	switch verb {
	case "read":
		text, err := os.ReadFile(arg)
		tell(string(text), err)
	case "write":
		tell("written", os.WriteFile(arg, []byte("written"), 0o600))
	case "grow":
		n, err := strconv.Atoi(arg)
		memory := make([]byte, n<<20)
		for i := 0; i < len(memory); i += 4096 {
			memory[i] = 1
		}
		tell(fmt.Sprint(len(memory)), err)
	default:
		return false
	}
	return true
}

func tell(text string, err error) {
	if err != nil {
		text = "failed"
	}
	fmt.Println(text)
}
