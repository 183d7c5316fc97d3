package runtimes

import "github.com/musher/musher/internal/runner"

// ImageClassification is the image of the built-in algorithm.
const ImageClassification = "musher/image-classification"

// Kind says who understands what a runtime runs.
type Kind string

const (
	// Builtin is Musher's own algorithm and model server.
	Builtin Kind = "builtin"
	// Python is an interpreter that runs the user's scripts through the toolkit.
	Python Kind = "python"
	// Container is an image with an entry point of its own.
	Container Kind = "container"
)

// Runtime is what runs on this machine for a container image.
type Runtime struct {
	Name  string // "pytorch", "builtin" …
	Kind  Kind
	Image string // as asked for; what a runner with images takes

	// Of a Python runtime:
	Python string            // the interpreter, an absolute path
	Bin    string            // a folder with python, python3 and pip, to be first in PATH
	Env    map[string]string // what the interpreter needs
	Mounts []runner.Mount    // folders of it that work does not see anyway
}
