// Package channel brings S3 prefixes down to folders for jobs to read.
//
// A staged folder is named by what it holds: bucket, keys and ETags. So the
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
	return &Stage{dir: dir, objects: objects}, nil
}

// Progress is told how many of the bytes are there.
type Progress func(done, total int64)

// Folder returns the folder with the objects that uri, a prefix or one whole
// key, names for the caller. Errors are *awsapi.Error from S3, ErrNoObjects,
// or faults of this machine.
func (s *Stage) Folder(ctx context.Context, as *awsapi.Caller, uri string, progress Progress) (string, error) {
	bucket, prefix, err := sagemaker.SplitS3URI(uri)
	if err != nil {
		return "", err
	}
	files, err := s.list(ctx, as, bucket, prefix)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(s.dir, identity(bucket, files))
	if _, err := os.Stat(folder); err == nil {
		now := time.Now()
		if err := os.Chtimes(folder, now, now); err != nil {
			return "", err
		}
		return folder, s.authorise(ctx, as, bucket, files)
	}
	half, err := os.MkdirTemp(s.dir, "half-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := s.copy(ctx, as, bucket, files, half, progress); err != nil {
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
	name string
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
			exact = append(exact, file{o, path.Base(o.Key)})
		case ok:
			below = append(below, file{o, rest})
		default:
			loose = append(loose, file{o, o.Key[strings.LastIndex(prefix, "/")+1:]})
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

func identity(bucket string, files []file) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", bucket)
	for _, f := range files {
		fmt.Fprintf(h, "%q%q%q%d", f.name, f.Key, f.ETag, f.Size)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (s *Stage) authorise(ctx context.Context, as *awsapi.Caller, bucket string, files []file) error {
	for _, f := range files {
		if _, err := s.objects.Head(ctx, as, bucket, f.Key); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) copy(ctx context.Context, as *awsapi.Caller, bucket string, files []file, dir string, progress Progress) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var done atomic.Int64
	var total int64
	for _, f := range files {
		total += f.Size
	}
	group, copying := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, f := range files {
		if copying.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := s.copyFile(copying, as, bucket, f, root); err != nil {
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

func (s *Stage) copyFile(ctx context.Context, as *awsapi.Caller, bucket string, f file, root *os.Root) (err error) {
	body, size, err := s.objects.Get(ctx, as, bucket, f.Key)
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
	n, err := io.Copy(out, body)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", f.Key, err)
	}
	return nil
}

// notAFile explains keys that S3 can hold and a file system cannot: a/../b,
// or both a and a/b.
func notAFile(f file, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return fmt.Errorf("object %q %w: %w", f.Key, ErrNotAFile, err)
}
