//go:build !((linux || darwin || freebsd) && (amd64 || arm64))

package vision

import (
	"fmt"
	"runtime"
)

func openTurbo(string) (*turbo, error) {
	return nil, fmt.Errorf("vision: libraries cannot be loaded at run time on %s", runtime.GOOS)
}
