package server

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
	"github.com/musher/musher/internal/svc/sagemaker"
	"github.com/musher/musher/internal/toolkit"
)

// trainingToolkit is how a Python runtime runs the script of a training job, or
// the job's own command where it has one.
func (s *Server) trainingToolkit(rt runtimes.Runtime, base string, command []string) (toolkit.Command, error) {
	tools, err := s.toolkit()
	switch {
	case err != nil:
		return toolkit.Command{}, err
	case len(command) > 0:
		return toolkit.Entrypoint(rt, tools, base, command), nil
	}
	return toolkit.Trainer(rt, tools, base), nil
}

// toolkit is the folder of what runs users' scripts.
func (s *Server) toolkit() (string, error) {
	return toolkit.Install(filepath.Join(s.opts.Cache, "toolkit"))
}

// pipVariables say where pip finds packages. Others of the server's variables
// are nobody else's business.
var pipVariables = []string{
	"PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_TRUSTED_HOST",
}

// packages lets scripts' pip find packages where the server's does. The
// variables name addresses, files and folders, separated by spaces.
func packages(environ []string) sagemaker.Provision {
	p := sagemaker.Provision{Env: map[string]string{}}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if !slices.Contains(pipVariables, name) {
			continue
		}
		p.Env[name] = value
		for word := range strings.FieldsSeq(value) {
			if _, err := filepath.EvalSymlinks(word); filepath.IsAbs(word) && err == nil {
				p.Mounts = append(p.Mounts, runner.Mount{Source: word, ReadOnly: true})
			}
		}
	}
	return p
}
