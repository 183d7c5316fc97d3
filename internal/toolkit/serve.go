package toolkit

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/runtimes"
)

// Serving says what a model server serves. Paths are those that the work sees.
type Serving struct {
	Model    string // folder of the model
	Code     string // folder of the script; empty: as the model's variables say, below Model
	Packages string // what Packages has installed; may be empty
	Socket   string // to listen on

	Workers int           // interpreters, unless the model's variables say how many
	Loading time.Duration // what loading the model may take, of a worker that replaces another
}

// Server is how the Python runtime rt serves a model with the user's script. It
// answers GET /ping and POST /invocations. tools is the folder that Install
// made.
func Server(rt runtimes.Runtime, tools string, s Serving) Command {
	c := python(rt, tools, "serve")
	for _, arg := range [][2]string{
		{"--socket", s.Socket}, {"--model", s.Model}, {"--code", s.Code}, {"--packages", s.Packages},
		{"--framework", framework(rt)}, {"--workers", strconv.Itoa(s.Workers)},
		{"--load-seconds", strconv.FormatFloat(s.Loading.Seconds(), 'f', -1, 64)},
	} {
		if arg[1] != "" {
			c.Argv = append(c.Argv, arg[0], arg[1])
		}
	}
	return c
}

// ModelFolder is where scripts expect their model.
const ModelFolder = "/opt/ml/model"

// CodeFolder is the folder of a model's script below the model's, by
// SAGEMAKER_SUBMIT_DIRECTORY.
func CodeFolder(submitted string) string {
	below, ok := strings.CutPrefix(strings.TrimPrefix(submitted, "file://"), ModelFolder+"/")
	if !ok {
		return "code"
	}
	return filepath.Clean("/" + below)[1:]
}

// framework is whose defaults stand in for functions that a script lacks.
func framework(rt runtimes.Runtime) string {
	switch rt.Name {
	case "pytorch", "sklearn":
		return rt.Name
	}
	return "base"
}

// Packages is how what requirements names is installed into the folder target,
// over the interpreter of rt, for the servers of a model.
func Packages(rt runtimes.Runtime, tools, requirements, target string) Command {
	c := python(rt, tools, "serve_packages")
	c.Argv = append(c.Argv, requirements, target)
	c.Mounts = append(c.Mounts,
		runner.Mount{Source: filepath.Dir(requirements), ReadOnly: true}, runner.Mount{Source: target})
	return c
}
