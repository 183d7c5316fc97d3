//go:build (linux || darwin || freebsd) && (amd64 || arm64)

package vision

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// openTurbo loads the library from a file. A library without one of the functions
// is refused.
func openTurbo(file string) (*turbo, error) {
	lib, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("vision: %s: %w", file, err)
	}
	t := new(turbo)
	for name, fn := range map[string]any{
		"tjInitDecompress":    &t.initDecompress,
		"tjDestroy":           &t.destroy,
		"tjDecompressHeader3": &t.header,
		"tjDecompress2":       &t.decompress,
		"tjGetErrorStr2":      &t.errorText,
		"tjGetErrorCode":      &t.errorCode,
	} {
		at, err := purego.Dlsym(lib, name)
		if err != nil {
			return nil, fmt.Errorf("vision: %s is no libjpeg-turbo 2 or 3: %w", file, err)
		}
		purego.RegisterFunc(fn, at)
	}
	return t, nil
}
