package features

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Loader turns a photo's file into a backbone's input. It is safe for concurrent use.
type Loader interface {
	// Load writes the tensor of the photo b into dst, which has Len elements.
	Load(b []byte, dst []float32) error
	// Key identifies the recipe: equal keys, equal tensors.
	Key() string
	// Len is the number of floats in a photo's tensor.
	Len() int
}

// Backbone is a network that turns a photo's tensor into a feature vector.
type Backbone struct {
	SHA256 string // identifies its bytes
	Dim    int    // floats in a feature vector
	// Open prepares it. It is called only when there is something to compute.
	Open func() (Network, error)
}

// Network is a prepared backbone. Bind may be called from several goroutines.
type Network interface {
	// Bind prepares runs from in, the tensor of one photo, to out, its features.
	Bind(in, out []float32) (Run, error)
	Close()
}

// Run is a network over fixed memory; it computes in the calling thread.
type Run interface {
	Run() error
	Close()
}

// Config says what to extract and where to keep it.
type Config struct {
	Cache    string // folder shared by processes; made when absent
	Backbone Backbone
	Loader   Loader
	Workers  int   // goroutines that compute; 0: one for each core
	MaxBytes int64 // size of all segments under Cache; 0: DefaultMaxBytes

	Progress func(Progress) // called now and then, from one goroutine at a time; may be nil
}

// DefaultMaxBytes keeps the features of a million photos and more.
const DefaultMaxBytes = 8 << 30

// maxFile bounds a photo's file: what is larger is not a photo.
const maxFile = 256 << 20

// Progress is how far an extraction is.
type Progress struct {
	Done, Total int
	Rate        float64 // photos per second that this process computes; 0 while another does
	Waiting     bool    // another process computes
}

// Set is the features of a list of photos. Equal files share a row.
type Set struct {
	Dim  int
	IDs  []ID        // SHA-256 of each file
	Rows [][]float32 // nil where the photo cannot be read
	Bad  []Bad
	// Computed is how many rows were computed now, Elapsed the time it took.
	Computed int
	Elapsed  time.Duration
}

// Bad is a photo that cannot be read, and why.
type Bad struct {
	Index int
	Err   error
}

// Extractor computes and remembers features. It is safe for concurrent use.
type Extractor struct{ Config }

// New makes an extractor.
func New(c Config) *Extractor {
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return &Extractor{c}
}

// Key names the folder of the cache that holds this extractor's features.
func (x *Extractor) Key() string {
	sum := sha256.Sum256([]byte(x.Backbone.SHA256 + "\n" + x.Loader.Key()))
	return hex.EncodeToString(sum[:16])
}

// Features gives the features of photos, from the cache where it has them.
// Photos that cannot be decoded are in Set.Bad; files that cannot be read are
// an error.
func (x *Extractor) Features(ctx context.Context, paths []string) (*Set, error) {
	set := &Set{Dim: x.Backbone.Dim, Rows: make([][]float32, len(paths))}
	var err error
	if set.IDs, err = x.hash(ctx, paths); err != nil {
		return nil, err
	}
	b := newBatch(set.IDs, paths)
	if err := x.fill(ctx, b); err != nil {
		return nil, err
	}
	for i, k := range b.of {
		set.Rows[i] = b.rows[k]
		if b.errs[k] != nil {
			set.Bad = append(set.Bad, Bad{i, b.errs[k]})
		}
	}
	set.Computed, set.Elapsed = b.computed, b.elapsed
	return set, nil
}

// batch is the distinct photos of a request.
type batch struct {
	ids      []ID
	paths    []string // a file of each
	rows     [][]float32
	errs     []error
	of       []int // for each photo of the request, its place here
	computed int
	elapsed  time.Duration
}

func newBatch(ids []ID, paths []string) *batch {
	b := &batch{of: make([]int, len(ids))}
	at := make(map[ID]int, len(ids))
	for i, id := range ids {
		k, ok := at[id]
		if !ok {
			k = len(b.ids)
			at[id] = k
			b.ids, b.paths = append(b.ids, id), append(b.paths, paths[i])
		}
		b.of[i] = k
	}
	b.rows, b.errs = make([][]float32, len(b.ids)), make([]error, len(b.ids))
	return b
}

// fill brings in every row of b: from the cache, else from a process that
// computes them just now, else by computing.
func (x *Extractor) fill(ctx context.Context, b *batch) error {
	c, err := openCache(x.Cache, x.Key(), x.Backbone.Dim)
	if err != nil {
		return fmt.Errorf("feature cache: %w", err)
	}
	missing, err := c.read(b.ids, b.rows)
	if err != nil {
		return fmt.Errorf("feature cache: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	unlock, err := c.lock(ctx, x.waiting(c, b, missing))
	if err != nil {
		return fmt.Errorf("feature cache: %w", err)
	}
	defer unlock()
	if missing, err = c.again(b, missing); err != nil {
		return fmt.Errorf("feature cache: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := c.clean(); err != nil {
		return fmt.Errorf("feature cache: %w", err)
	}
	start := time.Now()
	if err := x.compute(ctx, c, b, missing); err != nil {
		return err
	}
	b.computed, b.elapsed = len(missing), time.Since(start)
	if err := shrink(x.Cache, x.MaxBytes); err != nil {
		return fmt.Errorf("feature cache: %w", err)
	}
	return nil
}

// again reads what is still missing, after others may have computed it.
func (c *cache) again(b *batch, missing []int) ([]int, error) {
	ids, rows := make([]ID, len(missing)), make([][]float32, len(missing))
	for k, i := range missing {
		ids[k] = b.ids[i]
	}
	left, err := c.read(ids, rows)
	if err != nil {
		return nil, err
	}
	for k, i := range missing {
		b.rows[i] = rows[k]
	}
	for k := range left {
		left[k] = missing[left[k]]
	}
	return left, nil
}

// waiting reports, now and then, how far the process that computes has come.
func (x *Extractor) waiting(c *cache, b *batch, missing []int) func() {
	const every = 20 // polls, about two seconds
	polls := 0
	return func() {
		if polls++; polls%every != 1 {
			return
		}
		left, err := c.again(b, missing)
		if err == nil { // the next look, under the lock, reports errors
			x.Progress(Progress{Done: len(b.ids) - len(left), Total: len(b.ids), Waiting: true})
		}
	}
}

// hash reads every file once for its SHA-256.
func (x *Extractor) hash(ctx context.Context, paths []string) ([]ID, error) {
	ids := make([]ID, len(paths))
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range x.Workers {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(paths) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				var err error
				if ids[i], err = hashFile(paths[i]); err != nil {
					return err
				}
			}
		})
	}
	return ids, g.Wait()
}

func hashFile(path string) (id ID, err error) {
	f, err := os.Open(path)
	if err != nil {
		return id, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return id, fmt.Errorf("read %s: %w", path, err)
	}
	return ID(h.Sum(nil)), nil
}

var errTooLarge = errors.New("the file is too large for a photo")

// readFile reads into buf, which grows where it must.
func readFile(path string, buf []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, errTooLarge
	}
	if n := int(info.Size()); cap(buf) < n {
		buf = make([]byte, n)
	} else {
		buf = buf[:n]
	}
	_, err = io.ReadFull(f, buf)
	return buf, err
}
