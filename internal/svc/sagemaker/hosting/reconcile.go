package hosting

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/musher/musher/internal/runner"
	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

const (
	startLook = 20 * time.Millisecond // how often starting instances are pinged
	watchLook = time.Second           // how often serving instances are looked at
	drainLook = 50 * time.Millisecond
	drainMost = 30 * time.Second // what a retired instance may take for its last requests
	stopGrace = 30 * time.Second // between SIGTERM and SIGKILL, as on SageMaker
	pingMost  = 2 * time.Second

	// sessionName is the name under which instances act as their role.
	sessionName = "SageMaker"

	// startAttempts is how often an instance of a new deployment may crash
	// before the deployment has failed.
	startAttempts = 3
)

// keys lists the endpoints, and those that are gone but left instances.
func (f *Family) keys(ctx context.Context) ([]string, error) {
	names := map[string]bool{}
	err := f.db.View(ctx, func(tx *state.Tx) error {
		return f.endpoints.Scan(tx, state.Range{}, func(name string, _ *Endpoint) (bool, error) {
			names[name] = true
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	work, err := f.Runner.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range work {
		if w.Labels["kind"] == "endpoint" {
			names[w.Labels["endpoint"]] = true
		}
	}
	all := make([]string, 0, len(names))
	for name := range names {
		all = append(all, name)
	}
	return all, nil
}

// step moves one endpoint towards its row.
func (f *Family) step(ctx context.Context, name string) (time.Duration, error) {
	row, err := f.load(ctx, name)
	if err != nil {
		return 0, err
	}
	if row == nil || row.Status == deleting {
		return f.remove(ctx, name, row)
	}
	again := watchLook
	if row.Current != nil {
		wait, err := f.keepUp(ctx, row, row.Current)
		if err != nil {
			return 0, err
		}
		again = min(again, wait)
		f.publish(row)
	}
	if row.Pending != nil {
		wait, err := f.bringUp(ctx, row)
		if err != nil {
			return 0, err
		}
		again = min(again, wait)
	}
	wait, err := f.retire(ctx, row)
	if row.Current == nil && row.Pending == nil && wait == 0 {
		return 0, err // a failed endpoint: nothing runs, nothing to watch
	}
	if wait > 0 {
		again = min(again, wait)
	}
	return again, err
}

func (f *Family) load(ctx context.Context, name string) (row *Endpoint, err error) {
	err = f.db.View(ctx, func(tx *state.Tx) error {
		row, err = f.endpoints.Get(tx, name)
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	return row, err
}

// update changes the row unless the endpoint is being deleted, and the copy at
// hand with it.
func (f *Family) update(ctx context.Context, row *Endpoint, change func(now time.Time, e *Endpoint)) error {
	return f.db.Update(ctx, func(tx *state.Tx) error {
		fresh, err := f.endpoints.Modify(tx, row.Name, func(e *Endpoint) error {
			if e.Status != deleting {
				change(time.Now().UTC(), e)
			}
			return nil
		})
		if err == nil {
			*row = *fresh
		}
		return err
	})
}

// bringUp starts a deployment's instances and lets them take over when all of
// them answer.
func (f *Family) bringUp(ctx context.Context, row *Endpoint) (time.Duration, error) {
	done, err := f.prepare(ctx, row)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		return 0, f.giveUp(ctx, row, err.Error())
	case !done:
		return watchLook, nil
	}
	d := row.Pending
	ready := 0
	instances := d.instances(row.Name)
	for _, in := range instances {
		up, crashes, why, err := f.tend(ctx, row, d, in)
		switch {
		case err != nil && time.Since(d.Ready) > f.healthTimeout(d):
			return 0, f.giveUp(ctx, row, fmt.Sprintf("could not start an instance of variant %s: %v", in.variant, err))
		case err != nil:
			return 0, err
		case crashes >= startAttempts:
			return 0, f.giveUp(ctx, row, why)
		case up:
			ready++
		}
	}
	switch {
	case ready == len(instances):
		return startLook, f.takeOver(ctx, row)
	case time.Since(d.Ready) > f.healthTimeout(d):
		return 0, f.giveUp(ctx, row, fmt.Sprintf("%d of %d instances did not pass the ping health check within %v. Their logs tell more: musher logs %s.",
			len(instances)-ready, len(instances), f.healthTimeout(d), row.Name))
	}
	return startLook, nil
}

func (f *Family) healthTimeout(d *Deployment) time.Duration {
	most := f.HealthTimeout
	for _, v := range d.Variants {
		if s := v.Spec.ContainerStartupHealthCheckTimeoutInSeconds; s != nil {
			most = max(most, time.Duration(*s)*time.Second)
		}
	}
	return most
}

// takeOver makes the pending deployment the current one. The routing table
// changes first: a request that comes in between finds an instance either way.
func (f *Family) takeOver(ctx context.Context, row *Endpoint) error {
	ahead := *row
	ahead.Current = row.Pending
	f.publish(&ahead)
	err := f.update(ctx, row, func(now time.Time, e *Endpoint) {
		if e.Current != nil {
			e.Retired = append(e.Retired, e.Current.Generation)
		}
		e.Current, e.Pending = e.Pending, nil
		e.Status, e.Failure, e.Modified = inService, "", now
	})
	if err != nil {
		f.publish(row)
	}
	return err
}

// giveUp drops the pending deployment: an endpoint that served before goes on
// serving, another one has failed.
func (f *Family) giveUp(ctx context.Context, row *Endpoint, why string) error {
	f.Log.Warn("a deployment failed", "endpoint", row.Name, "why", why)
	err := f.update(ctx, row, func(now time.Time, e *Endpoint) {
		e.Retired = append(e.Retired, e.Pending.Generation)
		e.Pending, e.Failure, e.Modified = nil, sagemaker.Cut(why), now
		e.Status = failed
		if e.Current != nil {
			e.Status = inService
		}
	})
	f.Poke(row.Name)
	return err
}

// keepUp replaces the instances of a serving deployment that ended.
func (f *Family) keepUp(ctx context.Context, row *Endpoint, d *Deployment) (time.Duration, error) {
	again := watchLook
	for _, in := range d.instances(row.Name) {
		up, _, _, err := f.tend(ctx, row, d, in)
		if err != nil {
			return 0, err
		}
		if !up {
			again = startLook
		}
	}
	return again, nil
}

// tend starts an instance that does not run, and pings one that does.
func (f *Family) tend(ctx context.Context, row *Endpoint, d *Deployment, in instance) (up bool, crashes int, why string, err error) {
	id := in.id()
	st, err := f.Runner.Inspect(ctx, id)
	switch {
	case errors.Is(err, runner.ErrNotFound):
		f.seen.set(id, false)
		if f.seen.wait(id, time.Now()) > 0 {
			return false, 0, "", nil
		}
		return false, 0, "", f.start(ctx, row, d, in)
	case err != nil:
		return false, 0, "", err
	case st.Ended():
		crashes = f.seen.crashed(id, time.Now())
		why = f.blame("The model server of", in, st)
		f.Log.Warn("an instance ended", "endpoint", row.Name, "instance", id, "why", why)
		return false, crashes, why, f.Runner.Remove(ctx, id)
	}
	if f.seen.healthy(id) {
		return true, 0, "", nil
	}
	ping, cancel := context.WithTimeout(ctx, pingMost)
	defer cancel()
	if f.Router.Ping(ping, in.target(f.Dir)) != nil {
		return false, 0, "", nil // not yet; the health timeout bounds the waiting
	}
	f.seen.set(id, true)
	return true, 0, "", nil
}

func (f *Family) start(ctx context.Context, row *Endpoint, d *Deployment, in instance) error {
	v := variant(d, in.variant)
	dir := in.dir(f.Dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := f.Roles.Session(ctx, *v.Model.ExecutionRoleArn, sessionName); err != nil {
		return err // better said now than at the first call that the model makes
	}
	cmd, err := f.command(ctx, d, v, in)
	if err != nil {
		return err
	}
	env := sagemaker.WorkEnvironment(dir, v.container().Environment)
	maps.Copy(env, f.Environment)
	maps.Copy(env, cmd.Env)
	maps.Copy(env, f.Roles.Environment(in.id(), *v.Model.ExecutionRoleArn, sessionName))
	env["AWS_REGION"], env["AWS_DEFAULT_REGION"] = row.Region, row.Region
	f.followLog(ctx, in)
	return f.Runner.Start(ctx, runner.Spec{
		ID:      in.id(),
		Labels:  labels(in),
		Command: cmd.Argv, Env: env, Dir: dir, LogPath: in.log(f.Dir),
		Mounts: cmd.Mounts, Network: network(v),
	})
}

func variant(d *Deployment, name string) *Variant {
	for i := range d.Variants {
		if d.Variants[i].Spec.VariantName == name {
			return &d.Variants[i]
		}
	}
	return nil
}

// blame says how work of a variant ended, and what it said last.
func (f *Family) blame(what string, in instance, st runner.Status) string {
	how := fmt.Sprintf("exit code %d", st.ExitCode)
	if st.Signal != "" {
		how = "killed by " + st.Signal
	}
	if st.Reason != "" {
		how += " (" + st.Reason + ")"
	}
	text := fmt.Sprintf("%s variant %s ended: %s", what, in.variant, how)
	if last := sagemaker.LastLines(in.log(f.Dir), 500); last != "" {
		text += ", last output: " + last
	}
	return text
}

// publish tells the router which instances answer.
func (f *Family) publish(row *Endpoint) {
	d := row.Current
	if d == nil {
		f.Router.Publish(row.Name, nil)
		return
	}
	variants := make([]serve.Variant, len(d.Variants))
	for i, v := range d.Variants {
		variants[i] = serve.Variant{Name: v.Spec.VariantName, Weight: v.Weight}
	}
	for _, in := range d.instances(row.Name) {
		if !f.seen.healthy(in.id()) {
			continue
		}
		for i := range variants {
			if variants[i].Name == in.variant {
				variants[i].Instances = append(variants[i].Instances, in.target(f.Dir))
			}
		}
	}
	f.Router.Publish(row.Name, variants)
}

// retire ends the instances of retired generations, when they are idle. It
// returns 0 when none is left.
func (f *Family) retire(ctx context.Context, row *Endpoint) (time.Duration, error) {
	if len(row.Retired) == 0 {
		return 0, nil
	}
	since := row.Modified
	left, err := f.endAll(ctx, row.Name, func(id string) bool {
		for _, g := range row.Retired {
			if strings.HasPrefix(id, fmt.Sprintf("endpoint.%s.%d.", row.Name, g)) {
				return true
			}
		}
		return false
	}, since)
	if err != nil || left > 0 {
		return drainLook, err
	}
	f.finishLogs(ctx, row.Name, func(generation int) bool { return slices.Contains(row.Retired, generation) })
	return 0, f.update(ctx, row, func(_ time.Time, e *Endpoint) { e.Retired = nil })
}

// endAll stops the endpoint's instances that which chooses, and removes the
// ended ones; left counts those that still run.
func (f *Family) endAll(ctx context.Context, endpoint string, which func(id string) bool, since time.Time) (left int, err error) {
	work, err := f.Runner.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, st := range work {
		if st.Labels["kind"] != "endpoint" || st.Labels["endpoint"] != endpoint || !which(st.ID) {
			continue
		}
		if st.Ended() {
			f.seen.forget(st.ID)
			if err := f.Runner.Remove(ctx, st.ID); err != nil && !errors.Is(err, runner.ErrNotFound) {
				return 0, err
			}
			continue
		}
		left++
		busy := !f.Router.Idle(serve.Instance{ID: st.ID})
		if busy && time.Since(since) < drainMost {
			continue
		}
		if err := f.Runner.Stop(ctx, st.ID, graceOf(endpoint)); err != nil && !errors.Is(err, runner.ErrNotFound) {
			return 0, err
		}
	}
	return left, nil
}

// remove ends all that an endpoint has, then its row.
func (f *Family) remove(ctx context.Context, name string, row *Endpoint) (time.Duration, error) {
	f.Router.Publish(name, nil)
	var since time.Time
	if row != nil {
		since = row.Modified
	}
	left, err := f.endAll(ctx, name, func(string) bool { return true }, since)
	if err != nil || left > 0 {
		return drainLook, err
	}
	f.finishLogs(ctx, name, func(int) bool { return true })
	if err := os.RemoveAll(filepath.Join(f.Dir, name)); err != nil {
		return 0, err
	}
	if row == nil {
		return 0, nil
	}
	return 0, f.db.Update(ctx, func(tx *state.Tx) error {
		if err := f.endpoints.Delete(tx, name); err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		return f.Tags.Delete(tx, row.ARN)
	})
}
