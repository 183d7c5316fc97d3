package vision

import "encoding/binary"

// RGB is an 8-bit picture: H rows of W pixels of 3 bytes, top to bottom, nothing
// between rows.
type RGB struct {
	W, H int
	Pix  []byte // len W*H*3
}

// Resize gives the picture at w × h, byte for byte as Pillow's Image.resize does
// (with antialiasing, as there; Pillow 13 orders the passes differently where the
// height shrinks much more than the width). It panics if a side is not positive.
func (m *RGB) Resize(w, h int, f Filter) *RGB {
	out := &RGB{W: w, H: h, Pix: make([]byte, w*h*3)}
	r := resizer{
		x: axis{in: m.W, out: w, hi: w, filter: f},
		y: axis{in: m.H, out: h, hi: h, filter: f},
	}
	d := defaultDecoder()
	scratch := d.scratch.Get().(*scratch)
	defer d.release(scratch)
	r.run(m, &d.kernels, scratch, func(y int, row []byte) {
		copy(out.Pix[y*w*3:], row)
	})
	return out
}

// resizer computes the window [x.lo, x.hi) × [y.lo, y.hi) of a picture resized to
// x.out × y.out: first each row, then each column, with rounding to bytes in
// between, as Pillow does. Pixels outside the window are never computed, and what
// is computed is not affected by leaving them out.
//
// There is one kernel, weigh, and it works on columns: one output row is a weighted
// sum of input rows, byte by byte, whatever the bytes mean. For the horizontal pass
// the picture is transposed, so that its columns are rows in memory, and transposed
// back afterwards. Moving pixels twice costs less than gathering them tap by tap.
type resizer struct{ x, y axis }

// align is what rows in scratch memory are padded to: a block of weigh.
const align = 32

func padded(n int) int { return (n + align - 1) &^ (align - 1) }

// run calls emit for each row of the window, from 0. The row is valid until emit
// returns.
func (r resizer) run(m *RGB, kernels *kernelCache, s *scratch, emit func(y int, row []byte)) {
	width := (r.x.hi - r.x.lo) * 3
	stride := padded(width)
	if r.y.in == r.y.out {
		r.rows(m, kernels, s, r.y.lo, r.y.hi, stride)
		for y := range r.y.hi - r.y.lo {
			emit(y, s.rows[y*stride:][:width])
		}
		return
	}
	k := kernels.get(r.y)
	lo, hi := k.span()
	r.rows(m, kernels, s, lo, hi, stride)
	s.line = grow(s.line, stride)
	for y, first := range k.first {
		weigh(s.line, s.rows[(first-lo)*stride:], stride, k.of(y))
		emit(y, s.line[:width])
	}
}

// rows fills s.rows with the source rows [lo, hi), resampled horizontally and cut
// to the window. Rows are stride bytes apart.
func (r resizer) rows(m *RGB, kernels *kernelCache, s *scratch, lo, hi, stride int) {
	wide, height := r.x.hi-r.x.lo, hi-lo
	s.rows = grow(s.rows, height*stride)
	if r.x.in == r.x.out {
		for y := range height {
			copy(s.rows[y*stride:][:3*wide], m.Pix[((lo+y)*m.W+r.x.lo)*3:])
		}
		return
	}
	k := kernels.get(r.x)
	left, right := k.span()
	tall := padded(3 * height) // bytes of a column once it is a row
	s.columns = grow(s.columns, (right-left)*tall)
	s.narrow = grow(s.narrow, wide*tall)
	transpose(s.columns, tall, m.Pix[(lo*m.W+left)*3:], m.W*3, right-left, height)
	for x, first := range k.first {
		weigh(s.narrow[x*tall:][:tall], s.columns[(first-left)*tall:], tall, k.of(x))
	}
	transpose(s.rows, stride, s.narrow, tall, height, wide)
}

// transpose makes columns rows: the pixel in row y, column x of src, w × h pixels
// in rows srcStride bytes apart, goes to row x, column y of dst.
func transpose(dst []byte, dstStride int, src []byte, srcStride, w, h int) {
	// A tile is as much as stays in the first-level cache: lines of src are read
	// again for each of their pixels.
	const tileW, tileH = 16, 256
	for y0 := 0; y0 < h; y0 += tileH {
		for x0 := 0; x0 < w; x0 += tileW {
			for x := x0; x < min(x0+tileW, w); x++ {
				transposeColumn(dst[x*dstStride+3*y0:], src[y0*srcStride+3*x:], srcStride, min(h-y0, tileH))
			}
		}
	}
}

// transposeColumn copies n pixels that lie stride bytes apart into a row. It moves
// four bytes a pixel, as that is one instruction; the surplus one is overwritten by
// the next pixel. The last pixel has no next one and takes three.
func transposeColumn(dst, src []byte, stride, n int) {
	i, j := 0, 0
	for range n - 1 {
		binary.LittleEndian.PutUint32(dst[j:j+4], binary.LittleEndian.Uint32(src[i:i+4]))
		i, j = i+stride, j+3
	}
	copy(dst[j:j+3], src[i:i+3])
}

func clip(v int32) byte { return byte(max(0, min(v, 255))) }

// scratch is the memory that one call needs and the next one can use again.
type scratch struct {
	pix     []byte // the decoded picture
	columns []byte // source columns, as rows
	narrow  []byte // the same after the horizontal pass
	rows    []byte // and as rows again
	line    []byte // one finished row
}

// size is how much memory s holds on to, in bytes.
func (s *scratch) size() int {
	return cap(s.pix) + cap(s.columns) + cap(s.narrow) + cap(s.rows) + cap(s.line)
}

// grow gives a slice of n elements, the old one where it is long enough. The
// content is not kept.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
