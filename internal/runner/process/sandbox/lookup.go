//go:build linux

package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// defaultPath is searched when the environment given has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookup finds the program that name means to the command and makes sure that
// the view holds it. The path returned is the command's, not the host's.
func (v *view) lookup(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, v.addProgram(name)
	}
	for _, folder := range filepath.SplitList(cmp.Or(path, defaultPath)) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		candidate := filepath.Join(folder, name)
		if err := v.addProgram(candidate); err == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("%q: %w in PATH", name, errNotFound)
}

var errNotFound = errors.New("executable file not found")

// addProgram checks that p can be executed, and adds the one file to the view
// if p is not in it: a program built in /tmp, say, where the command's own
// temporary folder will be.
func (v *view) addProgram(p string) error {
	host, seen := v.hostPath(p)
	err := executable(host)
	if seen && errors.Is(err, errNotFound) {
		host, seen = p, false
		err = executable(host)
	}
	if err != nil || seen {
		return err
	}
	e, err := hostEntry(host, p, readOnly)
	if err != nil {
		return err
	}
	v.entries = append(v.entries, e)
	v.arrange()
	return nil
}

func executable(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%q: %w", path, errNotFound)
	}
	if err != nil {
		return err
	}
	if info.IsDir() || unix.Access(path, unix.X_OK) != nil {
		return fmt.Errorf("%q: %w", path, fs.ErrPermission)
	}
	return nil
}
