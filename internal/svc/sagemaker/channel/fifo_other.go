//go:build !linux

package channel

import (
	"errors"
	"fmt"
	"os"
)

type fifos struct{}

func openFifos(string) (*fifos, error) {
	return nil, fmt.Errorf("InputMode Pipe needs Linux: %w", errors.ErrUnsupported)
}

func (*fifos) make(string) error             { return errors.ErrUnsupported }
func (*fifos) remove(string)                 {}
func (*fifos) open(string) (*os.File, error) { return nil, errors.ErrUnsupported }
func (*fifos) close()                        {}
