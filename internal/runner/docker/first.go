package docker

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// firstProcess is what a container needs to run Init: the command and, for a
// binary that is linked dynamically, this machine's loader and libraries, as an
// image may have others or none.
type firstProcess struct {
	command   []string // on the host
	loader    string   // empty: the binary is static
	libraries []string
}

// findInit looks at the binary. On every system with glibc its libraries lie
// beside the loader.
func findInit(command []string) (firstProcess, error) {
	if len(command) == 0 {
		return firstProcess{}, errors.New("no first process for containers given")
	}
	f := firstProcess{command: command}
	binary, err := elf.Open(command[0])
	if err != nil {
		return f, fmt.Errorf("first process of containers: %w", err)
	}
	defer binary.Close()
	section := binary.Section(".interp")
	if section == nil {
		return f, nil
	}
	name, err := section.Data()
	if err != nil {
		return f, fmt.Errorf("first process of containers: %w", err)
	}
	if f.loader, err = filepath.EvalSymlinks(strings.TrimRight(string(name), "\x00")); err != nil {
		return f, fmt.Errorf("loader of containers' first process: %w", err)
	}
	libraries, err := binary.ImportedLibraries()
	if err != nil {
		return f, fmt.Errorf("first process of containers: %w", err)
	}
	for _, library := range libraries {
		path := filepath.Join(filepath.Dir(f.loader), library)
		if _, err := os.Stat(path); err != nil {
			return f, fmt.Errorf("library of containers' first process: %w", err)
		}
		f.libraries = append(f.libraries, path)
	}
	return f, nil
}

// entrypoint is the command as the container sees it.
func (f firstProcess) entrypoint() []string {
	inside := append([]string{initTarget}, f.command[1:]...)
	if f.loader == "" {
		return inside
	}
	return append([]string{loaderTarget, "--library-path", libraryTarget}, inside...)
}

func (f firstProcess) mounts() []mount {
	all := []mount{{Type: "bind", Source: f.command[0], Target: initTarget, ReadOnly: true}}
	if f.loader != "" {
		all = append(all, mount{Type: "bind", Source: f.loader, Target: loaderTarget, ReadOnly: true})
	}
	for _, library := range f.libraries {
		all = append(all, mount{Type: "bind", Source: library, Target: libraryTarget + "/" + filepath.Base(library), ReadOnly: true})
	}
	return all
}
