// Package channel brings what lies in S3 to jobs, and checkpoints back.
//
//	Bring    File and FastFile mode: a folder of files
//	Feed     Pipe mode: named pipes, one an epoch
//	Mirror   a folder and a prefix that are kept alike
//
// A channel is all objects of a prefix, those that a manifest names, or what
// the lines of an augmented manifest say; an instance gets all or its share.
//
// A staged folder is named by what it holds: names, keys and ETags. So the
// trials of a tuning job share one copy, and a job that is started again finds
// its data in place. Jobs must not write there; the runner mounts it read
// only. A folder appears whole, by rename, or not at all.
//
// Sharing never widens access: every job's own role must be allowed to list
// the prefix and to read each object, also where the bytes are there already.
package channel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// ErrNoObjects means that nothing lies under a prefix.
var ErrNoObjects = errors.New("matched no files on s3")

// ErrNotAFile means that S3 holds a key which a folder cannot.
var ErrNotAFile = errors.New("cannot be a file of its channel")

// parallel is how many objects are copied at once: enough to hide the latency
// of small files, few enough to leave the cores to running jobs.
const parallel = 8

// Stage keeps the staged folders below one folder of its own.
type Stage struct {
	dir     string
	objects sagemaker.Objects
	room    func(dir string) (int64, error)
}

// New uses dir, and removes what an earlier process left half done there.
func New(dir string, objects sagemaker.Objects) (*Stage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	half, err := filepath.Glob(filepath.Join(dir, "half-*"))
	if err != nil {
		return nil, err
	}
	for _, d := range half {
		if err := os.RemoveAll(d); err != nil {
			return nil, err
		}
	}
	return &Stage{dir: dir, objects: objects, room: room}, nil
}

// Progress is told how many of the bytes are there, by several goroutines.
type Progress func(done, total int64)

// Folder returns the folder with the objects that uri, a prefix or one whole
// key, names for the caller, as Bring does.
func (s *Stage) Folder(ctx context.Context, as *awsapi.Caller, uri string, progress Progress) (string, error) {
	return s.Bring(ctx, as, Request{URI: uri}, progress)
}

// Bring returns the folder with the objects that are the instance's share of
// the channel; an instance for which nothing is left gets an empty one.
// Decompressed files lose the .gz of their names. Errors are *awsapi.Error from
// S3, the errors of this package, or faults of this machine.
func (s *Stage) Bring(ctx context.Context, as *awsapi.Caller, r Request, progress Progress) (string, error) {
	files, err := s.files(ctx, as, r)
	if err != nil {
		return "", err
	}
	files = share(r, once(files))
	if r.Gunzip {
		files = unzipped(files)
	}
	folder := filepath.Join(s.dir, identity(files, r.Gunzip))
	if _, err := os.Stat(folder); err == nil {
		now := time.Now()
		if err := os.Chtimes(folder, now, now); err != nil {
			return "", err
		}
		return folder, s.head(ctx, as, files)
	}
	half, err := os.MkdirTemp(s.dir, "half-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := s.fill(ctx, as, files, half, r.Gunzip, progress); err != nil {
		return "", err
	}
	if err := os.Chmod(half, 0o755); err != nil {
		return "", err
	}
	// Another job may have staged the same data meanwhile: one copy stays.
	if err := os.Rename(half, folder); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
		return "", err
	}
	return folder, nil
}

// Sweep removes folders that were not asked for since a time, except those
// that keep says are in use.
func (s *Stage) Sweep(since time.Time, keep func(folder string) bool) error {
	return sagemaker.SweepFolders(s.dir, since, keep)
}

// file is an object and the path that it gets below the folder.
type file struct {
	sagemaker.Object
	bucket string
	name   string
}

// list finds the objects of a prefix and names them. As on SageMaker a prefix
// is a folder where one of that name exists; the names in the channel are what
// follows it.
func (s *Stage) list(ctx context.Context, as *awsapi.Caller, bucket, prefix string) ([]file, error) {
	var exact, below, loose []file
	dir := strings.TrimSuffix(prefix, "/")
	if dir != "" {
		dir += "/"
	}
	err := s.objects.List(ctx, as, bucket, prefix, func(o sagemaker.Object) error {
		switch rest, ok := strings.CutPrefix(o.Key, dir); {
		case strings.HasSuffix(o.Key, "/"): // a folder marker holds nothing
		case o.Key == prefix:
			exact = append(exact, file{o, bucket, path.Base(o.Key)})
		case ok:
			below = append(below, file{o, bucket, rest})
		default:
			loose = append(loose, file{o, bucket, o.Key[strings.LastIndex(prefix, "/")+1:]})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, files := range [][]file{below, exact, loose} {
		if len(files) > 0 {
			return files, nil
		}
	}
	return nil, fmt.Errorf("s3://%s/%s %w", bucket, prefix, ErrNoObjects)
}

// identity names a folder by what it holds.
func identity(files []file, gunzip bool) string {
	h := sha256.New()
	fmt.Fprintf(h, "%v", gunzip)
	for _, f := range files {
		fmt.Fprintf(h, "%q%q%q%q%d", f.name, f.bucket, f.Key, f.ETag, f.Size)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// fill brings files to a folder.
func (s *Stage) fill(ctx context.Context, as *awsapi.Caller, files []file, dir string, unzip bool, progress Progress) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return s.copy(ctx, as, files, root, dir, unzip, progress)
}

// copy brings files below root, which is dir, several at once.
func (s *Stage) copy(ctx context.Context, as *awsapi.Caller, files []file, root *os.Root, dir string, unzip bool, progress Progress) error {
	var total int64
	for _, f := range files {
		total += f.Size
	}
	free, err := s.room(dir)
	if err != nil {
		return err
	}
	if total > free {
		return fmt.Errorf("%d MB, and %d MB are left: %w", total>>20, max(free, 0)>>20, ErrNoRoom)
	}
	var left budget
	left.left.Store(free)
	var done atomic.Int64
	group, copying := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, f := range files {
		if copying.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := copyFile(copying, s.objects, as, f, root, &left, unzip); err != nil {
				return err
			}
			progress(done.Add(f.Size), total)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func copyFile(ctx context.Context, objects sagemaker.Objects, as *awsapi.Caller, f file, root *os.Root, left *budget, unzip bool) (err error) {
	body, size, err := objects.Get(ctx, as, f.bucket, f.Key)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := root.MkdirAll(path.Dir(path.Clean(f.name)), 0o755); err != nil {
		return notAFile(f, err)
	}
	out, err := root.OpenFile(path.Clean(f.name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return notAFile(f, err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := pour(left.writer(out), body, size, unzip); err != nil {
		return fmt.Errorf("object %q: %w", f.Key, err)
	}
	return nil
}

// pour writes an object of size bytes, or what it decompresses to.
func pour(w io.Writer, body io.Reader, size int64, unzip bool) error {
	if unzip {
		return gunzip(w, body, size)
	}
	n, err := io.Copy(w, body)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// notAFile explains keys that S3 can hold and a file system cannot: a/../b,
// or both a and a/b.
func notAFile(f file, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return fmt.Errorf("object %q %w: %w", f.Key, ErrNotAFile, err)
}
