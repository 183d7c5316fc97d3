package blob

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
)

// BenchmarkPut puts objects the size of a small photo and of a model, beside
// the same bytes written and flushed with nothing else, on the same disk.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{15_000, 8 << 20, 64 << 20} {
		data := randomBytes(size)
		for _, uploaders := range []int{1, 10} {
			name := strconv.Itoa(size) + "B/" + strconv.Itoa(uploaders) + "-uploaders"
			b.Run("store/"+name, func(b *testing.B) {
				s := open(b, b.TempDir())
				each(b, uploaders, size, func(int64) error {
					_, err := s.Put(b.Context(), bytes.NewReader(data), Options{Sums: []Algorithm{MD5, CRC32}})
					return err
				})
			})
			b.Run("disk/"+name, func(b *testing.B) {
				dir := b.TempDir()
				each(b, uploaders, size, func(i int64) error {
					f, err := os.Create(filepath.Join(dir, strconv.FormatInt(i, 10)))
					if err != nil {
						return err
					}
					defer f.Close()
					if _, err := f.Write(data); err != nil {
						return err
					}
					return f.Sync()
				})
			})
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s := open(b, b.TempDir())
	for _, size := range []int{15_000, 64 << 20} {
		p := put(b, s, randomBytes(size))
		b.Run(strconv.Itoa(size)+"B", func(b *testing.B) {
			each(b, 1, size, func(int64) error {
				r, err := s.Reader([]Part{p}, 0, p.Size)
				if err != nil {
					return err
				}
				defer r.Close()
				_, err = io.Copy(io.Discard, r)
				return err
			})
		})
	}
}

// each runs fn b.N times from some goroutines.
func each(b *testing.B, goroutines, size int, fn func(i int64) error) {
	b.SetBytes(int64(size))
	var next atomic.Int64
	done := make(chan error, goroutines)
	b.ResetTimer()
	for range goroutines {
		go func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := fn(i); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range goroutines {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
