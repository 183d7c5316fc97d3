package runtimes

import "testing"

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		if _, err := Open("data", Options{Cache: "cache"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	f := newFake(b, b.TempDir(), "3.11.7", "torch")
	b.Setenv("PATH", "/usr/bin:/bin")
	m := &machine{t: b, data: b.TempDir(), cache: b.TempDir(), search: []string{f.says.Prefix + "/bin"}}
	s := m.open()
	for b.Loop() {
		if _, err := s.Resolve("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.1-cpu-py310"); err != nil {
			b.Fatal(err)
		}
	}
}
