//go:build linux

package process

import "github.com/musher/musher/internal/runner"

// Abilities implements runner.Runner. Namespaces are believed to work until a
// start has shown that they do not. That root may make networks is tried when
// the runner is opened: in a container it may be root without that power.
func (r *Runner) Abilities() runner.Abilities {
	way := r.isolation()
	return runner.Abilities{
		Remap:   way != isolationNone,
		Isolate: way == isolationUser || way == isolationRoot && r.network == nil,
	}
}
