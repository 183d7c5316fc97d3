// Package dataset finds labelled photos in folders of class folders and splits
// them into training, validation and test parts.
//
// It hides how people lay such data out. These are understood, with the names
// train or training, valid, validation or val, and test:
//
//	one channel   training/{train,valid,test}/CLASS/photo.jpg   (also one folder deeper, as zip archives have it)
//	              training/CLASS/photo.jpg                      (validation is split off)
//	two or three  train/CLASS/…, validation/CLASS/…, test/CLASS/…
//
// A class's number is its place among the sorted names of the training part.
// Everything is in sorted order, so that equal folders give equal data sets.
package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Photo is one labelled file.
type Photo struct {
	Path  string
	Label int // index into Set.Classes
}

// Set is a labelled data set. Valid and Train are never empty; Test may be.
type Set struct {
	Classes            []string
	Train, Valid, Test []Photo
	// Remarks are things a user may want to know, one line each.
	Remarks []string
}

// Error is something wrong with the data itself, as against the machine.
type Error struct{ msg string }

func (e *Error) Error() string { return e.msg }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// Split says how validation photos are chosen where none are given.
type Split struct {
	Fraction float64 // of each class, 0 < Fraction < 1
	Seed     uint64
}

// part is the folder of one part of the data; empty for none.
type parts struct{ train, valid, test string }

// names by which a part may be called.
var partNames = map[string]string{
	"train": "train", "training": "train",
	"valid": "valid", "validation": "valid", "val": "valid",
	"test": "test",
}

// Open reads the channels of a job: folders by channel name.
func Open(channels map[string]string, split Split) (*Set, error) {
	p, err := assign(channels)
	if err != nil {
		return nil, err
	}
	if p.valid == "" && p.test == "" {
		if p, err = lookInside(p.train); err != nil {
			return nil, err
		}
	}
	s := &Set{}
	if err := s.read(p); err != nil {
		return nil, err
	}
	if p.valid == "" {
		s.split(split)
	}
	if len(s.Valid) == 0 {
		return nil, wrong("no photos are left for validation: give a validation channel, or more than one photo a class")
	}
	return s, nil
}

// OpenFolder reads a folder of class folders against known classes, to evaluate a model on it.
func OpenFolder(dir string, classes []string) ([]Photo, []string, error) {
	s := &Set{Classes: classes}
	photos, err := s.part(dir, "test")
	return photos, s.Remarks, err
}

// assign finds the part that each channel is.
func assign(channels map[string]string) (parts, error) {
	found := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(channels)) {
		part, ok := partNames[strings.ToLower(name)]
		if !ok {
			return parts{}, wrong("channel %q is not known: name it train (or training), validation (or valid), or test", name)
		}
		if _, twice := found[part]; twice {
			return parts{}, wrong("two channels hold %s data", part)
		}
		found[part] = channels[name]
	}
	if found["train"] == "" {
		return parts{}, wrong("there is no training data: give a channel named train or training")
	}
	return parts{found["train"], found["valid"], found["test"]}, nil
}

// lookInside finds the parts within a single channel.
func lookInside(dir string) (parts, error) {
	for range 3 { // the folder itself, or one or two wrapped around it by an archive
		found := parts{}
		subs, photos, err := list(dir)
		if err != nil {
			return parts{}, err
		}
		for _, sub := range subs {
			path := filepath.Join(dir, sub)
			switch partNames[strings.ToLower(sub)] {
			case "train":
				found.train = path
			case "valid":
				found.valid = path
			case "test":
				found.test = path
			}
		}
		if found.train != "" {
			return found, nil
		}
		if len(subs) != 1 || len(photos) > 0 {
			break
		}
		dir = filepath.Join(dir, subs[0])
		if inner, _, err := list(dir); err != nil || len(inner) == 0 {
			return parts{train: filepath.Dir(dir)}, err
		}
	}
	return parts{train: dir}, nil
}

func (s *Set) read(p parts) (err error) {
	if s.Classes, _, err = list(p.train); err != nil {
		return err
	}
	if s.Train, err = s.part(p.train, "train"); err != nil {
		return err
	}
	if len(s.Classes) == 1 {
		return wrong("there is only one class, %q: a classifier needs at least two", s.Classes[0])
	}
	if p.valid != "" {
		if s.Valid, err = s.part(p.valid, "validation"); err != nil {
			return err
		}
	}
	if p.test != "" {
		s.Test, err = s.part(p.test, "test")
	}
	return err
}

// part reads class folders. In the training part every class must have photos;
// elsewhere classes may be missing, but none may be new.
func (s *Set) part(dir, name string) ([]Photo, error) {
	subs, loose, err := list(dir)
	if err != nil {
		return nil, err
	}
	if len(subs) == 0 && len(loose) > 0 {
		return nil, wrong("the %s data has %d photos but no class folders: put the photos of each class into a folder of its own", name, len(loose))
	}
	if len(subs) == 0 {
		return nil, wrong("the %s data is empty: a folder for each class is expected, with its photos", name)
	}
	if len(loose) > 0 {
		s.Remarks = append(s.Remarks, fmt.Sprintf("%d photos of the %s data lie outside the class folders and are left out", len(loose), name))
	}
	var photos []Photo
	var unknown, empty []string
	var others int
	for _, class := range subs {
		label, ok := slices.BinarySearch(s.Classes, class)
		if !ok {
			unknown = append(unknown, class)
			continue
		}
		files, ignored, err := files(filepath.Join(dir, class))
		if err != nil {
			return nil, err
		}
		others += ignored
		if len(files) == 0 {
			empty = append(empty, class)
		}
		for _, f := range files {
			photos = append(photos, Photo{Path: f, Label: label})
		}
	}
	switch {
	case len(unknown) > 0:
		return nil, wrong("the %s data has classes that the training data does not have: %s", name, few(unknown))
	case len(empty) > 0 && name == "train":
		return nil, wrong("classes without a photo (JPEG, PNG, WebP or GIF): %s", few(empty))
	case len(photos) == 0:
		return nil, wrong("the %s data has no photos", name)
	}
	if others > 0 {
		s.Remarks = append(s.Remarks, fmt.Sprintf("%d files of the %s data are not photos and are left out", others, name))
	}
	if missing := len(s.Classes) - len(subs) + len(empty); missing > 0 {
		s.Remarks = append(s.Remarks, fmt.Sprintf("%d of %d classes have no photos in the %s data", missing, len(s.Classes), name))
	}
	return photos, nil
}

// split moves a fraction of each class from Train to Valid, at least one photo
// where the class has two.
func (s *Set) split(o Split) {
	all := s.Train
	s.Train = nil
	for len(all) > 0 {
		label := all[0].Label
		n := 0
		for n < len(all) && all[n].Label == label {
			n++
		}
		class := all[:n]
		all = all[n:]
		k := min(max(1, int(math.Round(o.Fraction*float64(n)))), n-1)
		held := map[int]bool{}
		for _, i := range rand.New(rand.NewPCG(o.Seed, uint64(label))).Perm(n)[:k] {
			held[i] = true
		}
		for i, p := range class {
			if held[i] {
				s.Valid = append(s.Valid, p)
			} else {
				s.Train = append(s.Train, p)
			}
		}
	}
	s.Remarks = append(s.Remarks, fmt.Sprintf("no validation data is given: %d of %d training photos are held out for it (validation_fraction %g, seed %d)",
		len(s.Valid), len(s.Valid)+len(s.Train), o.Fraction, o.Seed))
}

// list gives the sorted sub-folders and photos of a folder, without hidden
// ones and what archives of macOS add.
func list(dir string) (subs, photos []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), ".") || e.Name() == "__MACOSX":
		case isDir(dir, e):
			subs = append(subs, e.Name())
		case isPhoto(e.Name()):
			photos = append(photos, e.Name())
		}
	}
	return subs, photos, nil
}

// isDir follows a link, so that a folder may be lent to a job by one.
func isDir(dir string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

// files gives the photos of a class, in folders below it as well.
func files(dir string) (photos []string, ignored int, err error) {
	// A link would not be walked into; its target is.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, 0, err
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(e.Name(), ".") && path != dir:
			if e.IsDir() {
				return fs.SkipDir
			}
		case e.IsDir():
		case isPhoto(e.Name()):
			photos = append(photos, path)
		default:
			ignored++
		}
		return nil
	})
	return photos, ignored, err
}

func isPhoto(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".webp", ".gif":
		return true
	}
	return false
}

// few names the first of many.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
