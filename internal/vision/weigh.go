package vision

import "encoding/binary"

// weigh computes one row: dst[i] is the sum over t of weights[t] · rows[t·stride+i],
// rounded and clipped to a byte. len(dst) is a multiple of align.
func weigh(dst, rows []byte, stride int, weights []uint64) {
	if len(dst)%align != 0 || len(dst) == 0 || len(weights) == 0 {
		panic("vision: weigh: a row of scratch memory is not padded")
	}
	rows = rows[:(len(weights)-1)*stride+len(dst)] // the assembly does not check
	if haveVectors {
		weighVectors(&dst[0], &rows[0], stride, len(dst), &weights[0], len(weights))
		return
	}
	weighWords(dst, rows, stride, weights)
}

// weighWords is weigh in plain Go. Two samples share one 64-bit word, 32 bits apart,
// so one multiplication serves both. Weights are signed; a negative low half
// borrows from the high half, but the borrow is paid back once the sum of all taps
// is positive, which bias makes sure of: a weighted mean of bytes lies between -64
// and 448, whatever the filter's phase (TestWeightsStayInRange).
func weighWords(dst, rows []byte, stride int, weights []uint64) {
	const lanes = 0x000000ff_000000ff
	for i := 0; i+8 <= len(dst); i += 8 {
		s0, s1, s2, s3 := bias, bias, bias, bias
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
		d[0], d[1], d[2], d[3] = low(s0), low(s1), low(s2), low(s3)
		d[4], d[5], d[6], d[7] = high(s0), high(s1), high(s2), high(s3)
	}
}

const (
	// offset is what the bias adds to every sample, in whole steps.
	offset = 64
	// bias starts a word's two sums: the offset, and one half for rounding.
	lane = offset<<precision + 1<<(precision-1)
	bias = uint64(lane)<<32 | lane
)

// clipped maps a biased sample to a byte.
var clipped = func() (t [512]byte) {
	for i := range t {
		t[i] = clip(int32(i) - offset)
	}
	return t
}()

// low and high finish a word's two sums: drop the fraction, clip.
func low(sum uint64) byte  { return clipped[sum>>precision&511] }
func high(sum uint64) byte { return clipped[sum>>(precision+32)&511] }
