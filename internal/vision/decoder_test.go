package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// bothDecoders runs a test with libjpeg-turbo, where it is installed, and without.
func bothDecoders(t *testing.T, limits Limits, f func(t *testing.T, d *Decoder)) {
	for _, turbo := range []string{"", TurboOff} {
		d := newDecoder(t, Options{Limits: limits, Turbo: turbo})
		t.Run(d.JPEG(), func(t *testing.T) { f(t, d) })
	}
}

// with gives b with some bytes replaced.
func with(b []byte, at int, patch ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], patch)
	return b
}

// pngClaiming is the header of a PNG of any size, and nothing behind it.
func pngClaiming(w, h uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	ihdr = append(binary.BigEndian.AppendUint32(ihdr, h), 8, 2, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(ihdr))
}

func TestBadImages(t *testing.T) {
	jpg, png := testFile(t, "rgb420.jpg"), testFile(t, "rgb.png")
	webp, gif := testFile(t, "lossy83x61.webp"), testFile(t, "plain.gif")
	sof := bytes.Index(jpg, []byte{0xff, 0xc0})
	sos := bytes.Index(jpg, []byte{0xff, 0xda})
	damaged := bytes.Clone(jpg)
	copy(damaged[len(jpg)-300:], bytes.Repeat([]byte{0xff, 0}, 50)) // ones only: no Huffman code is
	for _, c := range []struct {
		name string
		b    []byte
		kind error
		says string
	}{
		{"nothing", nil, ErrFormat, "no bytes"},
		{"text", []byte("<html>not found</html>"), ErrFormat, `"<html>no"`},
		{"bitmap", []byte("BM\x00\x00\x00\x00"), ErrFormat, "JPEG, PNG, WebP and GIF are read"},
		{"JPEG without end marker", jpg[:len(jpg)-2], ErrCorrupt, "cut off after"},
		{"half a JPEG", jpg[:len(jpg)/2], ErrCorrupt, "cut off after"},
		{"JPEG cut in a segment", jpg[:sof+5], ErrCorrupt, "within segment 0xc0"},
		{"JPEG of three bytes", jpg[:3], ErrCorrupt, "cut off"},
		{"JPEG without frame", slices.Concat(jpg[:2], []byte{0xff, 0xd9}), ErrCorrupt, "no frame header"},
		{"JPEG without data", slices.Concat(jpg[:sos], []byte{0xff, 0xd9}), ErrCorrupt, "no image data"},
		{"JPEG with garbage for data", slices.Concat(jpg[:sos+14], bytes.Repeat([]byte{0xfe}, 500), []byte{0xff, 0xd9}), ErrCorrupt, ""},
		{"damaged JPEG", damaged, ErrCorrupt, ""},
		{"JPEG of 12 bits", with(jpg, sof+4, 12), ErrFormat, "12 bits"},
		{"lossless JPEG", with(jpg, sof+1, 0xc3), ErrFormat, "SOF3"},
		{"JPEG bomb", with(jpg, sof+5, 0xff, 0xff, 0xff, 0xff), ErrTooLarge, "65535 x 65535 = 4294836225 pixels"},
		{"JPEG of no height", with(jpg, sof+5, 0, 0), ErrFormat, "height is not in the frame header"},
		{"JPEG of no width", with(jpg, sof+7, 0, 0), ErrCorrupt, "61"},
		{"endless scans", slices.Concat(jpg[:sos], bytes.Repeat(jpg[sos:sos+14], maxScans+1), jpg[sos:]), ErrCorrupt, "more than 500 scans"},
		{"scan bomb", slices.Concat(with(jpg[:sos], sof+5, 0x1f, 0xff, 0x1f, 0xff), bytes.Repeat(jpg[sos:sos+14], 25), jpg[sos:]), ErrCorrupt, "more than 20 scans of 8191 x 8191"},
		{"half a PNG", png[:len(png)/2], ErrCorrupt, "PNG"},
		{"PNG header only", png[:20], ErrCorrupt, "within the header"},
		{"PNG with a flipped bit", with(png, 60, png[60]^1), ErrCorrupt, "PNG"},
		{"PNG bomb", pngClaiming(60000, 60000), ErrTooLarge, "60000 x 60000 = 3600000000 pixels"},
		{"PNG beyond int32", pngClaiming(1<<32-1, 1<<32-1), ErrTooLarge, "pixels"},
		{"PNG of no width", pngClaiming(0, 5), ErrCorrupt, "0 x 5"},
		{"half a WebP", webp[:len(webp)/2], ErrCorrupt, "cut off after"},
		{"WebP header only", webp[:16], ErrCorrupt, "WebP"},
		{"animated WebP", []byte("RIFF\x20\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00"), ErrFormat, "animation"},
		{"WebP bomb", []byte("RIFF\x20\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\x7f\x00\xff\x7f\x00"), ErrTooLarge, "32768 x 32768"},
		{"half a GIF", gif[:len(gif)/2], ErrCorrupt, "GIF"},
		{"GIF header only", gif[:9], ErrCorrupt, "within the header"},
		{"GIF bomb", with(gif, 6, 0xff, 0xff, 0xff, 0xff), ErrTooLarge, "65535 x 65535"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bothDecoders(t, Limits{}, func(t *testing.T, d *Decoder) {
				_, err := d.Decode(c.b)
				if !errors.Is(err, c.kind) {
					t.Fatalf("error %v, want %v", err, c.kind)
				}
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %q does not say %q", err, c.says)
				}
			})
		})
	}
}

func TestEveryCutIsNoticed(t *testing.T) {
	for _, name := range []string{"rgb420.jpg", "progressive.jpg", "rgb.png", "lossy83x61.webp", "lossless.webp", "plain.gif"} {
		b := testFile(t, name)
		end := len(b)
		if name == "plain.gif" {
			end = len(b) - 1 // the trailer says that no frame follows; the first is whole without it
		}
		bothDecoders(t, Limits{}, func(t *testing.T, d *Decoder) {
			for n := 0; n < end; n += 1 + n/40 {
				if _, err := d.Decode(b[:n]); err == nil {
					t.Errorf("%s: %d of %d bytes decode", name, n, len(b))
				}
			}
		})
	}
}

// TestTolerance: what is wrong with real files and costs no pixels is no error.
func TestTolerance(t *testing.T) {
	jpg := testFile(t, "rgb420.jpg")
	sos := bytes.Index(jpg, []byte{0xff, 0xda})
	for name, b := range map[string][]byte{
		"bytes behind the end":   slices.Concat(jpg, []byte("trailing")),
		"bytes between segments": slices.Concat(jpg[:sos], []byte{1, 2, 3}, jpg[sos:]),
		"fill bytes":             slices.Concat(jpg[:sos], []byte{0xff, 0xff}, jpg[sos:]),
	} {
		t.Run(name, func(t *testing.T) {
			bothDecoders(t, Limits{}, func(t *testing.T, d *Decoder) {
				want, err := d.Decode(jpg)
				if err != nil {
					t.Fatal(err)
				}
				got, err := d.Decode(b)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Pix, want.Pix) {
					t.Error("other pixels")
				}
			})
		})
	}
}

func TestLimits(t *testing.T) {
	jpg := testFile(t, "rgb420.jpg") // 83 x 61 = 5063
	for _, c := range []struct {
		limits Limits
		ok     bool
	}{
		{Limits{MaxPixels: 5063}, true},
		{Limits{MaxPixels: 5062}, false},
		{Limits{MaxSide: 83}, true},
		{Limits{MaxSide: 82}, false},
	} {
		_, err := Decode(jpg, c.limits)
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%+v: %v", c.limits, err)
		}
	}
	var large *TooLargeError
	_, err := Decode(jpg, Limits{MaxSide: 82})
	if !errors.As(err, &large) || large.Width != 83 || large.Height != 61 || large.Limits.MaxSide != 82 || large.Format != "JPEG" {
		t.Errorf("%#v", large)
	}
}

// TestBombsAllocateNothing: the limit is looked at before memory is.
func TestBombsAllocateNothing(t *testing.T) {
	d := newDecoder(t, Options{})
	for _, b := range [][]byte{
		pngClaiming(60000, 60000),
		with(testFile(t, "rgb420.jpg"), bytes.Index(testFile(t, "rgb420.jpg"), []byte{0xff, 0xc0})+5, 0xff, 0xff, 0xff, 0xff),
		with(testFile(t, "plain.gif"), 6, 0xff, 0xff, 0xff, 0xff),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := d.Decode(b)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%d bytes allocated", grown)
		}
	}
}

func TestConcurrentLoadsAgree(t *testing.T) {
	bothDecoders(t, Limits{}, func(t *testing.T, d *Decoder) {
		p := bytesRecipe(50, 47, Bicubic)
		names := []string{"rgb420.jpg", "gray.jpg", "cmyk.jpg", "rgb.png", "lossy83x61.webp", "progressive.jpg"}
		want := map[string][]float32{}
		for _, n := range names {
			want[n] = make([]float32, p.Len())
			if err := d.Load(testFile(t, n), p, want[n]); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				dst := make([]float32, p.Len())
				for i := range 40 {
					n := names[(g+i)%len(names)]
					if i%5 == 0 { // a failure in between must leave the handle usable
						_ = d.Load(testFile(t, n)[:400], p, dst)
					}
					if err := d.Load(testFile(t, n), p, dst); err != nil || !slices.Equal(dst, want[n]) {
						t.Errorf("%s: error %v, or another tensor", n, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestNamedTurboMustLoad(t *testing.T) {
	if _, err := NewDecoder(Options{Turbo: "/nowhere/libturbojpeg.so"}); err == nil || !strings.Contains(err.Error(), "/nowhere/libturbojpeg.so") {
		t.Errorf("error %v", err)
	}
}

func TestOrientation(t *testing.T) {
	b := testFile(t, "orient6.jpg")
	if o := Orientation(b); o != 6 {
		t.Errorf("orientation %d, want 6", o)
	}
	for _, n := range []string{"rgb420.jpg", "rgb.png"} {
		if o := Orientation(testFile(t, n)); o != 1 {
			t.Errorf("%s: orientation %d, want 1", n, o)
		}
	}

	// Every orientation of a picture of 3 x 2, as Pillow's exif_transpose turns it.
	m := &RGB{W: 3, H: 2}
	for _, c := range "abcdef" {
		m.Pix = append(m.Pix, byte(c), byte(c), byte(c))
	}
	for o, want := range []string{1: "abc def", 2: "cba fed", 3: "fed cba", 4: "def abc", 5: "ad be cf", 6: "da eb fc", 7: "fc eb da", 8: "cf be ad"} {
		if o == 0 {
			continue
		}
		var rows []string
		got := m.orient(o)
		for y := range got.H {
			row := ""
			for x := range got.W {
				row += string(rune(got.Pix[(y*got.W+x)*3]))
			}
			rows = append(rows, row)
		}
		if s := strings.Join(rows, " "); s != want {
			t.Errorf("orientation %d: %s, want %s", o, s, want)
		}
	}
}

func TestExifOrientIsAskedFor(t *testing.T) {
	d := newDecoder(t, Options{})
	b := testFile(t, "orient6.jpg")
	p := bytesRecipe(50, 47, Bilinear)
	plain, turned, want := make([]float32, p.Len()), make([]float32, p.Len()), make([]float32, p.Len())
	m, err := d.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Into(want, m.orient(6)); err != nil {
		t.Fatal(err)
	}
	if err := d.Load(b, p, plain); err != nil {
		t.Fatal(err)
	}
	p.ExifOrient = true
	if err := d.Load(b, p, turned); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(plain, want) || !slices.Equal(turned, want) {
		t.Error("the photo is turned when it should not be, or not when it should")
	}
}

func FuzzDecode(f *testing.F) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".jpg", ".png", ".webp", ".gif":
			f.Add(testFile(f, e.Name()))
		}
	}
	f.Add(pngClaiming(60000, 60000))
	limits := Limits{MaxPixels: 1 << 16}
	turbo, plain := newDecoder(f, Options{Limits: limits}), newDecoder(f, Options{Limits: limits, Turbo: TurboOff})
	p := bytesRecipe(16, 13, Bicubic)
	dst := make([]float32, p.Len())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, d := range []*Decoder{turbo, plain} {
			m, err := d.Decode(b)
			known := errors.Is(err, ErrFormat) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge)
			if err != nil && !known {
				t.Errorf("an error of no kind: %v", err)
			}
			if err != nil {
				continue
			}
			if len(m.Pix) != m.W*m.H*3 || int64(m.W)*int64(m.H) > limits.MaxPixels {
				t.Errorf("%d bytes for %d x %d", len(m.Pix), m.W, m.H)
			}
			if err := d.Load(b, p, dst); err != nil {
				t.Errorf("decoded, but not loaded: %v", err)
			}
		}
		Orientation(b)
	})
}
