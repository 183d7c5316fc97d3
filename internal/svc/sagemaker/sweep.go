package sagemaker

import (
	"os"
	"path/filepath"
	"time"
)

// SweepFolders removes the entries of dir that were not changed since a time,
// except those that keep says are in use. A missing dir is an empty one.
func SweepFolders(dir string, since time.Time, keep func(folder string) bool) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		folder := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(since) || keep(folder) {
			continue
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}
