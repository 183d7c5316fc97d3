package blob

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"sync"
)

// Algorithm is a checksum that Put can compute, by the name that S3 gives it.
type Algorithm string

// The algorithms. CRCs are big-endian, as S3 writes them.
const (
	MD5       Algorithm = "MD5"
	SHA1      Algorithm = "SHA1"
	SHA256    Algorithm = "SHA256"
	SHA512    Algorithm = "SHA512"
	CRC32     Algorithm = "CRC32"     // IEEE
	CRC32C    Algorithm = "CRC32C"    // Castagnoli
	CRC64NVME Algorithm = "CRC64NVME" // NVM Express specification, 5.2.1.3.4
)

// The tables are made at their first use and kept: hash/crc32 recognises its
// fast Castagnoli code by the table's address, and hash/crc64 has none for NVMe.
var (
	castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })
	nvme       = sync.OnceValue(func() *crc64.Table { return crc64.MakeTable(0x9a6c9329ac4bc9b5) })
)

// New returns a hash of the algorithm, or nil for an unknown one.
func (a Algorithm) New() hash.Hash {
	switch a {
	case MD5:
		return md5.New()
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	case SHA512:
		return sha512.New()
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(castagnoli())
	case CRC64NVME:
		return crc64.New(nvme())
	}
	return nil
}

// Polynomial returns the width in bits of a CRC and its polynomial in reversed
// notation, or 0, 0 for what is no CRC.
func (a Algorithm) Polynomial() (bits int, poly uint64) {
	switch a {
	case CRC32:
		return 32, crc32.IEEE
	case CRC32C:
		return 32, crc32.Castagnoli
	case CRC64NVME:
		return 64, 0x9a6c9329ac4bc9b5
	}
	return 0, 0
}

// Concat returns the CRC of two pieces of data one behind the other, from the
// CRC of each and the length of the second in bytes. It panics for what is no
// CRC.
//
// Appending zero bytes to the first piece is a linear map over GF(2), so its
// effect for n bytes is the n-th power of a matrix, found by squaring; the
// initial and final complements cancel out between the two CRCs.
func (a Algorithm) Concat(first, second []byte, secondLen int64) []byte {
	bits, poly := a.Polynomial()
	if bits == 0 {
		panic("blob: no CRC: " + string(a))
	}
	crc := fromBytes(first)
	power := zeroByte(bits, poly)
	for n := secondLen; n > 0; n >>= 1 {
		if n&1 == 1 {
			crc = power.apply(crc)
		}
		power = power.times(power)
	}
	return toBytes(crc^fromBytes(second), bits/8)
}

// matrix maps bit vectors; column i is the image of the bit 1<<i.
type matrix [64]uint64

func (m *matrix) apply(v uint64) (out uint64) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			out ^= m[i]
		}
	}
	return out
}

func (m *matrix) times(n *matrix) *matrix {
	var out matrix
	for i := range n {
		out[i] = m.apply(n[i])
	}
	return &out
}

// zeroByte is the matrix that feeds one zero byte to a CRC register.
func zeroByte(bits int, poly uint64) *matrix {
	var bit matrix
	bit[0] = poly
	for i := 1; i < bits; i++ {
		bit[i] = 1 << (i - 1)
	}
	m := &bit
	for range 3 {
		m = m.times(m)
	}
	return m
}

func fromBytes(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

func toBytes(v uint64, n int) []byte {
	b := make([]byte, n)
	for i := n - 1; i >= 0; i, v = i-1, v>>8 {
		b[i] = byte(v)
	}
	return b
}
