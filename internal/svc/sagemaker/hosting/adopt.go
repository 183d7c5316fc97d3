package hosting

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/state"
)

// Adopt publishes the endpoints as an earlier server left them: the instances
// that still answer take requests from the first one on. It is called before
// requests are let in; the loop looks at everything else.
func (f *Family) Adopt(ctx context.Context) error {
	var rows []*Endpoint
	err := f.db.View(ctx, func(tx *state.Tx) error {
		return f.endpoints.Scan(tx, state.Range{}, func(_ string, e *Endpoint) (bool, error) {
			if e.Current != nil && e.Status != deleting {
				rows = append(rows, e)
			}
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	const most = 500 * time.Millisecond // for all of them: the start must not wait for one that hangs
	pings, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(32)
	for _, row := range rows {
		for _, in := range row.Current.instances(row.Name) {
			group.Go(func() error {
				if f.Router.Ping(pings, in.target(f.Dir)) == nil {
					f.seen.set(in.id(), true)
				}
				return nil
			})
		}
	}
	group.Wait() //nolint:errcheck // none returns one
	for _, row := range rows {
		f.publish(row)
	}
	return nil
}
