package assets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// FolderEnv names the operator's folder of ready files and wheels.
const FolderEnv = "MUSHER_ASSETS"

// Options are the resolver's surroundings; the zero value suits production.
type Options struct {
	Progress func(Progress)           // called from Fetch's goroutines; must be safe for concurrent use
	Getenv   func(name string) string // nil: os.Getenv
	HTTP     *http.Client             // nil: a client with sensible time limits
	Log      *slog.Logger             // nil: silent

	stall   time.Duration // give up on a connection that sends nothing; 0: 30 s
	backoff time.Duration // pause before the first repetition; 0: 500 ms
}

// Phase says what a resolver is doing with an item.
type Phase string

// The phases of one Fetch. A cached item has none.
const (
	Waiting     Phase = "waiting"     // another process fetches the same item
	Downloading Phase = "downloading" // Done counts bytes
	Unpacking   Phase = "unpacking"   // Done counts bytes written
	Finished    Phase = "finished"    // the last event of an item that something was reported about
)

// Progress is one step on the way of one item.
type Progress struct {
	Item   string // Item.Name
	Source string // "pip", "uv", or an address's host; empty while unpacking
	Phase  Phase
	Done   int64 // bytes
	Total  int64 // bytes; 0: unknown
}

// Resolver finds items. It is safe for concurrent use, also by several
// processes on the same cache folder.
type Resolver struct {
	root string // CACHE/assets
	opts Options
}

// New returns a resolver that keeps what it fetches below cacheDir/assets.
func New(cacheDir string, opts Options) (*Resolver, error) {
	root, err := filepath.Abs(filepath.Join(cacheDir, "assets"))
	if err != nil {
		return nil, fmt.Errorf("assets: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("assets: %w", err)
	}
	if opts.Progress == nil {
		opts.Progress = func(Progress) {}
	}
	if opts.Getenv == nil {
		opts.Getenv = os.Getenv
	}
	if opts.HTTP == nil {
		opts.HTTP = newHTTPClient()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.stall == 0 {
		opts.stall = 30 * time.Second
	}
	if opts.backoff == 0 {
		opts.backoff = 500 * time.Millisecond
	}
	return &Resolver{root: root, opts: opts}, nil
}

// source is one place to get an item from: it puts the item's bytes into a
// temporary file of the slot and returns that file's path.
type source struct {
	name string
	get  func(context.Context, Item, *slot) (string, error)
}

func (r *Resolver) sources() []source {
	return []source{
		{"folder", r.fromFolder},
		{"package client", r.fromClient},
		{"public address", r.fromWeb},
	}
}

// Fetch returns the path of the item's file. The file belongs to the cache (or
// to the user): read it, do not change it. When no source delivers, the error is
// a *FetchError that names every source and why it failed.
func (r *Resolver) Fetch(ctx context.Context, it Item) (string, error) {
	if err := it.validate(); err != nil {
		return "", err
	}
	if p, ok, err := r.userPath(it); ok {
		return p, err
	}
	s := r.slot(it)
	if s.fresh() {
		return s.file(), nil
	}
	waited := false
	unlock, err := s.lock(ctx, func() {
		waited = true
		r.report(it, "", Waiting, 0, 0)
	})
	if err != nil {
		return "", fmt.Errorf("assets: %s: %w", it.Name, err)
	}
	defer unlock()
	if !s.recheck() {
		return r.fill(ctx, it, s)
	}
	if waited {
		r.report(it, "", Finished, 0, 0)
	}
	return s.file(), nil
}

// fill asks the sources in turn. The slot is locked.
func (r *Resolver) fill(ctx context.Context, it Item, s *slot) (string, error) {
	if err := s.sweep(); err != nil {
		return "", fmt.Errorf("assets: %s: %w", it.Name, err)
	}
	defer r.report(it, "", Finished, 0, 0)
	failed := &FetchError{Item: it}
	for _, src := range r.sources() {
		tmp, err := src.get(ctx, it, s)
		if err == nil {
			err = s.commit(tmp)
		}
		if err == nil {
			r.opts.Log.Info("asset fetched", "item", it.Name, "source", src.name)
			return s.file(), s.sweep()
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("assets: %s: %w", it.Name, context.Cause(ctx))
		}
		failed.Tried = append(failed.Tried, Attempt{Source: src.name, Err: err})
		if !errors.As(err, new(notOffered)) {
			r.opts.Log.Warn("asset source failed", "item", it.Name, "source", src.name, "err", err)
		}
	}
	return "", failed
}

// Verify hashes the cached file of an item, however fresh it looks. A file that
// fails is removed, so that the next Fetch brings it anew; the error then wraps
// ErrChecksum. An item that is not in the cache gives fs.ErrNotExist.
func (r *Resolver) Verify(ctx context.Context, it Item) error {
	if err := it.validate(); err != nil {
		return err
	}
	s := r.slot(it)
	unlock, err := s.lock(ctx, func() {})
	if err != nil {
		return fmt.Errorf("assets: %s: %w", it.Name, err)
	}
	defer unlock()
	if err := s.verify(); err != nil {
		return fmt.Errorf("assets: %s: %w", it.Name, err)
	}
	return nil
}

// userPath answers from the item's own variable. The user's choice is taken
// without a checksum, and without a fallback when it is wrong.
func (r *Resolver) userPath(it Item) (string, bool, error) {
	if it.PathEnv == "" {
		return "", false, nil
	}
	p := r.opts.Getenv(it.PathEnv)
	if p == "" {
		return "", false, nil
	}
	info, err := os.Stat(p)
	if err == nil && info.IsDir() {
		err = errors.New("is a folder")
	}
	if err != nil {
		return "", true, fmt.Errorf("assets: %s: %s=%s: %w", it.Name, it.PathEnv, p, err)
	}
	return p, true, nil
}

func (r *Resolver) report(it Item, source string, phase Phase, done, total int64) {
	r.opts.Progress(Progress{Item: it.Name, Source: source, Phase: phase, Done: done, Total: total})
}
