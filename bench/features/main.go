// Command features measures feature extraction against the least that it could
// cost: a plain loop over ONNX Runtime whose inputs lie ready in memory.
//
//	go run ./bench/features [-data DIR] [-photos 400] [-rounds 5] [-backbone efficientnet-lite0]
//
// In every round, in a new order, with one goroutine a core each:
//
//	plain      tensors ready in memory → ONNX Runtime; nothing else
//	pipeline   Musher's extraction with ready tensors in place of decoding: reading,
//	           hashing, hand-over, cache; the bar is 10 % below plain
//	whole      Musher's extraction: the same, and decoding + resizing, overlapped
//	decode     decoding and resizing alone
//
// From the last two follows what overlapping is worth: with nothing overlapped a
// photo would pass one core for decoding and then the network, and the other
// cores would wait meanwhile. Figures are medians over the rounds; processor time
// is given beside the wall clock, because it stays comparable on a busy machine.
package main

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/bench/internal/rig"
	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/backbone"
	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/train/features"
	"github.com/musher/musher/internal/vision"
)

func main() {
	data := flag.String("data", "", "folder of photos; default: dogs-full of MUSHER_SHARED")
	photos := flag.Int("photos", 400, "photos a measurement")
	rounds := flag.Int("rounds", 5, "rounds")
	name := flag.String("backbone", "efficientnet-lite0", "backbone")
	flag.Parse()
	if err := run(context.Background(), *data, *photos, *rounds, *name); err != nil {
		fmt.Fprintln(os.Stderr, "features:", err)
		os.Exit(1)
	}
}

// bench is what the measurements share.
type bench struct {
	session *ort.Session
	dim     int
	loader  loader
	paths   []string
	tensors [][]float32 // of the photos, as many as fit the memory that we allow
	cores   int
}

// measurement is one way of working through all photos.
type measurement struct {
	name  string
	run   func(ctx context.Context) error
	rate  []float64 // photos per second
	spent []float64 // processor time, ms per photo
}

func run(ctx context.Context, data string, photos, rounds int, name string) error {
	b, err := prepare(ctx, data, photos, name)
	if err != nil {
		return err
	}
	defer b.session.Close()
	all := []*measurement{
		{name: "plain", run: b.plain},
		{name: "pipeline", run: func(ctx context.Context) error { return b.extract(ctx, &ready{b: b}) }},
		{name: "whole", run: func(ctx context.Context) error { return b.extract(ctx, b.loader) }},
		{name: "decode", run: b.decode},
	}
	for round := range rounds + 1 {
		for _, i := range rand.Perm(len(all)) {
			if err := all[i].measure(ctx, len(b.paths), round > 0); err != nil {
				return fmt.Errorf("%s: %w", all[i].name, err)
			}
		}
	}
	b.report(all)
	return nil
}

func prepare(ctx context.Context, data string, photos int, name string) (*bench, error) {
	spec, err := backbone.Get(name)
	if err != nil {
		return nil, err
	}
	b := &bench{loader: loader{spec.Preprocess}, cores: runtime.GOMAXPROCS(0)}
	if b.session, b.dim, err = openBackbone(ctx, name); err != nil {
		return nil, err
	}
	if data == "" {
		if data, err = rig.Shared("dogs-full"); err != nil {
			return nil, err
		}
	}
	if b.paths, err = photosOf(data, photos); err != nil {
		return nil, err
	}
	const most = 512 << 20 // bytes of tensors
	for _, path := range b.paths[:min(len(b.paths), most/(4*b.loader.Len()))] {
		photo, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		t := make([]float32, b.loader.Len())
		if err := b.loader.Load(photo, t); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		b.tensors = append(b.tensors, t)
	}
	return b, nil
}

func openBackbone(ctx context.Context, name string) (*ort.Session, int, error) {
	cache, err := rig.Cache()
	if err != nil {
		return nil, 0, err
	}
	resolver, err := assets.New(cache, assets.Options{})
	if err != nil {
		return nil, 0, err
	}
	item, err := assets.ONNXRuntime(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return nil, 0, err
	}
	library, err := resolver.Fetch(ctx, item)
	if err != nil {
		return nil, 0, err
	}
	lib, err := ort.Load(library)
	if err != nil {
		return nil, 0, err
	}
	path, _, err := backbone.Resolve(ctx, resolver, cache, name)
	if err != nil {
		return nil, 0, err
	}
	session, err := lib.OpenSession(path, ort.Options{IntraThreads: 1, InterThreads: 1})
	if err != nil {
		return nil, 0, err
	}
	fmt.Printf("%s in ONNX Runtime %s\n", name, lib.Version())
	return session, int(session.Outputs()[0].Shape[1]), nil
}

// photosOf picks photos evenly from a folder.
func photosOf(dir string, n int) ([]string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".jpg" {
			all = append(all, path)
		}
		return err
	})
	if err != nil || len(all) == 0 {
		return nil, fmt.Errorf("no .jpg photos under %s (%w)", dir, err)
	}
	if n >= len(all) {
		return all, nil
	}
	picked := make([]string, n)
	for i := range picked {
		picked[i] = all[i*len(all)/n]
	}
	return picked, nil
}

func (m *measurement) measure(ctx context.Context, photos int, counts bool) error {
	start, before := time.Now(), cpu()
	if err := m.run(ctx); err != nil {
		return err
	}
	if counts { // the first round only warms up
		m.rate = append(m.rate, float64(photos)/time.Since(start).Seconds())
		m.spent = append(m.spent, 1000*(cpu()-before).Seconds()/float64(photos))
	}
	return nil
}

// plain is the loop that nobody can beat with this runtime.
func (b *bench) plain(ctx context.Context) error {
	return b.share(ctx, func(next func() (int, bool)) error {
		in, out := make([]float32, b.loader.Len()), make([]float32, b.dim)
		run, err := b.Bind(in, out)
		if err != nil {
			return err
		}
		defer run.Close()
		for i, ok := next(); ok; i, ok = next() {
			copy(in, b.tensors[i%len(b.tensors)])
			if err := run.Run(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) decode(ctx context.Context) error {
	return b.share(ctx, func(next func() (int, bool)) error {
		in := make([]float32, b.loader.Len())
		for i, ok := next(); ok; i, ok = next() {
			photo, err := os.ReadFile(b.paths[i])
			if err != nil {
				return err
			}
			if err := b.loader.Load(photo, in); err != nil {
				return err
			}
		}
		return nil
	})
}

// share runs work in one goroutine a core, which draw the photos' numbers.
func (b *bench) share(ctx context.Context, work func(next func() (int, bool)) error) error {
	g, ctx := errgroup.WithContext(ctx)
	var drawn atomic.Int64
	for range b.cores {
		g.Go(func() error {
			return work(func() (int, bool) {
				i := int(drawn.Add(1)) - 1
				return i, i < len(b.paths) && ctx.Err() == nil
			})
		})
	}
	return g.Wait()
}

// extract is Musher's extraction with an empty cache.
func (b *bench) extract(ctx context.Context, l features.Loader) error {
	cache, err := os.MkdirTemp("", "musher-bench-features-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	set, err := features.New(features.Config{
		Cache: cache, Loader: l,
		Backbone: features.Backbone{SHA256: hex.EncodeToString([]byte("bench")), Dim: b.dim, Open: func() (features.Network, error) { return b, nil }},
	}).Features(ctx, b.paths)
	if err == nil && len(set.Bad) > 0 {
		err = fmt.Errorf("%s: %w", b.paths[set.Bad[0].Index], set.Bad[0].Err)
	}
	return err
}

// Bind makes bench a features.Network.
func (b *bench) Bind(in, out []float32) (features.Run, error) {
	side := int64(b.loader.Crop)
	return b.session.Bind([]ort.Tensor{ort.Of(in, 1, 3, side, side)}, []ort.Tensor{ort.Of(out, 1, int64(b.dim))})
}

// Close leaves the session open for the next measurement.
func (b *bench) Close() {}

// loader is the preprocessing as training does it.
type loader struct{ vision.Preprocess }

// ready takes the place of decoding: it copies a tensor that is there already.
type ready struct {
	b    *bench
	next atomic.Int64
}

func (r *ready) Len() int    { return r.b.loader.Len() }
func (r *ready) Key() string { return "ready" }
func (r *ready) Load(_ []byte, dst []float32) error {
	copy(dst, r.b.tensors[int(r.next.Add(1))%len(r.b.tensors)])
	return nil
}

func (b *bench) report(all []*measurement) {
	fmt.Printf("%s; %d photos, medians of %d rounds\n\n", rig.Machine(), len(b.paths), len(all[0].rate))
	fmt.Printf("%-10s %10s %15s %18s %15s\n", "", "photos/s", "against plain", "CPU ms a photo", "against plain")
	plain := all[0]
	for _, m := range all {
		fmt.Printf("%-10s %10.1f %13.1f %% %18.2f %13.1f %%\n", m.name,
			rig.Median(m.rate), 100*(paired(m.rate, plain.rate)-1), rig.Median(m.spent), 100*(paired(m.spent, plain.spent)-1))
	}
	whole, decode := all[2], all[3]
	cores := float64(b.cores)
	alternating := 1 / (cores/rig.Median(decode.rate) + 1/rig.Median(plain.rate))
	fmt.Printf("\nnot overlapped, decoding on one core before the network on all: %.1f photos/s\n", alternating)
	fmt.Printf("overlapped (whole): %.1f photos/s, %.0f %% of the cores' time in use\n",
		rig.Median(whole.rate), 100*rig.Median(whole.spent)*rig.Median(whole.rate)/1000/cores)
}

// paired is the median over the rounds of the ratio within a round: what slows
// a whole round down does not count.
func paired(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return rig.Median(ratios)
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
