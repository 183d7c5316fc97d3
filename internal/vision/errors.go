package vision

import (
	"errors"
	"fmt"
)

// What can be wrong with an image. errors.Is tells the kinds apart; the error's
// text names the format and the reason.
var (
	// ErrFormat: the bytes are no image, or of a kind that is not supported.
	ErrFormat = errors.New("unsupported image format")
	// ErrCorrupt: the format is known, but the file is damaged or cut off.
	ErrCorrupt = errors.New("corrupt image")
	// ErrTooLarge: the header claims more than Limits allow; see TooLargeError.
	ErrTooLarge = errors.New("image too large")
)

// TooLargeError carries the numbers behind ErrTooLarge.
type TooLargeError struct {
	Format        string
	Width, Height int // as the header declares them
	Limits        Limits
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("vision: %s declares %d x %d = %d pixels; at most %d pixels and %d a side are allowed: %v",
		e.Format, e.Width, e.Height, int64(e.Width)*int64(e.Height), e.Limits.MaxPixels, e.Limits.MaxSide, ErrTooLarge)
}

// Unwrap makes errors.Is(err, ErrTooLarge) hold.
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }

// corrupt names the format and what is wrong with the file.
func corrupt(format, reason string, args ...any) error {
	return fmt.Errorf("vision: %s: %w: %s", format, ErrCorrupt, fmt.Sprintf(reason, args...))
}

// unsupported is for files that are well formed but not for us.
func unsupported(format, reason string, args ...any) error {
	return fmt.Errorf("vision: %s: %w: %s", format, ErrFormat, fmt.Sprintf(reason, args...))
}
