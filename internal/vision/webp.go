package vision

import (
	"bytes"
	"encoding/binary"
	"image"

	"golang.org/x/image/webp"
)

// webpSize reads the header. Where the file has an extended header its size counts,
// and the decoder refuses a frame of another size.
func webpSize(b []byte) (w, h int, err error) {
	if len(b) >= 21 && string(b[12:16]) == "VP8X" && b[20]&2 != 0 {
		return 0, 0, unsupported("WebP", "an animation")
	}
	c, err := webp.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return 0, 0, corrupt("WebP", "%v", err)
	}
	return c.Width, c.Height, nil
}

func decodeWebP(_ *Decoder, b []byte, m *RGB) error {
	if declared := int64(binary.LittleEndian.Uint32(b[4:])) + 8; declared > int64(len(b)) {
		return corrupt("WebP", "cut off after %d of %d bytes", len(b), declared)
	}
	img, err := webp.Decode(bytes.NewReader(b))
	if err != nil {
		return corrupt("WebP", "%v", err)
	}
	if img.Bounds() != image.Rect(0, 0, m.W, m.H) {
		return corrupt("WebP", "the header is ambiguous: %d x %d or %v", m.W, m.H, img.Bounds().Size())
	}
	switch img := img.(type) {
	case *image.YCbCr:
		vp8ToRGB(m, img)
	case *image.NYCbCrA:
		vp8ToRGB(m, &img.YCbCr)
	default:
		return plainToRGB(m, img)
	}
	return nil
}

// vp8ToRGB upsamples chroma and converts as libwebp does. VP8's luma runs from 16
// to 235 (the standard library's YCbCr, from 0 to 255), so its own conversion
// would be visibly off.
func vp8ToRGB(m *RGB, img *image.YCbCr) {
	w, h := (m.W+1)/2, (m.H+1)/2
	rows := make([]byte, 4*w)
	us, vs := rows[:2*w], rows[2*w:]
	for y := range m.H {
		near := y / 2
		far := max(0, min(near-1+2*(y%2), h-1))
		diamond(us, img.Cb[near*img.CStride:][:w], img.Cb[far*img.CStride:][:w])
		diamond(vs, img.Cr[near*img.CStride:][:w], img.Cr[far*img.CStride:][:w])
		vp8Row(m.Pix[y*m.W*3:][:m.W*3], img.Y[y*img.YStride:], us, vs)
	}
}

// diamond doubles a row: nine sixteenths of the nearest sample, three of each
// neighbour, one of the diagonal one, rounded in libwebp's two steps.
func diamond(dst, near, far []byte) {
	last := len(near) - 1
	blend := func(c, side, up, diagonal int) byte {
		return byte(((c+3*(side+up)+diagonal+8)>>3 + c) >> 1)
	}
	for i := range last {
		c, s, u, d := int(near[i]), int(near[i+1]), int(far[i]), int(far[i+1])
		dst[2*i+1] = blend(c, s, u, d)
		dst[2*i+2] = blend(s, c, d, u)
	}
	edge := func(i int) byte { return byte((3*int(near[i]) + int(far[i]) + 2) >> 2) }
	dst[0], dst[2*last+1] = edge(0), edge(last)
}

// vp8Row is libwebp's VP8YuvToRgb: BT.601, studio range, fixed point in two steps.
func vp8Row(dst, luma, us, vs []byte) {
	high := func(v byte, coefficient int32) int32 { return int32(v) * coefficient >> 8 }
	n := len(dst) / 3
	luma, us, vs = luma[:n], us[:n], vs[:n]
	for x := range luma {
		y, u, v := high(luma[x], 19077), us[x], vs[x]
		d := dst[3*x:][:3]
		d[0] = clip((y + high(v, 26149) - 14234) >> 6)
		d[1] = clip((y - high(u, 6419) - high(v, 13320) + 8708) >> 6)
		d[2] = clip((y + high(u, 33050) - 17685) >> 6)
	}
}
