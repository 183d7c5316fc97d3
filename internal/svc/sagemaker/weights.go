package sagemaker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// LendWeights links what the folder weights holds into home, a TORCH_HOME of
// one piece of work. What is missing there is downloaded into home, so no work
// can change what other work loads. Weights need not exist; home may be there
// from an earlier start.
func LendWeights(weights, home string) error {
	err := filepath.WalkDir(weights, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(weights, path)
		if err != nil {
			return err
		}
		own := filepath.Join(home, rel)
		if d.IsDir() {
			return os.MkdirAll(own, 0o700)
		}
		if err := os.Symlink(path, own); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
