package toolkit

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sources is the Python package.
//
//go:embed musher_toolkit/*.py
var sources embed.FS

// Install writes the Python package below dir, and returns the folder that
// holds it: the tools of Trainer. The folder is named by its content and
// appears whole or not at all, so several servers may share dir, and work that
// an older one started keeps the package it began with.
func Install(dir string) (string, error) {
	name, err := contentName()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(dir, name)
	switch whole, err := installed(folder); {
	case err != nil:
		return "", fmt.Errorf("install the toolkit: %w", err)
	case whole:
		return folder, nil
	}
	if err := place(dir, folder); err != nil {
		return "", fmt.Errorf("install the toolkit: %w", err)
	}
	return folder, nil
}

// contentName is a name that changes with the package.
func contentName() (string, error) {
	sum := sha256.New()
	err := eachSource(func(name string, content []byte) error {
		fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content)
		return nil
	})
	return "toolkit-" + hex.EncodeToString(sum.Sum(nil))[:16], err
}

// installed tells whether folder holds the package as it is here: a machine
// that lost power may have kept the folder and not its bytes.
func installed(folder string) (bool, error) {
	whole := true
	err := eachSource(func(name string, content []byte) error {
		there, err := os.ReadFile(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			whole = false
			return nil
		}
		whole = whole && bytes.Equal(there, content)
		return err
	})
	return whole, err
}

// place writes the package beside folder and moves it there. Where another
// server was faster, its folder stays; what is not whole there is put aside.
func place(dir, folder string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(dir, ".toolkit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	next := filepath.Join(fresh, "new")
	err = eachSource(func(name string, content []byte) error {
		path := filepath.Join(next, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, content, 0o644)
	})
	if err != nil {
		return err
	}
	for range 10 {
		if err = os.Rename(next, folder); err == nil {
			return nil
		}
		if whole, _ := installed(folder); whole {
			return nil
		}
		_ = os.Rename(folder, filepath.Join(fresh, "broken")) // the rename above tells if this failed
	}
	return err
}

func eachSource(do func(name string, content []byte) error) error {
	return fs.WalkDir(sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := sources.ReadFile(name)
		if err != nil {
			return err
		}
		return do(name, content)
	})
}
