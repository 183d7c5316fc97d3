//go:build !((linux || darwin || freebsd) && (amd64 || arm64))

package vision

func openTurbo(string) (*turbo, error) { return nil, errNoTurbo }
