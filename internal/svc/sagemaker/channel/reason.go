package channel

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/musher/musher/internal/awsapi"
)

// Reason puts an error into the words of a FailureReason: whose fault it was,
// then what happened.
func Reason(what string, err error) string {
	var api *awsapi.Error
	switch {
	case errors.As(err, &api) && api.Status < 500:
		return fmt.Sprintf("ClientError: %s: %v", what, err)
	case errors.Is(err, ErrNoObjects), errors.Is(err, ErrNotAFile), errors.Is(err, ErrBadInput):
		return fmt.Sprintf("ClientError: %s: %v", what, err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("InternalServerError: %s: the disk of this machine is full: %v", what, err)
	}
	return fmt.Sprintf("InternalServerError: %s: %v", what, err)
}
