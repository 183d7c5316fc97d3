package vision

import (
	"fmt"
	"image"
)

// plainToRGB copies what the standard library's decoders give, alpha and low bytes
// left behind.
func plainToRGB(m *RGB, img image.Image) error {
	switch img := img.(type) {
	case *image.Gray:
		pick(m, img.Pix, img.Stride, 1, 0, 0, 0)
	case *image.RGBA: // from decoders that know of no alpha: nothing is premultiplied
		pick(m, img.Pix, img.Stride, 4, 0, 1, 2)
	case *image.NRGBA:
		pick(m, img.Pix, img.Stride, 4, 0, 1, 2)
	case *image.RGBA64:
		pick(m, img.Pix, img.Stride, 8, 0, 2, 4)
	case *image.NRGBA64:
		pick(m, img.Pix, img.Stride, 8, 0, 2, 4)
	case *image.Paletted:
		table := paletteRGB(img)
		for y := range m.H {
			row := m.Pix[y*m.W*3:]
			for x, index := range img.Pix[y*img.Stride:][:m.W] {
				copy(row[3*x:][:3], table[index][:])
			}
		}
	default:
		return fmt.Errorf("vision: no conversion from %T", img)
	}
	return nil
}

// pick takes three bytes out of every pixel of size bytes.
func pick(m *RGB, pix []byte, stride, size, r, g, b int) {
	for y := range m.H {
		in, out := pix[y*stride:][:m.W*size], m.Pix[y*m.W*3:][:m.W*3]
		for i, o := 0, 0; o+3 <= len(out); i, o = i+size, o+3 {
			p := in[i:][:size]
			out[o], out[o+1], out[o+2] = p[r], p[g], p[b]
		}
	}
}
