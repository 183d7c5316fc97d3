package record

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/musher/musher/internal/runner"
)

// idForm keeps ids usable as folder names, and apart from temporary ones.
var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// CheckSpec finds mistakes of the caller, as opposed to what fails later.
func CheckSpec(s runner.Spec) error {
	switch {
	case !idForm.MatchString(s.ID):
		return fmt.Errorf("id %q: must be 1 to 200 letters, digits, '.', '_' or '-', and start with a letter or digit", s.ID)
	case len(s.Command) == 0:
		return errors.New("no command")
	case !filepath.IsAbs(s.Dir):
		return fmt.Errorf("working folder %q: must be an absolute path", s.Dir)
	case s.LogPath != "" && !filepath.IsAbs(s.LogPath):
		return fmt.Errorf("log %q: must be an absolute path", s.LogPath)
	}
	return nil
}
