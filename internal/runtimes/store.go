package runtimes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotFound means that nothing was added or installed under a name.
var ErrNotFound = errors.New("was neither added nor installed")

// Options of Open.
type Options struct {
	Cache string // folder of what can be had again; required
	// Search are the folders in which a python3 is looked for; nil: those of
	// PATH, /usr/local/bin and /usr/bin.
	Search []string
}

// Store knows the runtimes of one data folder. Several of them, of several
// processes, may be open on the same folders.
type Store struct {
	dir, cache string
	search     []string
	table      *table
	prober     *prober
}

// Open reads nothing but its own tables: what it needs of dir and the machine
// it looks at when it is asked.
func Open(dir string, o Options) (*Store, error) {
	t, err := readTable(data)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	cache, err := filepath.Abs(filepath.Join(o.Cache, "runtimes"))
	if err != nil {
		return nil, err
	}
	if o.Search == nil {
		o.Search = append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/bin", "/usr/bin")
	}
	return &Store{
		dir: dir, cache: cache, search: o.Search, table: t,
		prober: newProber(filepath.Join(cache, "interpreters"), t.modules()),
	}, nil
}

// added is what the user added under a name.
type added struct {
	Name   string    `json:"name"`
	Python string    `json:"python"`
	Images []string  `json:"images,omitempty"` // patterns
	At     time.Time `json:"at"`
}

type addedFile struct {
	Runtimes []added `json:"runtimes"`
}

func (s *Store) addedPath() string { return filepath.Join(s.dir, "runtimes.json") }

func (s *Store) added() (f addedFile, err error) {
	raw, err := os.ReadFile(s.addedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil {
		return f, fmt.Errorf("cannot read the runtimes that were added, %s: %w", s.addedPath(), err)
	}
	return f, nil
}

func (f addedFile) find(name string) *added {
	if i := slices.IndexFunc(f.Runtimes, func(a added) bool { return a.Name == name }); i >= 0 {
		return &f.Runtimes[i]
	}
	return nil
}

func (f *addedFile) drop(name string) {
	f.Runtimes = slices.DeleteFunc(f.Runtimes, func(a added) bool { return a.Name == name })
}

var names = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// Add makes the interpreter at a path the runtime of a name, also for the
// images that fit the patterns. An earlier one of the name goes. The
// interpreter is run to see that it is one, and has what the runtime needs.
func (s *Store) Add(ctx context.Context, name, python string, images ...string) (Interpreter, error) {
	if !names.MatchString(name) || name == builtinName {
		return Interpreter{}, fmt.Errorf("%q cannot be the name of a runtime: small letters, digits, dots and dashes can", name)
	}
	for _, pattern := range images {
		if _, err := compile(pattern); err != nil {
			return Interpreter{}, err
		}
	}
	python, err := filepath.Abs(python)
	if err != nil {
		return Interpreter{}, err
	}
	in, err := s.prober.look(ctx, python)
	if err != nil {
		return in, err
	}
	if k := s.table.find(name); k != nil && !in.Has(k.needs...) {
		return in, fmt.Errorf("%s has no module %s, which %s is about", in.Path, join(k.needs), name)
	}
	return in, s.change(func(f *addedFile) {
		f.drop(name)
		f.Runtimes = append(f.Runtimes, added{Name: name, Python: python, Images: images, At: time.Now().UTC()})
	})
}

// Remove forgets what was added and installed under a name. An environment
// that was made for it is removed: work that runs in it fails.
func (s *Store) Remove(ctx context.Context, name string) error {
	own, err := s.added()
	if err != nil {
		return err
	}
	found := own.find(name) != nil
	if found {
		if err := s.change(func(f *addedFile) { f.drop(name) }); err != nil {
			return err
		}
	}
	installed, err := s.uninstall(ctx, name)
	if err == nil && !found && !installed {
		return fmt.Errorf("%s %w", name, ErrNotFound)
	}
	return err
}

// change rewrites runtimes.json, one process at a time.
func (s *Store) change(edit func(*addedFile)) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(s.dir, "runtimes.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	f, err := s.added()
	if err != nil {
		return err
	}
	edit(&f)
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return replace(s.addedPath(), append(raw, '\n'))
}
