package hosting

import (
	"context"
	"time"

	"github.com/musher/musher/internal/awsapi"
	"github.com/musher/musher/internal/loop"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Family is the hosting family of SageMaker.
type Family struct {
	Deps
	store
	loop *loop.Loop
	once sagemaker.Noted
	seen health
}

// New registers the family's operations on s.
func New(deps Deps, s *awsapi.Service) *Family {
	if deps.HealthTimeout == 0 {
		deps.HealthTimeout = 4 * time.Minute
	}
	f := &Family{Deps: deps, store: newStore(deps.DB), seen: newHealth()}
	f.loop = loop.New("hosting", f.step, loop.Options{Workers: 8, Keys: f.keys, Log: deps.Log})
	f.handleModels(s)
	f.handleConfigs(s)
	f.handleEndpoints(s)
	return f
}

// Run works on the endpoints until ctx ends.
func (f *Family) Run(ctx context.Context) error { return f.loop.Run(ctx) }

// Poke asks for a look at an endpoint, as after a change of an instance.
func (f *Family) Poke(endpoint string) { f.loop.Poke(endpoint) }

func (f *Family) noteIgnored(operation string, fields map[string]bool) {
	f.once.Ignored(f.Log, operation, fields)
}

func (f *Family) handleEndpoints(s *awsapi.Service) {
	byName := func(r *awsapi.Request, name string) []awsapi.Permission {
		return []awsapi.Permission{sagemaker.Needs(r, "endpoint", name)}
	}
	withConfig := func(r *awsapi.Request, name, config string) []awsapi.Permission {
		return append(byName(r, name), sagemaker.Needs(r, "endpoint-config", config))
	}
	awsapi.Handle(s, "CreateEndpoint", f.createEndpoint, awsapi.Access(func(r *awsapi.Request, in *sagemaker.CreateEndpointInput) []awsapi.Permission {
		return withConfig(r, in.EndpointName, in.EndpointConfigName)
	}))
	awsapi.Handle(s, "UpdateEndpoint", f.updateEndpoint, awsapi.Access(func(r *awsapi.Request, in *sagemaker.UpdateEndpointInput) []awsapi.Permission {
		return withConfig(r, in.EndpointName, in.EndpointConfigName)
	}))
	awsapi.Handle(s, "DescribeEndpoint", f.describeEndpoint, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DescribeEndpointInput) []awsapi.Permission {
		return byName(r, in.EndpointName)
	}))
	awsapi.Handle(s, "DeleteEndpoint", f.deleteEndpoint, awsapi.Access(func(r *awsapi.Request, in *sagemaker.DeleteEndpointInput) []awsapi.Permission {
		return byName(r, in.EndpointName)
	}))
	awsapi.Handle(s, "ListEndpoints", f.listEndpoints)
}

func (f *Family) createEndpoint(ctx context.Context, in *sagemaker.CreateEndpointInput) (*sagemaker.CreateEndpointOutput, error) {
	if in.EndpointName == "" {
		return nil, sagemaker.Invalid("EndpointName must not be empty.")
	}
	f.noteIgnored("CreateEndpoint", map[string]bool{"DeploymentConfig": in.DeploymentConfig != nil})
	r := awsapi.RequestFrom(ctx)
	now := time.Now().UTC()
	row := &Endpoint{
		Name: in.EndpointName, ARN: sagemaker.ARN(r, "endpoint", in.EndpointName), Region: r.Region,
		Status: creating, Created: now, Modified: now, Generation: 1,
	}
	err := f.db.Update(ctx, func(tx *state.Tx) (err error) {
		if row.Pending, err = f.deployment(ctx, tx, in.EndpointConfigName, row.Generation, now); err != nil {
			return err
		}
		if err := add(tx, f.endpoints, in.EndpointName, row, "endpoint", row.ARN); err != nil {
			return err
		}
		return f.Tags.Create(tx, row.ARN, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	f.Poke(in.EndpointName)
	return &sagemaker.CreateEndpointOutput{EndpointArn: row.ARN}, nil
}

// deployment copies a configuration and its models.
func (f *Family) deployment(ctx context.Context, tx *state.Tx, config string, generation int, now time.Time) (*Deployment, error) {
	c, err := f.findConfig(ctx, tx, config)
	if err != nil {
		return nil, err
	}
	d := &Deployment{Config: config, Generation: generation, Since: now}
	for _, v := range c.Request.ProductionVariants {
		m, err := find(tx, f.models, *v.ModelName, "model", sagemaker.ARN(awsapi.RequestFrom(ctx), "model", *v.ModelName))
		if err != nil {
			return nil, err
		}
		isolated, err := f.isolated(m, sagemaker.Or(c.Request.EnableNetworkIsolation, false))
		if err != nil {
			return nil, err
		}
		d.Variants = append(d.Variants, Variant{
			Spec: *v, Model: m.Request, Desired: int(*v.InitialInstanceCount), Weight: sagemaker.Or(v.InitialVariantWeight, 1),
			Isolated: isolated,
		})
	}
	return d, nil
}

// isolated tells whether a model's instances reach no network: where it, or
// what it is part of, asks for that.
func (f *Family) isolated(m *Model, asked bool) (bool, error) {
	asked = asked || sagemaker.Or(m.Request.EnableNetworkIsolation, false)
	if asked && !f.Runner.Abilities().Isolate {
		return false, sagemaker.Invalid("Model %q asks for network isolation, which cannot be enforced on this machine: set EnableNetworkIsolation to false.", m.Request.ModelName)
	}
	return asked, nil
}

func (f *Family) updateEndpoint(ctx context.Context, in *sagemaker.UpdateEndpointInput) (*sagemaker.UpdateEndpointOutput, error) {
	f.noteIgnored("UpdateEndpoint", map[string]bool{"DeploymentConfig": in.DeploymentConfig != nil})
	var row *Endpoint
	err := f.db.Update(ctx, func(tx *state.Tx) (err error) {
		if row, err = f.findEndpoint(ctx, tx, in.EndpointName); err != nil {
			return err
		}
		if row.Status != inService && row.Status != failed {
			return sagemaker.Invalid("Cannot update in-progress endpoint %q.", row.ARN)
		}
		now := time.Now().UTC()
		row.Generation++
		if row.Pending, err = f.deployment(ctx, tx, in.EndpointConfigName, row.Generation, now); err != nil {
			return err
		}
		if sagemaker.Or(in.RetainAllVariantProperties, false) && row.Current != nil {
			retain(row.Pending, row.Current, in.ExcludeRetainedVariantProperties)
		}
		row.Status, row.Failure, row.Modified = updating, "", now
		return f.endpoints.Put(tx, in.EndpointName, row)
	})
	if err != nil {
		return nil, err
	}
	f.Poke(in.EndpointName)
	return &sagemaker.UpdateEndpointOutput{EndpointArn: row.ARN}, nil
}

// retain keeps instance counts and weights that were changed since the old
// deployment was made, for variants of the same name.
func retain(fresh, old *Deployment, exclude []*sagemaker.VariantProperty) {
	excluded := map[string]bool{}
	for _, p := range exclude {
		excluded[p.VariantPropertyType] = true
	}
	for i := range fresh.Variants {
		for _, o := range old.Variants {
			if o.Spec.VariantName != fresh.Variants[i].Spec.VariantName {
				continue
			}
			if !excluded["DesiredInstanceCount"] {
				fresh.Variants[i].Desired = o.Desired
			}
			if !excluded["DesiredWeight"] {
				fresh.Variants[i].Weight = o.Weight
			}
		}
	}
}

func (f *Family) findEndpoint(ctx context.Context, tx *state.Tx, name string) (*Endpoint, error) {
	return find(tx, f.endpoints, name, "endpoint", sagemaker.ARN(awsapi.RequestFrom(ctx), "endpoint", name))
}

func (f *Family) deleteEndpoint(ctx context.Context, in *sagemaker.DeleteEndpointInput) (*sagemaker.DeleteEndpointOutput, error) {
	err := f.db.Update(ctx, func(tx *state.Tx) error {
		row, err := f.findEndpoint(ctx, tx, in.EndpointName)
		if err != nil {
			return err
		}
		row.Status, row.Modified = deleting, time.Now().UTC()
		return f.endpoints.Put(tx, in.EndpointName, row)
	})
	if err == nil {
		f.Poke(in.EndpointName)
	}
	return nil, err
}

func (f *Family) describeEndpoint(ctx context.Context, in *sagemaker.DescribeEndpointInput) (*sagemaker.DescribeEndpointOutput, error) {
	var row *Endpoint
	err := f.db.View(ctx, func(tx *state.Tx) (err error) {
		row, err = f.findEndpoint(ctx, tx, in.EndpointName)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &sagemaker.DescribeEndpointOutput{
		EndpointName: row.Name, EndpointArn: row.ARN, EndpointStatus: row.Status,
		CreationTime: row.Created, LastModifiedTime: row.Modified,
	}
	if row.Failure != "" {
		out.FailureReason = &row.Failure
	}
	if d := row.Pending; d != nil {
		out.PendingDeploymentSummary = &sagemaker.PendingDeploymentSummary{EndpointConfigName: d.Config, StartTime: &d.Since}
		out.EndpointConfigName = &d.Config
	}
	if d := row.Current; d != nil {
		out.EndpointConfigName = &d.Config
		for i := range d.Variants {
			out.ProductionVariants = append(out.ProductionVariants, f.summary(row, d, &d.Variants[i]))
		}
	}
	return out, nil
}

func (f *Family) summary(row *Endpoint, d *Deployment, v *Variant) *sagemaker.ProductionVariantSummary {
	healthy, desired := int64(0), int64(v.Desired)
	for _, in := range d.instances(row.Name) {
		if in.variant == v.Spec.VariantName && f.seen.healthy(in.id()) {
			healthy++
		}
	}
	return &sagemaker.ProductionVariantSummary{
		VariantName: v.Spec.VariantName, CurrentWeight: &v.Weight, DesiredWeight: &v.Weight,
		CurrentInstanceCount: &healthy, DesiredInstanceCount: &desired,
		DeployedImages: []*sagemaker.DeployedImage{{SpecifiedImage: v.container().Image, ResolvedImage: v.container().Image, ResolutionTime: &d.Since}},
	}
}

func (f *Family) listEndpoints(ctx context.Context, in *sagemaker.ListEndpointsInput) (*sagemaker.ListEndpointsOutput, error) {
	listing := sagemaker.Listing{
		NameContains: in.NameContains, StatusEquals: in.StatusEquals,
		CreatedAfter: in.CreationTimeAfter, CreatedBefore: in.CreationTimeBefore,
		ModifiedAfter: in.LastModifiedTimeAfter, ModifiedBefore: in.LastModifiedTimeBefore,
		SortBy: sagemaker.Or(in.SortBy, "CreationTime"), Descending: sagemaker.Or(in.SortOrder, "Descending") == "Descending",
		MaxResults: in.MaxResults, NextToken: in.NextToken,
	}
	rows, next, err := sagemaker.Rows(ctx, f.db, f.endpoints, listing, func(e *Endpoint) sagemaker.Entry {
		if isLease(e.Name) {
			return sagemaker.Entry{}
		}
		return sagemaker.Entry{Name: e.Name, Status: e.Status, Created: e.Created, Modified: e.Modified}
	})
	out := &sagemaker.ListEndpointsOutput{NextToken: next, Endpoints: []*sagemaker.EndpointSummary{}}
	for _, e := range rows {
		out.Endpoints = append(out.Endpoints, &sagemaker.EndpointSummary{
			EndpointName: e.Name, EndpointArn: e.ARN, EndpointStatus: e.Status, CreationTime: e.Created, LastModifiedTime: e.Modified,
		})
	}
	return out, err
}
