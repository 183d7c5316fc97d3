package runtimes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/musher/musher/internal/runner"
)

// systemFolders are seen by all work.
var systemFolders = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"}

// parts of an installation are what programs need of it. An installation may
// share its folder with anything (~/.local, a project with its secrets), so
// what is shown is a list, and not all but a list.
var parts = []string{"bin", "lib", "lib32", "lib64", "libexec", "include", "ssl", "openssl", "pyvenv.cfg"}

// mounts are the folders and files of the interpreter that work does not see
// anyway, and bin.
func mounts(in Interpreter, bin string) []runner.Mount {
	paths := append([]string{bin}, in.Libraries...)
	for _, prefix := range []string{in.Prefix, in.BasePrefix} {
		paths = append(paths, partsOf(prefix)...)
	}
	paths = append(paths, chain(in.Path)...)
	slices.Sort(paths)
	var out []runner.Mount
	seen := slices.Clone(systemFolders)
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil || slices.ContainsFunc(seen, func(f string) bool { return within(path, f) }) {
			continue
		}
		seen = append(seen, path)
		out = append(out, runner.Mount{Source: path, ReadOnly: true})
	}
	return out
}

// partsOf is what work may see of an installation. A conda environment holds
// libraries, certificates and data in many folders, and nothing of its owner's.
func partsOf(prefix string) (out []string) {
	home, err := os.UserHomeDir()
	if _, e := os.Stat(filepath.Join(prefix, "conda-meta")); e == nil && err == nil && !within(home, prefix) {
		return []string{prefix}
	}
	for _, part := range parts {
		out = append(out, filepath.Join(prefix, part))
	}
	return out
}

// chain is every file on the way from an interpreter's path to its program: an
// environment's python is a link to another, and that may be one as well.
func chain(path string) (out []string) {
	for range 40 { // as many as the kernel follows
		out = append(out, path)
		to, err := os.Readlink(path)
		if err != nil {
			return out
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return out
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// environment is what activating the interpreter's environment would set, PATH
// aside.
func environment(in Interpreter) map[string]string {
	if _, err := os.Stat(filepath.Join(in.Prefix, "conda-meta")); err == nil {
		return map[string]string{"CONDA_PREFIX": in.Prefix}
	}
	if in.Prefix != in.BasePrefix {
		return map[string]string{"VIRTUAL_ENV": in.Prefix}
	}
	return nil
}

// makeBin makes the folder with the programs that start an interpreter. They
// are scripts: through a link of another folder, an environment's python does
// not find the environment any more.
func makeBin(dir string, in Interpreter) (string, error) {
	bin := filepath.Join(dir, digest(in.Path))
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	half, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	for name, args := range map[string]string{"python": "", "python3": "", "pip": " -m pip", "pip3": " -m pip"} {
		script := fmt.Sprintf("#!/bin/sh\nexec %s%s \"$@\"\n", quote(in.Path), args)
		if err := os.WriteFile(filepath.Join(half, name), []byte(script), 0o755); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(half, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(half, bin); err != nil && !os.IsExist(err) { // else another process was first
		return "", err
	}
	return bin, nil
}

// quote makes a word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
