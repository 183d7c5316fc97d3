package vision

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
)

// decodeJPEGGo decodes with the standard library, and leaves to it only what it
// does as libjpeg does: entropy decoding and the inverse DCT. Chroma is upsampled
// and converted here.
func decodeJPEGGo(b []byte, m *RGB) error {
	img, err := jpeg.Decode(bytes.NewReader(b))
	var no jpeg.UnsupportedError
	switch {
	case errors.As(err, &no):
		return unsupported("JPEG", "%v", err)
	case err != nil:
		return corrupt("JPEG", "%v", err)
	case img.Bounds() != image.Rect(0, 0, m.W, m.H):
		return corrupt("JPEG", "the header is ambiguous: %d x %d or %v", m.W, m.H, img.Bounds().Size())
	}
	switch img := img.(type) {
	case *image.YCbCr:
		ycbcrToRGB(m, img)
	case *image.CMYK:
		for y := range m.H {
			cmykToRGB(m.Pix[y*m.W*3:], img.Pix[y*img.Stride:][:m.W*4])
		}
	default:
		return plainToRGB(m, img)
	}
	return nil
}

// ycbcrToRGB upsamples chroma with libjpeg's triangle filter and converts with its
// integer tables' values.
func ycbcrToRGB(m *RGB, img *image.YCbCr) {
	rows := make([]byte, 2*(m.W+3))
	cb, cr := rows[:m.W+3], rows[m.W+3:]
	for y := range m.H {
		upsample(cb, img.Cb, img, y, m)
		upsample(cr, img.Cr, img, y, m)
		convertRow(m.Pix[y*m.W*3:][:m.W*3], img.Y[y*img.YStride:], cb, cr)
	}
}

// convertRow is libjpeg's ycc_rgb_convert.
func convertRow(dst, luma, cb, cr []byte) {
	const one, rnd = 16, 1 << 15
	n := len(dst) / 3
	luma, cb, cr = luma[:n], cb[:n], cr[:n]
	for x := range luma {
		y, b, r := int32(luma[x]), int32(cb[x])-128, int32(cr[x])-128
		d := dst[3*x:][:3]
		d[0] = clip(y + (91881*r+rnd)>>one)
		d[1] = clip(y + (-22554*b-46802*r+rnd)>>one)
		d[2] = clip(y + (116130*b+rnd)>>one)
	}
}

// upsample writes row y of a chroma plane at full width into dst, which has room
// for a few samples more.
func upsample(dst, plane []byte, img *image.YCbCr, y int, m *RGB) {
	fx, fy := 1, 1
	switch img.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		fx = 2
	case image.YCbCrSubsampleRatio420:
		fx, fy = 2, 2
	case image.YCbCrSubsampleRatio440:
		fy = 2
	case image.YCbCrSubsampleRatio411:
		fx = 4
	case image.YCbCrSubsampleRatio410:
		fx, fy = 4, 2
	}
	w, h := (m.W+fx-1)/fx, (m.H+fy-1)/fy
	row := func(i int) []byte { return plane[max(0, min(i, h-1))*img.CStride:][:w] }
	near := row(y / fy)
	far := row(y/fy - 1 + 2*(y%fy)) // with fy == 2: above for an even row, below for an odd one
	switch {
	case fx == 1 && fy == 1:
		copy(dst, near)
	case fx == 2 && w <= 2, fx == 4: // too narrow for the filter, or a ratio it does not serve
		for i := range m.W {
			dst[i] = near[i/fx]
		}
	case fx == 2 && fy == 1:
		triangleH(dst, near)
	case fx == 2:
		triangleHV(dst, near, far)
	default:
		bias := 1 + y%2
		for i := range near {
			dst[i] = byte((3*int(near[i]) + int(far[i]) + bias) >> 2)
		}
	}
}

// triangleH doubles a row: 3/4 of the nearer sample, 1/4 of the other. Rounding
// alternates so that it does not drift.
func triangleH(dst, in []byte) {
	last := len(in) - 1
	for i, v := range in {
		c := 3 * int(v)
		dst[2*i] = byte((c + int(in[max(i-1, 0)]) + 1) >> 2)
		dst[2*i+1] = byte((c + int(in[min(i+1, last)]) + 2) >> 2)
	}
	dst[0], dst[2*last+1] = in[0], in[last]
}

// triangleHV does the same in both directions; near is the nearer row.
func triangleHV(dst, near, far []byte) {
	last := len(near) - 1
	far = far[:len(near)]
	sum := func(i int) int { return 3*int(near[i]) + int(far[i]) }
	before, here := sum(0), sum(0)
	for i := range near {
		after := sum(min(i+1, last))
		dst[2*i] = byte((3*here + before + 8) >> 4)
		dst[2*i+1] = byte((3*here + after + 7) >> 4)
		before, here = here, after
	}
}
