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

// padded is n bytes in whole blocks, and an odd number of those: rows a power of two
// apart would compete for the same few lines of the processor's cache.
func padded(n int) int { return (n+align-1)/align*align | align }

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
// in rows srcStride bytes apart, goes to row x, column y of dst. Eight rows go
// together: reads run along them, and eight pixels make three words to write.
func transpose(dst []byte, dstStride int, src []byte, srcStride, w, h int) {
	y := 0
	for ; y+8 <= h; y += 8 {
		transpose8(dst[3*y:], dstStride, src[y*srcStride:], srcStride, w)
	}
	for ; y < h; y++ {
		for x := range w {
			copy(dst[x*dstStride+3*y:][:3], src[y*srcStride+3*x:][:3])
		}
	}
}

func transpose8(dst []byte, dstStride int, src []byte, srcStride, w int) {
	var rows [8][]byte
	for i := range rows {
		rows[i] = src[i*srcStride:][:3*w]
	}
	a, b, c, d, e, f, g, h := rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]
	last := 3 * (w - 1)
	at := 0
	for i := 0; i < last; i += 3 {
		c2, f2 := pixel(c, i), pixel(f, i)
		out := dst[at : at+24]
		binary.LittleEndian.PutUint64(out, pixel(a, i)|pixel(b, i)<<24|c2<<48)
		binary.LittleEndian.PutUint64(out[8:], c2>>16|pixel(d, i)<<8|pixel(e, i)<<32|f2<<56)
		binary.LittleEndian.PutUint64(out[16:], f2>>8|pixel(g, i)<<16|pixel(h, i)<<40)
		at += dstStride
	}
	for i, row := range rows { // pixel would read past the last column
		copy(dst[at+3*i:][:3], row[last:])
	}
}

// pixel is the three bytes at row[i:], which must have a fourth behind them.
func pixel(row []byte, i int) uint64 {
	return uint64(binary.LittleEndian.Uint32(row[i:i+4])) & 0xffffff
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
