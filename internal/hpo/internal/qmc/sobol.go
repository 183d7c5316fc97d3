// Package qmc gives low-discrepancy points: they cover a cube more evenly than
// random ones, at every length of the sequence.
//
// The sequence is Sobol's with the direction numbers of Joe and Kuo
// ("Constructing Sobol sequences with better two-dimensional projections",
// 2008), scrambled by Owen's nested uniform method in the hashed form of
// Laine and Karras as given by Burley ("Practical hash-based Owen scrambling",
// 2020). A scramble depends on the seed only; the points are unbiased for it,
// so no point of the cube is favoured.
package qmc

import "math/bits"

// MaxDim is the largest dimension for which direction numbers are held.
const MaxDim = 31

// directions holds, for each dimension after the first, the primitive
// polynomial (its bits, leading and trailing 1 included) and the odd initial
// numbers.
var directions = [MaxDim - 1]struct {
	poly uint32
	init []uint32
}{
	{3, []uint32{1}}, {7, []uint32{1, 3}}, {11, []uint32{1, 3, 1}}, {13, []uint32{1, 1, 1}},
	{19, []uint32{1, 1, 3, 3}}, {25, []uint32{1, 3, 5, 13}}, {37, []uint32{1, 1, 5, 5, 17}},
	{41, []uint32{1, 1, 5, 5, 5}}, {47, []uint32{1, 1, 7, 11, 19}}, {55, []uint32{1, 1, 5, 1, 1}},
	{59, []uint32{1, 1, 1, 3, 11}}, {61, []uint32{1, 3, 5, 5, 31}}, {67, []uint32{1, 3, 3, 9, 7, 49}},
	{91, []uint32{1, 1, 1, 15, 21, 21}}, {97, []uint32{1, 3, 1, 13, 27, 49}}, {103, []uint32{1, 1, 1, 15, 7, 5}},
	{109, []uint32{1, 3, 1, 15, 13, 25}}, {115, []uint32{1, 1, 5, 5, 19, 61}},
	{131, []uint32{1, 3, 7, 11, 23, 15, 103}}, {137, []uint32{1, 3, 7, 13, 13, 15, 69}},
	{143, []uint32{1, 1, 3, 13, 7, 35, 63}}, {145, []uint32{1, 3, 5, 9, 1, 25, 53}},
	{157, []uint32{1, 3, 1, 13, 9, 35, 107}}, {167, []uint32{1, 3, 1, 5, 27, 61, 31}},
	{171, []uint32{1, 1, 5, 11, 19, 41, 61}}, {185, []uint32{1, 3, 5, 3, 3, 13, 69}},
	{191, []uint32{1, 1, 7, 13, 1, 19, 1}}, {193, []uint32{1, 3, 7, 5, 13, 19, 59}},
	{203, []uint32{1, 1, 3, 9, 25, 29, 41}}, {211, []uint32{1, 3, 5, 13, 23, 1, 55}},
}

// Sobol is a scrambled sequence in dim dimensions. It is immutable.
type Sobol struct {
	seed   uint32
	matrix [][32]uint32 // per dimension: the generator's columns
}

// NewSobol returns the sequence of a seed. It panics when dim is not in 1 … MaxDim.
func NewSobol(dim int, seed uint64) *Sobol {
	if dim < 1 || dim > MaxDim {
		panic("qmc: dimension out of range")
	}
	s := &Sobol{seed: uint32(seed ^ seed>>32), matrix: make([][32]uint32, dim)}
	for j := range s.matrix {
		s.matrix[j] = columns(j)
	}
	return s
}

// columns works out the generator matrix of one dimension.
func columns(dim int) (v [32]uint32) {
	if dim == 0 {
		for i := range v {
			v[i] = 1 << (31 - i)
		}
		return v
	}
	d := directions[dim-1]
	degree := bits.Len32(d.poly) - 1
	for i := range v {
		if i < degree {
			v[i] = d.init[i] << (31 - i)
			continue
		}
		v[i] = v[i-degree] ^ v[i-degree]>>degree
		for k := 1; k < degree; k++ {
			if d.poly>>(degree-k)&1 == 1 {
				v[i] ^= v[i-k]
			}
		}
	}
	return v
}

// At writes the point with the given index into x, each coordinate in [0, 1).
// The order of the points is scrambled too, within aligned powers of two.
func (s *Sobol) At(index uint32, x []float64) {
	index = nested(index, hash(s.seed))
	for j := range x {
		var b uint32
		for i, n := 0, index; n != 0; i, n = i+1, n>>1 {
			if n&1 == 1 {
				b ^= s.matrix[j][i]
			}
		}
		x[j] = float64(nested(b, hash(s.seed+uint32(j+1)*0x9e3779b9))) / (1 << 32)
	}
}

// nested is Owen's scrambling of the bits of x, the highest bit first: each bit
// is flipped or not according to the seed and the bits above it.
func nested(x, seed uint32) uint32 {
	x = bits.Reverse32(x)
	x ^= x * 0x3d20adea
	x += seed
	x *= seed>>16 | 1
	x ^= x * 0x05526c56
	x ^= x * 0x53a22864
	return bits.Reverse32(x)
}

func hash(x uint32) uint32 {
	x ^= x >> 16
	x *= 0x21f0aaad
	x ^= x >> 15
	x *= 0xd35a2d97
	x ^= x >> 15
	return x
}
