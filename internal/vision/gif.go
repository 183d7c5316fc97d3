package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/gif"
	"io"
)

// gifSize is the size of the screen on which the first frame is put.
func gifSize(b []byte) (w, h int, err error) {
	if len(b) < 13 {
		return 0, 0, corrupt("GIF", "cut off after %d bytes: within the header", len(b))
	}
	return int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:])), nil
}

// decodeGIF gives the first frame. Transparent pixels have the colour that the
// palette gives their index, and so has what the frame leaves of the screen.
func decodeGIF(_ *Decoder, b []byte, m *RGB) error {
	opaque, background := opaqueGIF(b)
	img, err := gif.Decode(bytes.NewReader(opaque))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt("GIF", "cut off after %d bytes: %v", len(b), err)
	} else if err != nil {
		return corrupt("GIF", "%v", err)
	}
	frame, ok := img.(*image.Paletted)
	if !ok || !frame.Rect.In(image.Rect(0, 0, m.W, m.H)) {
		return corrupt("GIF", "the frame %v is outside of the %d x %d screen", img.Bounds(), m.W, m.H)
	}
	table := paletteRGB(frame)
	for i := 0; i < len(m.Pix); i += 3 {
		copy(m.Pix[i:][:3], table[background][:])
	}
	for y := range frame.Rect.Dy() {
		row := m.Pix[((frame.Rect.Min.Y+y)*m.W+frame.Rect.Min.X)*3:]
		for x, index := range frame.Pix[y*frame.Stride:][:frame.Rect.Dx()] {
			copy(row[3*x:][:3], table[index][:])
		}
	}
	return nil
}

// opaqueGIF gives the file with the first frame's transparency switched off (the
// standard library would otherwise blacken that palette entry), and the index that
// fills the screen around the frame: the transparent one if there is one, else 0.
// A file that it cannot follow is returned as it is, for the decoder to judge.
func opaqueGIF(b []byte) (out []byte, background byte) {
	const tableBit, imageMark, extensionMark, graphicControl, transparentBit = 0x80, 0x2c, 0x21, 0xf9, 1
	at := 13
	if b[10]&tableBit != 0 {
		at += 3 << (b[10]&7 + 1)
	}
	out = b
	for at+8 <= len(b) && b[at] == extensionMark {
		if b[at+1] == graphicControl && b[at+2] == 4 {
			out, background = bytes.Clone(b), 0
			if b[at+3]&transparentBit != 0 {
				background = b[at+6]
			}
			out[at+3] &^= transparentBit
		}
		for at += 2; at < len(b) && b[at] != 0; {
			at += int(b[at]) + 1
		}
		at++
	}
	return out, background
}
