package toolkit

import "github.com/musher/musher/internal/runner"

// Command is what a runner needs to run the toolkit, beside the work's own.
type Command struct {
	Argv   []string
	Env    map[string]string
	Mounts []runner.Mount
}
