package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
)

// pngSize reads the first chunk, which must be the header.
func pngSize(b []byte) (w, h int, err error) {
	const end = 8 + 8 + 13 // signature, chunk's length and name, its body
	if len(b) < end {
		return 0, 0, corrupt("PNG", "cut off after %d bytes: within the header", len(b))
	}
	if string(b[12:16]) != "IHDR" {
		return 0, 0, corrupt("PNG", "the first chunk is %q", b[12:16])
	}
	w64, h64 := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	const most = 1<<31 - 1
	return int(min(w64, most)), int(min(h64, most)), nil
}

func decodePNG(_ *Decoder, b []byte, m *RGB) error {
	img, err := png.Decode(bytes.NewReader(b))
	var no png.UnsupportedError
	switch {
	case errors.As(err, &no):
		return unsupported("PNG", "%v", err)
	case err != nil:
		return corrupt("PNG", "%v", err)
	}
	const gray, bits, kind = 0, 24, 25 // colour type, and where depth and type stand
	if b[kind] == gray && b[bits] == 16 {
		return clipGray16(m, img)
	}
	return plainToRGB(m, img)
}

// clipGray16 does with 16-bit grey what Pillow's convert("RGB") does: no scaling,
// everything from 255 on is white.
func clipGray16(m *RGB, img image.Image) error {
	pix, stride, size := []byte(nil), 0, 0
	switch img := img.(type) {
	case *image.Gray16:
		pix, stride, size = img.Pix, img.Stride, 2
	case *image.NRGBA64: // one grey level was declared transparent
		pix, stride, size = img.Pix, img.Stride, 8
	}
	for y := range m.H {
		for x := range m.W {
			v := min(binary.BigEndian.Uint16(pix[y*stride+x*size:]), 255)
			d := m.Pix[(y*m.W+x)*3:][:3]
			d[0], d[1], d[2] = byte(v), byte(v), byte(v)
		}
	}
	return nil
}

// paletteRGB is a palette without its alpha; missing entries are black.
func paletteRGB(img *image.Paletted) *[256][3]byte {
	t := new([256][3]byte)
	for i, c := range img.Palette {
		switch c := c.(type) {
		case color.RGBA:
			t[i] = [3]byte{c.R, c.G, c.B}
		case color.NRGBA:
			t[i] = [3]byte{c.R, c.G, c.B}
		}
	}
	return t
}
