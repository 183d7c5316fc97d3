package train

import "fmt"

// UserError is a failure that the job's owner can mend: data, hyperparameters.
// Everything else is the machine's.
type UserError struct{ err error }

func (e *UserError) Error() string { return e.err.Error() }

// Unwrap gives the cause, if there is one.
func (e *UserError) Unwrap() error { return e.err }

func userf(format string, args ...any) error { return &UserError{fmt.Errorf(format, args...)} }
