package channel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// settled is how long a file has to be left alone before it goes up while the
// job runs: one that is being written has changed since.
const settled = 2 * time.Second

// Mirror keeps the checkpoints of a job alike in a folder and under a prefix:
// down before the job starts, up from then on. What the job deletes goes in S3
// as well; what others put there later stays there, and does not come down.
//
// The folder is the job's, which may put anything there: links are followed
// within it, never out. One goroutine at a time uses a Mirror.
type Mirror struct {
	objects        sagemaker.Objects
	dir            string
	bucket, prefix string
	file           string           // where known is kept
	known          map[string]stamp // what is in S3 by our doing or knowledge, by path
	now            func() time.Time
}

// stamp changes with a file. The zero stamp is that of no file: what has it
// may be in S3, and goes up (again) if it is in the folder.
type stamp struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// NewMirror keeps dir and uri, an S3 prefix, alike. What has gone up and down is
// remembered in a file beside the folder, so that a server that starts anew
// knows what the job has deleted meanwhile.
func NewMirror(objects sagemaker.Objects, dir, uri, memory string) (*Mirror, error) {
	bucket, prefix, err := sagemaker.SplitS3URI(uri)
	if err != nil {
		return nil, err
	}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	m := &Mirror{objects: objects, dir: dir, bucket: bucket, prefix: prefix, file: memory, known: map[string]stamp{}, now: time.Now}
	raw, err := os.ReadFile(memory)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &m.known)
	}
	if err != nil {
		return nil, fmt.Errorf("what is known of the checkpoints in %s: %w", dir, err)
	}
	return m, nil
}

// open opens the folder, which must lie where it was said to: the job could
// put a link in its place.
func (m *Mirror) open() (*os.Root, error) {
	parent, err := os.OpenRoot(filepath.Dir(m.dir))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return parent.OpenRoot(filepath.Base(m.dir))
}

// Down brings what lies under the prefix into the folder, over what is there.
func (m *Mirror) Down(ctx context.Context, as *awsapi.Caller) error {
	stage := &Stage{objects: m.objects, room: room}
	var files []file
	err := m.objects.List(ctx, as, m.bucket, m.prefix, func(o sagemaker.Object) error {
		if name := strings.TrimPrefix(o.Key, m.prefix); !strings.HasSuffix(o.Key, "/") {
			files = append(files, file{o, m.bucket, name})
		}
		return nil
	})
	if err != nil {
		return err
	}
	root, err := m.open()
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range files {
		if err := root.Remove(path.Clean(f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return notAFile(f, err)
		}
	}
	if err := stage.copy(ctx, as, files, root, m.dir, false, func(int64, int64) {}); err != nil {
		return err
	}
	known := map[string]stamp{}
	for _, f := range files {
		name := path.Clean(f.name)
		info, err := root.Stat(name)
		if err != nil {
			return err
		}
		known[name] = stampOf(info)
	}
	m.known = known
	return m.remember()
}

// Up is one pass: it puts the files that are new or have changed, and deletes
// in S3 those that are gone. A file that was changed a moment ago waits for a
// later pass.
func (m *Mirror) Up(ctx context.Context, as *awsapi.Caller) error {
	return m.up(ctx, as, m.now().Add(-settled))
}

// Finish is the last pass, when nothing writes any more: nothing waits.
func (m *Mirror) Finish(ctx context.Context, as *awsapi.Caller) error {
	return m.up(ctx, as, time.Time{})
}

// up does a pass. Files that changed after a time wait; the zero time is never.
func (m *Mirror) up(ctx context.Context, as *awsapi.Caller, before time.Time) error {
	root, err := m.open()
	if err != nil {
		return err // and nothing is deleted: a folder that is missing is no empty one
	}
	defer root.Close()
	there, err := files(root)
	if err != nil {
		return err
	}
	put, gone := m.plan(there, before)
	if len(put)+len(gone) == 0 {
		return nil
	}
	// What is about to go up is remembered first: whatever happens on the way,
	// it is deleted in S3 when the job deletes it.
	for _, name := range put {
		if _, ok := m.known[name]; !ok {
			m.known[name] = stamp{}
		}
	}
	if err := m.remember(); err != nil {
		return err
	}
	var failed []error // one that fails does not keep the others from S3
	for _, name := range put {
		failed = append(failed, m.put(ctx, as, root, name))
	}
	for _, name := range gone {
		err := m.objects.Delete(ctx, as, m.bucket, m.prefix+name)
		if err == nil {
			delete(m.known, name)
		}
		failed = append(failed, err)
	}
	return errors.Join(append(failed, m.remember())...)
}

// plan says what a pass does, in the order of the names.
func (m *Mirror) plan(there map[string]stamp, before time.Time) (put, gone []string) {
	for _, name := range slices.Sorted(maps.Keys(there)) {
		s := there[name]
		if s != m.known[name] && (before.IsZero() || s.Modified.Before(before)) {
			put = append(put, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.known)) {
		if _, ok := there[name]; !ok {
			gone = append(gone, name)
		}
	}
	return put, gone
}

// put puts one file, if it holds still meanwhile: else, or if it goes, a later
// pass sees to it.
func (m *Mirror) put(ctx context.Context, as *awsapi.Caller, root *os.Root, name string) error {
	// Whatever the job has put there by now, opening it must not wait.
	in, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return vanished(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	before := stampOf(info)
	body := &still{in: in, left: before.Size, unchanged: func() bool {
		info, err := in.Stat()
		return err == nil && stampOf(info) == before
	}}
	if err := m.objects.Put(ctx, as, m.bucket, m.prefix+name, body, before.Size); err != nil {
		if body.moved {
			return nil
		}
		return err
	}
	m.known[name] = before
	return nil
}

// vanished forgives what happens to files that the job deletes or replaces.
func vanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return nil
	}
	return err
}

var errMoved = errors.New("the file changed while it was read")

// still reads a file that must not change, and fails at the end of one that
// has: an object whose body fails is not stored.
type still struct {
	in        io.Reader
	left      int64
	unchanged func() bool
	moved     bool
}

func (s *still) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.in.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if err == io.EOF && s.left > 0 || s.left == 0 && !s.unchanged() { //nolint:errorlint // io.Reader says that it is bare
		s.moved = true
		return 0, errMoved
	}
	return n, err
}

// files are the regular files of a folder, by path. Links to files of the
// folder count as files; other links, sockets and pipes don't.
func files(root *os.Root) (map[string]stamp, error) {
	out := map[string]stamp{}
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if name == "." {
				return err
			}
			return vanished(err)
		}
		if d.IsDir() || !utf8.ValidString(name) { // S3 has no name for the latter
			return nil
		}
		info, err := root.Stat(name)
		if err == nil && info.Mode().IsRegular() {
			out[name] = stampOf(info)
		}
		return nil // what can't be looked at, as a link that leads out, is none of it
	})
	return out, err
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime().UTC()} }

// remember writes down what is known, whole or not at all.
func (m *Mirror) remember() error {
	raw, err := json.Marshal(m.known)
	if err != nil {
		return err
	}
	half, err := os.CreateTemp(filepath.Dir(m.file), ".checkpoints-")
	if err != nil {
		return err
	}
	defer os.Remove(half.Name())
	_, err = half.Write(raw)
	if err := errors.Join(err, half.Sync(), half.Close()); err != nil {
		return err
	}
	return os.Rename(half.Name(), m.file)
}
