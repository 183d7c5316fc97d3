package assets

import (
	"fmt"
	"strings"
)

// notOffered is the reason of a source that has nothing to say about an item, as
// opposed to one that failed.
type notOffered string

func (e notOffered) Error() string { return string(e) }

// Attempt is one source that did not deliver.
type Attempt struct {
	Source string // "folder", "package client", "public address"
	Err    error
}

// FetchError says that no source delivered an item.
type FetchError struct {
	Item  Item
	Tried []Attempt
}

// Error names every source and its reason, in one line.
func (e *FetchError) Error() string {
	tried := make([]string, len(e.Tried))
	for i, a := range e.Tried {
		tried[i] = fmt.Sprintf("%s: %v", a.Source, a.Err)
	}
	return fmt.Sprintf("cannot get %s (%s); tried %s; %s", e.Item.Name, e.Item.File, strings.Join(tried, "; "), e.Hint())
}

// Hint says what the user can do about it.
func (e *FetchError) Hint() string {
	files := e.Item.File
	if w := e.Item.Wheel; w != nil {
		files += " or " + w.File
	}
	hint := fmt.Sprintf("put %s into a folder and set %s to that folder", files, FolderEnv)
	if e.Item.PathEnv != "" {
		hint += fmt.Sprintf(", or set %s to the file", e.Item.PathEnv)
	}
	return hint
}

// Unwrap gives the reasons to errors.Is and errors.As.
func (e *FetchError) Unwrap() []error {
	errs := make([]error, len(e.Tried))
	for i, a := range e.Tried {
		errs[i] = a.Err
	}
	return errs
}
