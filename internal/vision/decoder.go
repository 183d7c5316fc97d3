package vision

import (
	"bytes"
	"fmt"
	"sync"
)

// Limits bound what a header may declare. Zero values mean the defaults.
type Limits struct {
	MaxPixels int64 // width · height; default 64 Mi, about 200 MB of decoded RGB
	MaxSide   int   // each of width and height; default 65,535, JPEG's own bound
}

const (
	defaultMaxPixels = 64 << 20
	defaultMaxSide   = 1<<16 - 1
)

func (l Limits) withDefaults() Limits {
	if l.MaxPixels <= 0 {
		l.MaxPixels = defaultMaxPixels
	}
	if l.MaxSide <= 0 {
		l.MaxSide = defaultMaxSide
	}
	return l
}

func (l Limits) check(format string, w, h int) error {
	if w < 1 || h < 1 {
		return corrupt(format, "the header declares %d x %d pixels", w, h)
	}
	if w > l.MaxSide || h > l.MaxSide || int64(w)*int64(h) > l.MaxPixels {
		return &TooLargeError{Format: format, Width: w, Height: h, Limits: l}
	}
	return nil
}

// Options configure a Decoder. The zero value is right for most uses.
type Options struct {
	Limits Limits
	// Turbo is the file of libjpeg-turbo's TurboJPEG library. Empty: the usual names,
	// and Go's decoder where none of them loads. TurboOff: Go's decoder.
	Turbo string
}

// TurboOff as Options.Turbo chooses Go's JPEG decoder.
const TurboOff = "off"

// Decoder decodes images and prepares them for networks. It is safe for
// concurrent use.
type Decoder struct {
	limits  Limits
	turbo   *turbo // nil: Go's JPEG decoder
	kernels kernelCache
	scratch sync.Pool // *scratch
}

// NewDecoder gives a Decoder. It fails only if o.Turbo names a library that cannot
// be loaded.
func NewDecoder(o Options) (*Decoder, error) {
	d := &Decoder{limits: o.Limits.withDefaults()}
	d.scratch.New = func() any { return new(scratch) }
	var err error
	switch o.Turbo {
	case TurboOff:
	case "":
		d.turbo = findTurbo()
	default:
		d.turbo, err = openTurbo(o.Turbo)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// defaultDecoder serves the package's functions. It holds nothing that one user
// of it could notice of another: a library, handles, and memory to use again.
var defaultDecoder = sync.OnceValue(func() *Decoder {
	d, _ := NewDecoder(Options{}) // cannot fail without a named library
	return d
})

// JPEG names the decoder in use for JPEG: "libjpeg-turbo" or "go". Pixels of the
// two differ by at most a few steps of 255 in few places.
func (d *Decoder) JPEG() string {
	if d.turbo != nil {
		return "libjpeg-turbo"
	}
	return "go"
}

// Decode decodes an image of any supported format to RGB with the process's
// default Decoder and the given limits.
func Decode(b []byte, limits Limits) (*RGB, error) {
	return defaultDecoder().decode(b, limits.withDefaults(), new(scratch))
}

// Load decodes a photo and writes its tensor into dst, which has p.Len() elements.
// It is p.Load, for those who like the verb first.
func Load(b []byte, p Preprocess, dst []float32) error { return p.Load(b, dst) }

// Decode decodes an image of any supported format to RGB.
func (d *Decoder) Decode(b []byte) (*RGB, error) {
	return d.decode(b, d.limits, new(scratch))
}

// Load decodes a photo and writes its tensor into dst, which has p.Len() elements
// (N = 1, C = 3, H = W = p.Crop).
func (d *Decoder) Load(b []byte, p Preprocess, dst []float32) error {
	s := d.scratch.Get().(*scratch)
	defer d.release(s)
	m, err := d.decode(b, d.limits, s)
	if err != nil {
		return err
	}
	if p.ExifOrient {
		m = m.orient(Orientation(b))
	}
	return d.into(dst, m, p, s)
}

// maxKeptScratch is the most memory that a pooled scratch may hold on to: one
// huge photo must not cost its size for ever.
const maxKeptScratch = 16 << 20

func (d *Decoder) release(s *scratch) {
	if s.size() <= maxKeptScratch {
		d.scratch.Put(s)
	}
}

// decode finds the format, checks the size, and decodes into memory of s.
func (d *Decoder) decode(b []byte, limits Limits, s *scratch) (*RGB, error) {
	f, err := sniff(b)
	if err != nil {
		return nil, err
	}
	w, h, err := f.size(b)
	if err != nil {
		return nil, err
	}
	if err := limits.check(f.name, w, h); err != nil {
		return nil, err
	}
	s.pix = grow(s.pix, w*h*3)
	m := &RGB{W: w, H: h, Pix: s.pix}
	if err := f.decodeSafely(d, b, m); err != nil {
		return nil, err
	}
	return m, nil
}

// format is one kind of image file. decode fills m, whose size is size's answer.
type format struct {
	name   string
	size   func(b []byte) (w, h int, err error)
	decode func(d *Decoder, b []byte, m *RGB) error
}

// sniff tells a format by a file's first bytes.
func sniff(b []byte) (format, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return format{"JPEG", jpegSize, decodeJPEG}, nil
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return format{"PNG", pngSize, decodePNG}, nil
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return format{"WebP", webpSize, decodeWebP}, nil
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		return format{"GIF", gifSize, decodeGIF}, nil
	case len(b) == 0:
		return format{}, fmt.Errorf("vision: %w: no bytes at all", ErrFormat)
	}
	return format{}, fmt.Errorf("vision: %w: %d bytes that begin with %q; JPEG, PNG, WebP and GIF are read", ErrFormat, len(b), b[:min(len(b), 8)])
}

// decodeSafely runs a decoder that others wrote over bytes that anybody may have
// sent: should it panic, the image is to blame, not the process.
func (f format) decodeSafely(d *Decoder, b []byte, m *RGB) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = corrupt(f.name, "the decoder gave up: %v", p)
		}
	}()
	return f.decode(d, b, m)
}
