//go:build linux

package process

import "github.com/musher/musher/internal/runner"

// Abilities implements runner.Runner. Namespaces are believed to work until a
// start has shown that they do not.
func (r *Runner) Abilities() runner.Abilities {
	namespaces := r.isolation() != isolationNone
	return runner.Abilities{Remap: namespaces}
}
