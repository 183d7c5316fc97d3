package vision

import (
	"bytes"
	"encoding/binary"
)

// jpegInfo is what a walk over a JPEG's segments tells, without decoding.
type jpegInfo struct {
	width, height int
	components    int
	bits          int // of a sample
	scans         int // SOS segments
	exif          []byte
}

// JPEG markers (second byte; the first is 0xff).
const (
	markSOF0 = 0xc0 // SOF0–SOF15, less DHT, JPG and DAC
	markSOFf = 0xcf
	markDHT  = 0xc4
	markJPG  = 0xc8
	markDAC  = 0xcc
	markRST0 = 0xd0
	markRST7 = 0xd7
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
	markAPP1 = 0xe1
	markTEM  = 0x01
)

// A progressive file's scans each go over the whole picture, so a small file can
// ask for a lot of time. Encoders write about ten. Up to commonScans pass; more are
// accepted where the picture is small, up to maxScans (libjpeg-turbo's own bound,
// where it is asked for one).
const (
	commonScans = 20
	maxScans    = 500
	maxScanned  = 1 << 30 // pixels, in all scans together
)

func jpegSize(b []byte) (w, h int, err error) {
	i, err := walkJPEG(b)
	return i.width, i.height, err
}

// walkJPEG goes over the segments up to the end marker. A file whose end marker
// is missing is cut off: that is libjpeg's rule, which Pillow follows, and deciding
// it here makes both decoders agree on it.
func walkJPEG(b []byte) (jpegInfo, error) {
	var info jpegInfo
	rest := b[2:] // behind SOI; sniff has seen it
	for {
		mark, body, ok := nextMarker(rest)
		if !ok {
			return info, corrupt("JPEG", "cut off after %d bytes: no end marker", len(b))
		}
		rest = body
		switch {
		case mark == markEOI:
			return info, info.check()
		case mark == markSOI:
			return info, corrupt("JPEG", "a second start marker")
		case mark == markTEM, markRST0 <= mark && mark <= markRST7:
			continue // no body
		}
		if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) > len(rest) {
			return info, corrupt("JPEG", "cut off after %d bytes: within segment 0x%02x", len(b), mark)
		}
		n := int(binary.BigEndian.Uint16(rest))
		if n < 2 {
			return info, corrupt("JPEG", "segment 0x%02x has length %d", mark, n)
		}
		if err := info.segment(mark, rest[2:n]); err != nil {
			return info, err
		}
		rest = rest[n:]
		if mark == markSOS {
			rest = skipScan(rest)
		}
	}
}

// nextMarker finds the next marker as libjpeg does: bytes before it are skipped,
// fill bytes (0xff) and stuffed zeros too.
func nextMarker(b []byte) (mark byte, rest []byte, ok bool) {
	for {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 {
			return 0, nil, false
		}
		b = b[i:]
		for len(b) > 0 && b[0] == 0xff {
			b = b[1:]
		}
		if len(b) == 0 {
			return 0, nil, false
		}
		if b[0] != 0 {
			return b[0], b[1:], true
		}
	}
}

// skipScan goes over entropy-coded data to the marker that ends it.
func skipScan(b []byte) []byte {
	for {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 || i+1 >= len(b) {
			return nil
		}
		if m := b[i+1]; m != 0 && m != 0xff && (m < markRST0 || m > markRST7) {
			return b[i:]
		}
		if b[i+1] == 0xff {
			i-- // the second byte may begin the marker
		}
		b = b[i+2:]
	}
}

// segment takes note of one segment's body.
func (i *jpegInfo) segment(mark byte, body []byte) error {
	switch {
	case mark == markSOS:
		if i.components == 0 {
			return corrupt("JPEG", "image data before the frame header")
		}
		i.scans++
		if i.scans > maxScans || i.scans > commonScans && i.scans*i.width*i.height > maxScanned {
			return corrupt("JPEG", "more than %d scans of %d x %d pixels", i.scans-1, i.width, i.height)
		}
	case mark == markDHT, mark == markJPG, mark == markDAC:
	case markSOF0 <= mark && mark <= markSOFf:
		return i.frame(mark, body)
	case mark == markAPP1 && i.exif == nil && bytes.HasPrefix(body, []byte("Exif\x00\x00")):
		i.exif = body[6:]
	}
	return nil
}

func (i *jpegInfo) frame(mark byte, body []byte) error {
	if i.components != 0 {
		return corrupt("JPEG", "two frame headers")
	}
	if len(body) < 6 {
		return corrupt("JPEG", "the frame header has %d bytes", len(body))
	}
	i.bits = int(body[0])
	i.height = int(binary.BigEndian.Uint16(body[1:]))
	i.width = int(binary.BigEndian.Uint16(body[3:]))
	i.components = int(body[5])
	switch {
	case len(body) != 6+3*i.components || i.components == 0:
		return corrupt("JPEG", "the frame header has %d bytes for %d components", len(body), i.components)
	case i.bits != 8:
		return unsupported("JPEG", "%d bits a sample", i.bits)
	case i.components == 2 || i.components > 4:
		return unsupported("JPEG", "%d components", i.components)
	case mark != markSOF0 && mark != 0xc1 && mark != 0xc2 && mark != 0xc9 && mark != 0xca:
		return unsupported("JPEG", "coding process SOF%d", mark-markSOF0)
	case i.height == 0 && i.width != 0:
		return unsupported("JPEG", "the height is not in the frame header")
	}
	return nil
}

// check judges a file that was walked to its end.
func (i *jpegInfo) check() error {
	if i.components == 0 {
		return corrupt("JPEG", "no frame header")
	}
	if i.scans == 0 {
		return corrupt("JPEG", "no image data")
	}
	return nil
}

func decodeJPEG(d *Decoder, b []byte, m *RGB) error {
	if d.turbo == nil {
		return decodeJPEGGo(b, m)
	}
	info, err := walkJPEG(b)
	if err != nil {
		return err
	}
	if info.components != 4 {
		return d.turbo.decode(b, m.Pix, m.W, m.H, pixelRGB)
	}
	ink := make([]byte, m.W*m.H*4)
	if err := d.turbo.decode(b, ink, m.W, m.H, pixelCMYK); err != nil {
		return err
	}
	// Files store ink inverted, by Adobe's custom; Pillow takes all to be so.
	for i := range ink {
		ink[i] = 255 - ink[i]
	}
	cmykToRGB(m.Pix, ink)
	return nil
}

// cmykToRGB converts ink (0: none, 255: full) as Pillow's cmyk2rgb does.
func cmykToRGB(rgb, ink []byte) {
	for i, j := 0, 0; j+4 <= len(ink); i, j = i+3, j+4 {
		light := 255 - int(ink[j+3])
		for c := range 3 {
			v := int(ink[j+c])*light + 128
			rgb[i+c] = clip(int32(light - (v>>8+v)>>8))
		}
	}
}
