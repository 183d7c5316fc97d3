// Package artifact packs a folder into a tar.gz and unpacks one that a
// stranger may have made: model.tar.gz, output.tar.gz, sourcedir.tar.gz.
//
// Unpacking writes regular files and folders below the target and nothing
// else. A name that leaves the folder, a link, a device, more files or bytes
// than the limits allow: each is refused, with an error that names the entry.
package artifact

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ErrUnsafe marks an archive that must not be unpacked; the text says why.
var ErrUnsafe = errors.New("unsafe archive")

// ErrFormat marks bytes that are no readable tar.gz.
var ErrFormat = errors.New("not a tar.gz")

// Limits bound what an archive may unpack to.
type Limits struct {
	Bytes int64 // of all files together
	Files int   // files and folders
}

// DefaultLimits allow any model that fits a usual disk.
var DefaultLimits = Limits{Bytes: 50 << 30, Files: 200_000}

// Pack writes the regular files and folders below dir to w as a tar.gz whose
// bytes depend on their names, modes and contents only. Anything else there,
// such as a link, is refused: the archive could not be unpacked again.
//
// Entropy coding alone is used: weights do not repeat, and searching them for
// repetitions costs ten times the time for a percent of the size.
func Pack(w io.Writer, dir string) error {
	zw, err := gzip.NewWriterLevel(w, gzip.HuffmanOnly)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(zw)
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		return packEntry(tw, dir, file, d)
	})
	if err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	return zw.Close()
}

func packEntry(tw *tar.Writer, dir, file string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	name, err := filepath.Rel(dir, file)
	if err != nil {
		return err
	}
	head := &tar.Header{Name: filepath.ToSlash(name), Mode: int64(info.Mode().Perm()), Format: tar.FormatPAX}
	switch {
	case info.IsDir():
		head.Typeflag, head.Name = tar.TypeDir, head.Name+"/"
		return tw.WriteHeader(head)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a folder", name)
	}
	head.Typeflag, head.Size = tar.TypeReg, info.Size()
	if err := tw.WriteHeader(head); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(tw, f)
	return err
}

// Unpack writes the archive's files below dir, which must exist. After an
// error what was written so far is still there; the caller removes dir.
func Unpack(r io.Reader, dir string, limits Limits) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	tr := tar.NewReader(zr)
	for files, bytes := 0, int64(0); ; files++ {
		head, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", ErrFormat, err)
		case files >= limits.Files:
			return fmt.Errorf("%w: more than %d entries", ErrUnsafe, limits.Files)
		}
		bytes += head.Size
		if bytes > limits.Bytes {
			return fmt.Errorf("%w: it unpacks to more than %d bytes", ErrUnsafe, limits.Bytes)
		}
		if err := unpackEntry(root, tr, head); err != nil {
			return err
		}
	}
}

func unpackEntry(root *os.Root, tr *tar.Reader, head *tar.Header) error {
	name := path.Clean(head.Name)
	switch {
	case name == "/" && head.Typeflag == tar.TypeDir:
		return nil // the folder itself, as the SageMaker SDK writes it
	case path.IsAbs(head.Name) || name == ".." || strings.HasPrefix(name, "../"):
		return fmt.Errorf("%w: %q leaves the folder", ErrUnsafe, head.Name)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("%w: %q holds a NUL byte", ErrUnsafe, head.Name)
	}
	switch head.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		return unpackFile(root, tr, name, head)
	case tar.TypeSymlink, tar.TypeLink:
		return fmt.Errorf("%w: %q is a link", ErrUnsafe, head.Name)
	}
	return fmt.Errorf("%w: %q is neither a file nor a folder", ErrUnsafe, head.Name)
}

func unpackFile(root *os.Root, tr *tar.Reader, name string, head *tar.Header) (err error) {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644|fs.FileMode(head.Mode)&0o111)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, tr); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) {
			return fmt.Errorf("%w: %q is cut off or damaged: %w", ErrFormat, head.Name, err)
		}
		return fmt.Errorf("unpack %q: %w", head.Name, err)
	}
	return nil
}
