package cli

import "github.com/musher/musher/internal/runner/process"

// superviseCommand is what the process runner starts for each piece of work.
type superviseCommand struct {
	Dir string `required:"" help:"Folder of the work."`
}

func (c superviseCommand) Run(*globals) error {
	if code := process.Supervise(c.Dir); code != 0 {
		return exitError(code)
	}
	return nil
}
