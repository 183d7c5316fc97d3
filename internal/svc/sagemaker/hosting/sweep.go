package hosting

import (
	"context"
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Sweep removes unpacked models that were unpacked before a time and that no
// endpoint serves.
func (f *Family) Sweep(ctx context.Context, since time.Time) error {
	used := map[string]bool{}
	err := f.db.View(ctx, func(tx *state.Tx) error {
		return f.endpoints.Scan(tx, state.Range{}, func(_ string, e *Endpoint) (bool, error) {
			for _, d := range []*Deployment{e.Current, e.Pending} {
				for i := 0; d != nil && i < len(d.Variants); i++ {
					v := &d.Variants[i]
					used[v.Folder], used[v.Code], used[v.Packages] = true, true, true
				}
			}
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	return sagemaker.SweepFolders(f.ModelsDir, since, func(folder string) bool { return used[folder] })
}
