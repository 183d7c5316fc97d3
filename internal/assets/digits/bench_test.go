package digits

import (
	"path/filepath"
	"testing"
)

func BenchmarkWrite100(b *testing.B) {
	rows := make([]string, 100)
	for i := range rows {
		rows[i] = row("7")
	}
	for b.Loop() {
		if err := Write(b.Context(), table(b, rows...), filepath.Join(b.TempDir(), "d")); err != nil {
			b.Fatal(err)
		}
	}
}
