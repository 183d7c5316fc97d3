package runtimes

import (
	"context"
	"slices"
)

// Entry is one runtime, as it is now.
type Entry struct {
	Name     string            `json:"name"`
	Source   Source            `json:"source,omitempty"` // empty: nothing here can be it
	Python   string            `json:"python,omitempty"`
	Version  string            `json:"version,omitempty"`
	Packages map[string]string `json:"packages,omitempty"`
	Images   []string          `json:"images"`            // patterns
	Problem  string            `json:"problem,omitempty"` // why nothing can be it, and what helps
}

// List tells of every runtime: the table's, then those that the user named.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	own, err := s.added()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, k := range s.table.runtimes {
		all = append(all, k.name)
	}
	for _, a := range own.Runtimes {
		if !slices.Contains(all, a.Name) {
			all = append(all, a.Name)
		}
	}
	var out []Entry
	for _, name := range all {
		e := Entry{Name: name, Source: BuiltIn, Images: s.table.patterns(name)}
		if a := own.find(name); a != nil {
			e.Images = append(slices.Clone(a.Images), e.Images...)
		}
		if name != builtinName {
			s.describe(ctx, &e, own)
		}
		out = append(out, e)
	}
	return out, ctx.Err()
}

func (s *Store) describe(ctx context.Context, e *Entry, own addedFile) {
	in, source, err := s.choose(ctx, e.Name, own)
	if err != nil {
		e.Source, e.Problem = "", err.Error()
		return
	}
	e.Source, e.Python, e.Version, e.Packages = source, in.Path, in.Version, in.Packages
}
