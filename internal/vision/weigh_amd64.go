package vision

import "golang.org/x/sys/cpu"

// haveVectors says that weighVectors may be called here.
var haveVectors = cpu.X86.HasAVX2

// weighVectors is weigh with AVX2: n bytes, a multiple of 32, from rows that lie
// stride bytes apart; of each weight the low 32 bits count.
//
//go:noescape
func weighVectors(dst, rows *byte, stride, n int, weights *uint64, taps int)
