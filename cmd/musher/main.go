// Command musher is the SageMaker and Lambda workflow on machines you own.
package main

import (
	"os"

	"github.com/musher/musher/internal/cli"
	"github.com/musher/musher/internal/runner/docker"
	"github.com/musher/musher/internal/runner/process"
)

func main() {
	// Every piece of work starts through here: no command line is parsed for it.
	if len(os.Args) == 4 && os.Args[1] == "supervise" && os.Args[2] == "--dir" {
		os.Exit(process.Supervise(os.Args[3]))
	}
	if len(os.Args) > 2 && os.Args[1] == "container-init" {
		os.Exit(docker.Init(os.Args[2:]))
	}
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
