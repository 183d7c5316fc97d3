//go:build linux

package process_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/musher/musher/internal/runner"
)

// BenchmarkStart measures from the call of Start to the first byte that the
// work prints, and to the news of its end.
func BenchmarkStart(b *testing.B) {
	for name, noNamespaces := range map[string]bool{"namespaces": false, "landlock": true} {
		b.Run(name, func(b *testing.B) {
			ended := make(chan string, 16)
			o := options(b)
			o.NoNamespaces = noNamespaces
			o.OnChange = func(id string) { ended <- id }
			dir := b.TempDir()
			r := open(b, dir, o)
			var accepted, printed, told times
			for i := range b.N {
				id := fmt.Sprintf("job-%d", i)
				spec := runner.Spec{ID: id, Command: []string{"/bin/echo", "hello"}, Dir: b.TempDir()}
				start := time.Now()
				if err := r.Start(b.Context(), spec); err != nil {
					b.Fatal(err)
				}
				accepted = append(accepted, time.Since(start))
				log := filepath.Join(dir, "work", id, "log")
				for info, err := os.Stat(log); err != nil || info.Size() == 0; info, err = os.Stat(log) {
					time.Sleep(50 * time.Microsecond)
				}
				printed = append(printed, time.Since(start))
				for s, err := r.Inspect(b.Context(), id); !s.Ended(); s, err = r.Inspect(b.Context(), id) {
					if err != nil {
						b.Fatal(err)
					}
					<-ended
				}
				told = append(told, time.Since(start))
			}
			accepted.report(b, "accepted")
			printed.report(b, "printed")
			told.report(b, "ended")
		})
	}
}

type times []time.Duration

func (all times) report(b *testing.B, what string) {
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	b.ReportMetric(ms(all[0]), "ms-"+what+"-min")
	b.ReportMetric(ms(all[len(all)/2]), "ms-"+what+"-median")
}
