package runtimes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Source says where a runtime comes from.
type Source string

// The sources, in the order in which they are asked.
const (
	BuiltIn   Source = "built in"
	Added     Source = "added"
	Installed Source = "installed"
	Found     Source = "found"
)

// Resolve finds what runs here for an image, by a pattern that fits it or, for
// the name of a runtime, itself. Its errors tell how to add a runtime.
func (s *Store) Resolve(image string) (Runtime, error) {
	own, err := s.added()
	if err != nil {
		return Runtime{}, err
	}
	name := s.nameOf(image, own)
	switch name {
	case "":
		return Runtime{}, s.unknown(image, own)
	case builtinName:
		return Runtime{Name: name, Kind: Builtin, Image: image}, nil
	}
	in, _, err := s.choose(context.Background(), name, own)
	var none *noInterpreter
	if errors.As(err, &none) {
		return Runtime{}, fmt.Errorf("nothing runs the image %q here: %w", image, err)
	}
	if err != nil {
		return Runtime{}, err
	}
	bin, err := makeBin(filepath.Join(s.cache, "bin"), in)
	if err != nil {
		return Runtime{}, err
	}
	return Runtime{
		Name: name, Kind: Python, Image: image,
		Python: in.Path, Bin: bin, Env: environment(in), Mounts: mounts(in, bin),
	}, nil
}

// nameOf is the runtime that an image leads to, or empty.
func (s *Store) nameOf(image string, own addedFile) string {
	for _, a := range own.Runtimes {
		for _, pattern := range a.Images {
			if fits, err := compile(pattern); err == nil && fits.MatchString(image) {
				return a.Name
			}
		}
	}
	if name := s.table.nameOf(image); name != "" {
		return name
	}
	if own.find(image) != nil || s.table.find(image) != nil {
		return image
	}
	return ""
}

// choose finds the interpreter of a runtime.
func (s *Store) choose(ctx context.Context, name string, own addedFile) (Interpreter, Source, error) {
	if a := own.find(name); a != nil {
		in, err := s.prober.look(ctx, a.Python)
		if err != nil {
			err = fmt.Errorf("the interpreter that was added as %s is gone (`%s` forgets it): %w", name, s.command("rm", name), err)
		}
		return in, Added, err
	}
	if record, ok := s.installed(name); ok {
		if in, err := s.prober.look(ctx, record.Python); err == nil {
			return in, Installed, nil
		}
	}
	k := s.table.find(name)
	if k == nil {
		return Interpreter{}, "", fmt.Errorf("no runtime is called %q", name)
	}
	var seen []Interpreter
	for _, path := range s.candidates("python3") {
		in, err := s.prober.look(ctx, path)
		if err != nil {
			continue // not a Python for us
		}
		if in.Has(k.needs...) {
			return in, Found, nil
		}
		seen = append(seen, in)
	}
	return Interpreter{}, "", &noInterpreter{s, *k, seen}
}

// candidates are the programs of some names in the folders that are searched.
// A folder that is another one's link (/bin) is not searched twice.
func (s *Store) candidates(names ...string) (out []string) {
	var folders []string
	for _, folder := range s.search {
		real, err := filepath.EvalSymlinks(folder)
		if err == nil && filepath.IsAbs(real) && !slices.Contains(folders, real) {
			folders = append(folders, real)
		}
	}
	for _, name := range names {
		for _, folder := range folders {
			if path := filepath.Join(folder, name); executable(path) {
				out = append(out, path)
			}
		}
	}
	return out
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil
}

// noInterpreter means that a runtime is known, and nothing here can be it.
type noInterpreter struct {
	store *Store
	of    known
	seen  []Interpreter
}

func (e *noInterpreter) Error() string {
	var b strings.Builder
	if len(e.of.needs) == 0 {
		fmt.Fprintf(&b, "it takes the runtime %s, a Python of version %s or later", e.of.name, oldest)
	} else {
		fmt.Fprintf(&b, "it takes the runtime %s, a Python with the module %s", e.of.name, join(e.of.needs))
	}
	var at []string
	for _, in := range e.seen {
		if note := fmt.Sprintf("%s (%s)", in.Path, in.Version); !slices.Contains(at, note) {
			at = append(at, note)
		}
	}
	switch len(at) {
	case 0:
		b.WriteString(", and there is no Python here")
	case 1:
		fmt.Fprintf(&b, ", which %s is not", at[0])
	default:
		fmt.Fprintf(&b, ", which none of %s is", join(at))
	}
	b.WriteString("; ")
	if slices.Contains(Recipes(), e.of.name) {
		fmt.Fprintf(&b, "`%s` makes one, ", e.store.command("install", e.of.name))
	} else {
		b.WriteString("there is no recipe for it, but ")
	}
	fmt.Fprintf(&b, "`%s` takes one that is there", e.store.command("add", e.of.name, "/PATH/TO/python3"))
	return b.String()
}

// unknown is the error for an image that no pattern fits.
func (s *Store) unknown(image string, own addedFile) error {
	var known []string
	for _, k := range s.table.runtimes {
		if len(k.needs) == 0 || slices.Contains(Recipes(), k.name) {
			known = append(known, k.name)
		}
	}
	for _, a := range own.Runtimes {
		if !slices.Contains(known, a.Name) {
			known = append(known, a.Name)
		}
	}
	return fmt.Errorf("nothing is known to run the image %q (runtimes here: %s; `%s` shows their images); `%s` adds a runtime for it",
		image, join(known), s.command("ls"), s.command("add", "NAME", "/PATH/TO/python3", "--image", quoteIfNeeded(image)))
}

// command is a command line that changes or shows this store.
func (s *Store) command(words ...string) string {
	return "musher runtime " + strings.Join(words, " ") + " --data " + quoteIfNeeded(s.dir)
}

func quoteIfNeeded(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(plain, r) }) {
		return s
	}
	return quote(s)
}

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:@+,"

func join(words []string) string { return strings.Join(words, ", ") }
