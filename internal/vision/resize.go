package vision

import "encoding/binary"

// RGB is an 8-bit picture: H rows of W pixels of 3 bytes, top to bottom, nothing
// between rows.
type RGB struct {
	W, H int
	Pix  []byte // len W*H*3
}

// Resize gives the picture at w × h, byte for byte as Pillow's Image.resize does
// (with antialiasing, as there). It panics if a side is not positive.
func (m *RGB) Resize(w, h int, f Filter) *RGB {
	out := &RGB{W: w, H: h, Pix: make([]byte, w*h*3)}
	r := resizer{
		x: axis{in: m.W, out: w, hi: w, filter: f},
		y: axis{in: m.H, out: h, hi: h, filter: f},
	}
	r.run(m, new(kernelCache), new(scratch), func(y int, row []byte) {
		copy(out.Pix[y*w*3:], row)
	})
	return out
}

// resizer computes the window [x.lo, x.hi) × [y.lo, y.hi) of a picture resized to
// x.out × y.out: first each row, then each column, with rounding to bytes in
// between, as Pillow does. Pixels outside the window are never computed, and what
// is computed is not affected by leaving them out.
//
// Two samples share one 64-bit word, 32 bits apart, so one multiplication serves
// both. Sums are signed and a negative low half borrows from the high half; since
// all of it is arithmetic modulo 2^64, splitting the final sum undoes that (split).
// |sum| stays below 255 · 1.3 · 2^22 < 2^31, so halves never overflow.
type resizer struct{ x, y axis }

// half is what is added before a sum loses its fraction bits: one half, in both
// lanes of a word.
const half = uint64(1)<<(precision-1) | uint64(1)<<(precision-1+32)

// run calls emit for each row of the window, from 0. The row is valid until emit
// returns.
func (r resizer) run(m *RGB, kernels *kernelCache, s *scratch, emit func(y int, row []byte)) {
	width := (r.x.hi - r.x.lo) * 3
	if r.y.in == r.y.out {
		r.rows(m, kernels, s, r.y.lo, r.y.hi)
		for y := range r.y.hi - r.y.lo {
			emit(y, s.rows[y*s.stride:][:width])
		}
		return
	}
	ky := kernels.get(r.y)
	lo, hi := ky.span()
	r.rows(m, kernels, s, lo, hi)
	s.line = grow(s.line, s.stride)
	for y, first := range ky.first {
		weights := ky.weights[y*ky.taps:][:ky.taps]
		vertical(s.line, s.rows[(first-lo)*s.stride:], s.stride, weights)
		emit(y, s.line[:width])
	}
}

// rows fills s.rows with the source rows [lo, hi), resampled horizontally and cut
// to the window. Rows are s.stride bytes apart: whole 8-byte words.
func (r resizer) rows(m *RGB, kernels *kernelCache, s *scratch, lo, hi int) {
	n := (r.x.hi - r.x.lo) * 3
	s.stride = (n + 7) &^ 7
	s.rows = grow(s.rows, (hi-lo)*s.stride)
	if r.x.in == r.x.out {
		for y := lo; y < hi; y++ {
			copy(s.rows[(y-lo)*s.stride:][:n], m.Pix[(y*m.W+r.x.lo)*3:])
		}
		return
	}
	k := kernels.get(r.x)
	left, right := k.span()
	s.words = grow(s.words, 3*(right-left))
	for y := lo; y < hi; y += 2 {
		// Two source rows go through together; an odd last row goes with itself.
		other := min(y+1, hi-1)
		planes := pair(s.words, m.row(y, left, right), m.row(other, left, right))
		a, b := s.rows[(y-lo)*s.stride:][:n], s.rows[(other-lo)*s.stride:][:n]
		horizontal(a, b, planes, k, left)
	}
}

// row is the pixels [left, right) of row y.
func (m *RGB) row(y, left, right int) []byte {
	return m.Pix[(y*m.W+left)*3 : (y*m.W+right)*3]
}

// pair widens two rows into one plane of words for each colour: a's sample in the
// low half, b's in the high half.
func pair(words []uint64, a, b []byte) [3][]uint64 {
	n := len(a) / 3
	red, green, blue := words[:n], words[n:2*n], words[2*n:3*n]
	b = b[:len(a)]
	for i, j := 0, 0; i < n && j+2 < len(a) && j+2 < len(b); i, j = i+1, j+3 {
		red[i] = uint64(a[j]) | uint64(b[j])<<32
		green[i] = uint64(a[j+1]) | uint64(b[j+1])<<32
		blue[i] = uint64(a[j+2]) | uint64(b[j+2])<<32
	}
	return [3][]uint64{red, green, blue}
}

// horizontal resamples a pair of rows into a and b. left is where planes begin.
func horizontal(a, b []byte, planes [3][]uint64, k *kernel, left int) {
	for i, first := range k.first {
		weights := k.weights[i*k.taps:][:k.taps]
		red := planes[0][first-left:][:len(weights)]
		green := planes[1][first-left:][:len(weights)]
		blue := planes[2][first-left:][:len(weights)]
		r, g, bl := half, half, half
		for t, w := range weights {
			r += red[t] * w
			g += green[t] * w
			bl += blue[t] * w
		}
		pa, pb := a[3*i:][:3], b[3*i:][:3]
		pa[0], pb[0] = split(r)
		pa[1], pb[1] = split(g)
		pa[2], pb[2] = split(bl)
	}
}

// vertical resamples one row out of len(weights) rows that lie stride bytes apart,
// eight bytes at a time: a word of eight samples becomes four words of two.
func vertical(dst, rows []byte, stride int, weights []uint64) {
	const lanes = 0x000000ff_000000ff
	for i := 0; i+8 <= len(dst); i += 8 {
		s0, s1, s2, s3 := half, half, half, half
		at := i
		for _, w := range weights {
			v := binary.LittleEndian.Uint64(rows[at : at+8])
			s0 += (v & lanes) * w
			s1 += (v >> 8 & lanes) * w
			s2 += (v >> 16 & lanes) * w
			s3 += (v >> 24 & lanes) * w
			at += stride
		}
		d := dst[i:][:8]
		d[0], d[4] = split(s0)
		d[1], d[5] = split(s1)
		d[2], d[6] = split(s2)
		d[3], d[7] = split(s3)
	}
}

// split takes a word's two sums apart, drops their fractions and clips them to
// bytes.
func split(v uint64) (low, high byte) {
	l := int32(v)
	h := int32((v - uint64(int64(l))) >> 32)
	return clip(l >> precision), clip(h >> precision)
}

func clip(v int32) byte { return byte(max(0, min(v, 255))) }

// scratch is the memory that one call needs and the next one can use again.
type scratch struct {
	pix    []byte   // the decoded picture
	rows   []byte   // source rows after the horizontal pass
	words  []uint64 // two source rows, widened
	line   []byte   // one finished row
	stride int      // of rows, in bytes
}

// grow gives a slice of n elements, the old one where it is long enough. The
// content is not kept.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
