package assets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fromFolder looks into the operator's folder: first for the file itself, then
// for the wheel that holds it.
func (r *Resolver) fromFolder(_ context.Context, it Item, s *slot) (string, error) {
	dir := r.opts.Getenv(FolderEnv)
	if dir == "" {
		return "", notOffered(FolderEnv + " is not set")
	}
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	tmp, err := s.temp()
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, it.File)
	if _, err := os.Stat(file); err == nil {
		return linkOrCopy(tmp, file)
	}
	if wheels := wheelsIn(dir, it.Wheel); len(wheels) > 0 {
		return it.Wheel.extract(wheels[0], tmp)
	}
	return "", fmt.Errorf("not in %s", dir)
}

// wheelsIn lists the wheels of the right project and version in dir: the pinned
// file name first, then other builds of it.
func wheelsIn(dir string, w *Wheel) []string {
	if w == nil {
		return nil
	}
	pattern := strings.ReplaceAll(w.Project, "-", "_") + "-" + w.Version + "-*.whl"
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return nil // the folder's own name holds a pattern character
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return boolOrder(filepath.Base(a) == w.File, filepath.Base(b) == w.File)
	})
	return names
}

// boolOrder sorts true before false.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// linkOrCopy brings a file of the operator into tmp: a second name for the same
// bytes where the file system allows that, a copy elsewhere.
func linkOrCopy(tmp, file string) (string, error) {
	real, err := filepath.EvalSymlinks(file) // a link to a link would keep pointing outside
	if err != nil {
		return "", err
	}
	dst := filepath.Join(tmp, filepath.Base(file))
	if os.Link(real, dst) == nil {
		return dst, nil
	}
	return copyFile(tmp, file)
}
