// Command musher is the SageMaker and Lambda workflow on machines you own.
package main

import (
	"os"

	"github.com/musher/musher/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
