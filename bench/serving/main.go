// Command serving measures the model server: photo in, 133 log probabilities
// out, through its socket, beside a plain loop over ONNX Runtime in the same run.
//
//	go run ./bench/serving                       # everything; needs what `musher up` fetches
//	go run ./bench/serving -photo a.jpg -secs 10 -conc 1,8,32 -batch 8,32
//
// Client and server share the machine, as they do wherever this is compared
// with other servers. Medians of a noisy machine: read them as ratios.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/assets"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "serving:", err)
		os.Exit(1)
	}
}

type options struct {
	musher, photo, cache string
	seconds              time.Duration
	conc, tinyConc       []int
	batches              []int
}

func run(ctx context.Context) error {
	o, err := parseFlags()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "serving-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, o, dir)
	if err != nil {
		return err
	}
	b.printMachine()
	if err := b.photos(ctx); err != nil {
		return err
	}
	return b.tiny(ctx)
}

func parseFlags() (o options, err error) {
	cache, _ := os.UserCacheDir()
	flag.StringVar(&o.musher, "musher", "", "binary of musher; empty: built from this module")
	flag.StringVar(&o.photo, "photo", "", "photo to send; empty: the one in MUSHER_SHARED, or else a generated one")
	flag.StringVar(&o.cache, "cache", filepath.Join(cache, "musher"), "folder of weights and libraries")
	seconds := flag.Float64("secs", 5, "length of one measurement")
	conc := flag.String("conc", "1,8,32", "requests at the same time, photos")
	tiny := flag.String("tiny-conc", "1,16,64", "requests at the same time, tiny model")
	batches := flag.String("batch", "", "also with one worker and batches up to these sizes, as 8,32")
	flag.Parse()
	o.seconds = time.Duration(*seconds * float64(time.Second))
	for text, to := range map[string]*[]int{*conc: &o.conc, *tiny: &o.tinyConc, *batches: &o.batches} {
		for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
			n, err := strconv.Atoi(field)
			if err != nil || n < 1 {
				return o, fmt.Errorf("%q is no number from 1 on", field)
			}
			*to = append(*to, n)
		}
	}
	return o, nil
}

// bench is what all measurements share.
type bench struct {
	options
	dir      string // temporary
	resolver *assets.Resolver
	library  string
	body     []byte // the photo
	bodyIs   string
}

func newBench(ctx context.Context, o options, dir string) (*bench, error) {
	b := &bench{options: o, dir: dir}
	var err error
	if b.resolver, err = assets.New(o.cache, assets.Options{}); err != nil {
		return nil, err
	}
	item, err := assets.ONNXRuntime(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	if b.library, err = b.resolver.Fetch(ctx, item); err != nil {
		return nil, err
	}
	if b.musher == "" {
		b.musher = filepath.Join(dir, "musher")
		build := exec.CommandContext(ctx, "go", "build", "-o", b.musher, "github.com/musher/musher/cmd/musher")
		build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build musher: %w", err)
		}
	}
	return b, b.readPhoto()
}

func (b *bench) readPhoto() (err error) {
	path := b.photo
	if path == "" {
		shared := os.Getenv("MUSHER_SHARED")
		if shared == "" {
			shared = "../shared"
		}
		path = filepath.Join(shared, "bench", "serving", "photo.jpg")
		if _, err := os.Stat(path); err != nil {
			b.bodyIs = "a generated JPEG, 500 x 375 (no photo given)"
			b.body, err = generatedJPEG(500, 375)
			return err
		}
	}
	b.bodyIs = path
	b.body, err = os.ReadFile(path)
	return err
}

func (b *bench) printMachine() {
	fmt.Printf("%s, %d of %d cores, %s, %s\nphoto: %s, %d bytes\n", cpuName(), runtime.GOMAXPROCS(0), runtime.NumCPU(),
		runtime.GOOS, runtime.Version(), b.bodyIs, len(b.body))
}

// photos measures the main thing.
func (b *bench) photos(ctx context.Context) error {
	folder := filepath.Join(b.dir, "lite0")
	if err := b.writeLite0(ctx, folder, 133); err != nil {
		return err
	}
	fmt.Printf("\nEfficientNet-Lite0, 133 classes, image/jpeg\n")
	b.head()
	for _, decode := range []bool{false, true} {
		for _, n := range []int{1, runtime.GOMAXPROCS(0)} {
			if err := b.loop(ctx, folder, n, decode); err != nil {
				return err
			}
		}
	}
	if err := b.served(ctx, "musher serve-model", folder, b.conc, "image/jpeg", b.body); err != nil {
		return err
	}
	for _, size := range b.batches {
		name := fmt.Sprintf("… 1 worker, batches up to %d", size)
		if err := b.served(ctx, name, folder, b.conc, "image/jpeg", b.body, "MUSHER_BATCH_WORKERS=1", "MUSHER_MAX_BATCH="+strconv.Itoa(size)); err != nil {
			return err
		}
	}
	return nil
}

// tiny measures what a request costs apart from decoding and inference.
func (b *bench) tiny(ctx context.Context) error {
	folder := filepath.Join(b.dir, "tiny")
	if err := writeTiny(folder, 10); err != nil {
		return err
	}
	body, err := tinyJSON()
	if err != nil {
		return err
	}
	fmt.Printf("\nTiny model, 8 x 8 pixels, 10 classes, application/json of %d bytes (one instance, base64 of a PNG)\n", len(body))
	b.head()
	return b.served(ctx, "musher serve-model", folder, b.tinyConc, "application/json", body)
}

func (b *bench) head() {
	fmt.Printf("%-42s %5s %10s %9s %9s %11s %9s\n", "", "conc", "requests/s", "p50 ms", "p99 ms", "CPU ms/req", "RSS MiB")
}

func (b *bench) served(ctx context.Context, name, folder string, conc []int, contentType string, body []byte, env ...string) error {
	s, err := b.start(ctx, folder, env...)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, n := range conc {
		r, err := s.measure(ctx, n, b.seconds, contentType, body)
		if err != nil {
			return err
		}
		fmt.Printf("%-42s %5d %10.0f %9.2f %9.2f %11.2f %9.0f\n", name, n, r.perSecond, r.p50, r.p99, r.cpu, r.rss)
	}
	fmt.Printf("%-42s %5s ready %.0f ms after its start\n", "", "", s.ready.Seconds()*1000)
	return nil
}
