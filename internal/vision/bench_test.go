//go:build unix

package vision

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// photoLike is a 500 × 375 JPEG of about the size that a photo has: slow waves,
// edges, and a little noise.
func photoLike(tb testing.TB) []byte {
	tb.Helper()
	const w, h = 500, 375
	noise := picture(w, h, false).Pix
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			for c := range 3 {
				wave := 90 * math.Sin(float64(x)/(17+5*float64(c))+float64(y)/(23-4*float64(c)))
				edge := 30 * float64((x/40+y/30)%2)
				img.Pix[y*img.Stride+4*x+c] = byte(100 + wave/2 + edge + float64(noise[(y*w+x)*3+c]&31))
			}
			img.Pix[y*img.Stride+4*x+3] = 255
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 88}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// perCore adds what one core does in a second of its own time, which other work on
// the machine does not blur as it does ns/op.
func perCore(b *testing.B) func() {
	start := cpuSeconds(b)
	return func() { b.ReportMetric(float64(b.N)/(cpuSeconds(b)-start), "photos/s/core") }
}

func cpuSeconds(b *testing.B) float64 {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

func eachDecoder(b *testing.B, f func(b *testing.B, d *Decoder)) {
	b.Run("turbo", func(b *testing.B) { f(b, turboDecoder(b)) })
	b.Run("go", func(b *testing.B) { f(b, newDecoder(b, Options{Turbo: TurboOff})) })
}

func BenchmarkDecode(b *testing.B) {
	data := photoLike(b)
	eachDecoder(b, func(b *testing.B, d *Decoder) {
		s := new(scratch)
		defer perCore(b)()
		for b.Loop() {
			if _, err := d.decode(data, d.limits, s); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(data))/1024, "KiB/photo")
	})
}

// BenchmarkResize is the whole picture, 500 × 375 to 341 × 256.
func BenchmarkResize(b *testing.B) {
	m := picture(500, 375, false)
	for _, f := range []Filter{Bilinear, Bicubic} {
		b.Run(string(f), func(b *testing.B) {
			defer perCore(b)()
			for b.Loop() {
				m.Resize(341, 256, f)
			}
		})
	}
}

// BenchmarkInto is resize, crop and normalisation, 500 × 375 to 3 × 224 × 224.
func BenchmarkInto(b *testing.B) {
	m, d := picture(500, 375, false), newDecoder(b, Options{Turbo: TurboOff})
	for _, p := range []Preprocess{ImageNet(), EfficientNetLite0()} {
		b.Run(string(p.Filter), func(b *testing.B) {
			dst, s := make([]float32, p.Len()), new(scratch)
			defer perCore(b)()
			for b.Loop() {
				if err := d.into(dst, m, p, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	data, p := photoLike(b), EfficientNetLite0()
	eachDecoder(b, func(b *testing.B, d *Decoder) {
		dst := make([]float32, p.Len())
		b.ReportAllocs()
		defer perCore(b)()
		for b.Loop() {
			if err := d.Load(data, p, dst); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLoadPhotos is Load on real photos, in turn.
func BenchmarkLoadPhotos(b *testing.B) {
	dir := sharedPhotos(b)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) == 0 {
		b.Fatalf("no photos in %s: %v", dir, err)
	}
	var photos [][]byte
	for _, f := range files[:min(len(files), 100)] {
		data, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		photos = append(photos, data)
	}
	p := EfficientNetLite0()
	eachDecoder(b, func(b *testing.B, d *Decoder) {
		dst := make([]float32, p.Len())
		defer perCore(b)()
		for i := 0; b.Loop(); i++ {
			if err := d.Load(photos[i%len(photos)], p, dst); err != nil {
				b.Fatal(err)
			}
		}
	})
}
