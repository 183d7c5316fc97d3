//go:build !amd64

package vision

const haveVectors = false

func weighVectors(_, _ *byte, _, _ int, _ *uint64, _ int) { panic("vision: no vectors here") }
