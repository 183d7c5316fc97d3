package demo

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The parts of a data set, by the names of the channels that they go to.
const (
	train      = "train"
	validation = "validation"
	test       = "test"
)

// partOf are the names that people give the parts' folders.
var partOf = map[string]string{
	"train": train, "training": train,
	"valid": validation, "validation": validation, "val": validation,
	"test": test, "testing": test,
}

// File is a file of a data set.
type File struct {
	Name string // below the data set's top, with slashes: "train/001.Affenpinscher/a.jpg"
	Size int64
	ETag string // of an object; empty for a file on disk
}

// Photo is a labelled file.
type Photo struct {
	File
	Part, Class string
	Base        string // the name that it has in its class, with slashes where it lay deeper
}

// Photos is a data set, sorted.
type Photos struct {
	Name    string // of the data set: a folder's name
	From    string // "dir" or "s3://bucket/prefix/", in front of the files' names
	Classes []string
	All     []Photo
	Remarks []string // what a user may want to know, one sentence each
}

// DataError is something wrong with a data set.
type DataError struct{ msg, hint string }

func (e *DataError) Error() string { return e.msg }

// Hint says what would be right.
func (e *DataError) Hint() string { return e.hint }

const layouts = "expected are folders of photos (JPEG, PNG, WebP, GIF), one for each class: train/CLASS/photo.jpg, valid/CLASS/…, test/CLASS/…; or just CLASS/photo.jpg"

// OpenFolder lists the data set in a folder. Nothing is read but names and
// sizes.
func OpenFolder(dir string) (*Photos, error) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil, &DataError{fmt.Sprintf("there is no folder %s", dir), "name a folder of photos with --data, or leave it out for the default data set"}
	}
	// A link would not be walked into; its target is.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	err = filepath.WalkDir(real, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		info, err := os.Stat(name) // follows links
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a dangling link is no photo
		}
		rel, err := filepath.Rel(real, name)
		files = append(files, File{Name: filepath.ToSlash(rel), Size: info.Size()})
		return err
	})
	if err != nil {
		return nil, err
	}
	return Arrange(real, files)
}

// Arrange makes a data set of files that lie below from.
func Arrange(from string, files []File) (*Photos, error) {
	p := &Photos{Name: slug(from), From: from}
	files = p.onlyPhotos(files)
	if len(files) == 0 {
		return nil, &DataError{"no photos in " + from, layouts}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if err := p.assign(files); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	p.holdOut(test)
	p.holdOut(validation)
	return p, nil
}

// onlyPhotos drops hidden files, what archives of macOS add, and all that is no
// photo by its name.
func (p *Photos) onlyPhotos(files []File) (photos []File) {
	others := 0
	for _, f := range files {
		switch {
		case strings.HasPrefix(f.Name, ".") || strings.Contains(f.Name, "/.") || strings.HasPrefix(f.Name, "__MACOSX/"):
		case contentType(f.Name) == "":
			others++
		default:
			photos = append(photos, f)
		}
	}
	if others > 0 {
		p.Remarks = append(p.Remarks, fmt.Sprintf("%d files are no photos and are left out.", others))
	}
	return photos
}

// contentType is the type of a photo by its name, empty for other files.
func contentType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".png":
		return "image/png"
	case ".webp":
		return "image/webp"
	case ".gif":
		return "image/gif"
	}
	return ""
}

// assign gives every photo its part and class. Photos of the flat layout are
// all of the training part for now.
func (p *Photos) assign(files []File) error {
	skip := wrapping(files)
	parted := slices.ContainsFunc(files, func(f File) bool {
		names := strings.Split(f.Name, "/")[skip:]
		return len(names) > 2 && partOf[strings.ToLower(names[0])] == train
	})
	loose := 0
	for _, f := range files {
		names := strings.Split(f.Name, "/")[skip:]
		part := train
		if parted {
			part, names = partOf[strings.ToLower(names[0])], names[1:]
		}
		if part == "" || len(names) < 2 {
			loose++
			continue
		}
		p.All = append(p.All, Photo{File: f, Part: part, Class: names[0], Base: strings.Join(names[1:], "/")})
	}
	if len(p.All) == 0 {
		return &DataError{fmt.Sprintf("%d photos in %s, but no class folders", loose, p.From), layouts}
	}
	if loose > 0 {
		p.Remarks = append(p.Remarks, fmt.Sprintf("%d photos lie outside the class folders and are left out.", loose))
	}
	return nil
}

// wrapping counts the folders that all files share, as archives have them,
// down to the parts or the class folders at the deepest.
func wrapping(files []File) (n int) {
	for {
		var first string
		for i, f := range files {
			names := strings.Split(f.Name, "/")[n:]
			if len(names) < 3 || partOf[strings.ToLower(names[0])] != "" || i > 0 && names[0] != first {
				return n
			}
			first = names[0]
		}
		n++
	}
}

// check refuses what no classifier can be trained on, and finds the classes.
func (p *Photos) check() error {
	classes := map[string]bool{}
	for _, f := range p.All {
		if f.Part == train {
			classes[f.Class] = true
		}
	}
	p.Classes = slices.Sorted(maps.Keys(classes))
	if len(p.Classes) == 1 {
		return &DataError{fmt.Sprintf("there is only one class in %s, %q", p.From, p.Classes[0]), "a classifier needs at least two; " + layouts}
	}
	for _, f := range p.All {
		if !classes[f.Class] {
			return &DataError{fmt.Sprintf("class %q has photos for %s, but none to train on", f.Class, f.Part), "put some into train/" + f.Class}
		}
	}
	return nil
}

// heldOut is the share that is held out of the training photos for a part that
// is missing.
const heldOut = 0.2

// holdOut makes a part that is missing out of training photos: a share of each
// class, but never a class's last photo. A photo's name decides, mixed with a
// seed, so that most photos keep their part when others come or go.
func (p *Photos) holdOut(part string) {
	of := map[string][]*Photo{}
	for i := range p.All {
		switch f := &p.All[i]; f.Part {
		case part:
			return
		case train:
			of[f.Class] = append(of[f.Class], f)
		}
	}
	n, total := 0, 0
	for _, photos := range of {
		slices.SortFunc(photos, func(a, b *Photo) int { return bytes.Compare(lot(part, a), lot(part, b)) })
		k := min(max(1, int(math.Round(heldOut*float64(len(photos))))), len(photos)-1)
		for _, f := range photos[:k] {
			f.Part = part
		}
		n, total = n+k, total+len(photos)
	}
	p.Remarks = append(p.Remarks, fmt.Sprintf("There is no %s folder: %d of %d training photos are held out for it.", part, n, total))
}

// splitSeed mixes the lots; another one gives another split.
const splitSeed = 1

// lot is what a photo draws.
func lot(part string, f *Photo) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %q %q", splitSeed, part, f.Class, f.Base))
	return sum[:]
}

// Part gives the photos of one part.
func (p *Photos) Part(part string) (photos []Photo) {
	for _, f := range p.All {
		if f.Part == part {
			photos = append(photos, f)
		}
	}
	return photos
}

// Bytes is the size of all photos.
func (p *Photos) Bytes() (n int64) {
	for _, f := range p.All {
		n += f.Size
	}
	return n
}

// Key is the photo's place in the demo's bucket.
func (p *Photos) Key(f Photo) string { return path.Join(p.Name, f.Part, f.Class, f.Base) }

// slug makes a name out of an address: its last part, in characters that need
// no care in keys and URIs.
func slug(from string) string {
	name := path.Base(strings.TrimSuffix(filepath.ToSlash(from), "/"))
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, name)
	name = strings.Trim(name, ".-")
	if name == "" || name == outputPrefix {
		return "photos"
	}
	return name
}
