package hosting

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// leaseMark begins the name of a lease: the endpoint of one job. No endpoint of
// the API can have such a name, so no operation finds a lease.
const leaseMark = "transform_"

// leaseGrace is between SIGTERM and SIGKILL for the instances of a lease: what
// they may still work on, nobody waits for.
const leaseGrace = 2 * time.Second

func graceOf(endpoint string) time.Duration {
	if isLease(endpoint) {
		return leaseGrace
	}
	return stopGrace
}

func isLease(endpoint string) bool { return strings.HasPrefix(endpoint, leaseMark) }

// Lease writes, in the caller's transaction, that a job shall have instances of
// a model. The loop brings them up as those of an endpoint, and keeps them up
// until Release. The caller pokes once it has committed.
func (f *Family) Lease(tx *state.Tx, l sagemaker.Lease) (sagemaker.Leased, error) {
	m, err := find(tx, f.models, l.Model, "model", l.ModelARN)
	if err != nil {
		return sagemaker.Leased{}, err
	}
	isolated, err := f.isolated(m, false)
	if err != nil {
		return sagemaker.Leased{}, err
	}
	now, address := time.Now().UTC(), leaseMark+l.Job
	row := &Endpoint{
		Name: address, Region: l.Region, Status: creating, Created: now, Modified: now, Generation: 1,
		Pending: &Deployment{Generation: 1, Since: now, Variants: []Variant{{
			Spec:  sagemaker.ProductionVariant{VariantName: l.Job, InstanceType: &l.InstanceType},
			Model: withEnvironment(m.Request, l.Environment), Desired: l.Instances, Weight: 1, Isolated: isolated,
		}}},
	}
	return sagemaker.Leased{Address: address, Role: *m.Request.ExecutionRoleArn}, f.endpoints.Insert(tx, address, row)
}

// withEnvironment is the model with more variables.
func withEnvironment(m sagemaker.CreateModelInput, more map[string]string) sagemaker.CreateModelInput {
	c := *container(&m)
	c.Environment = maps.Clone(c.Environment)
	if c.Environment == nil {
		c.Environment = map[string]string{}
	}
	maps.Copy(c.Environment, more)
	m.PrimaryContainer, m.Containers = &c, nil
	return m
}

// Leased tells where a lease's instances stand.
func (f *Family) Leased(ctx context.Context, address string) (sagemaker.LeaseState, error) {
	row, err := f.load(ctx, address)
	if err != nil || row == nil {
		return sagemaker.LeaseState{Gone: err == nil}, err
	}
	return sagemaker.LeaseState{Up: row.Status == inService, Failure: row.Failure}, nil
}

// Release writes, in the caller's transaction, that a job needs its instances
// no more. The caller pokes once it has committed.
func (f *Family) Release(tx *state.Tx, address string) error {
	_, err := f.endpoints.Modify(tx, address, func(e *Endpoint) error {
		e.Status, e.Modified = deleting, time.Now().UTC()
		return nil
	})
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	return err
}
