package hosting

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/musher/musher/internal/serve"
	"github.com/musher/musher/internal/state"
	"github.com/musher/musher/internal/svc/sagemaker"
)

// Model is one row: a model as it was created.
type Model struct {
	Request sagemaker.CreateModelInput
	ARN     string
	Created time.Time
}

// Config is one row: an endpoint configuration as it was created.
type Config struct {
	Request sagemaker.CreateEndpointConfigInput
	ARN     string
	Created time.Time
}

// Endpoint is one row.
type Endpoint struct {
	Name     string
	ARN      string
	Region   string
	Status   string
	Failure  string
	Created  time.Time
	Modified time.Time

	Generation int         // of the newest deployment
	Current    *Deployment // takes the requests
	Pending    *Deployment // shall replace it
	Retired    []int       // generations whose instances are to be ended
}

// The values of EndpointStatus that are used.
const (
	creating  = "Creating"
	updating  = "Updating"
	inService = "InService"
	failed    = "Failed"
	deleting  = "Deleting"
)

// Deployment is a configuration with its models, as they were when it was
// deployed.
type Deployment struct {
	Config     string
	Generation int
	Variants   []Variant
	Since      time.Time
	Ready      time.Time // when all was here that its instances need
}

// Variant is a part of a deployment: one model on its instances.
type Variant struct {
	Spec    sagemaker.ProductionVariant
	Model   sagemaker.CreateModelInput
	Desired int // instances
	Weight  float64

	// Isolated: its instances reach no network.
	Isolated bool

	// What was brought here for it; empty until it is there, or where there is
	// none.
	Folder   string // the model
	Code     string // the script, if it does not lie in the model's folder
	Packages string // what the script's requirements.txt asks for
}

// container returns the one container that a model has.
func (v *Variant) container() *sagemaker.ContainerDefinition { return container(&v.Model) }

func container(m *sagemaker.CreateModelInput) *sagemaker.ContainerDefinition {
	if m.PrimaryContainer != nil {
		return m.PrimaryContainer
	}
	if len(m.Containers) == 1 {
		return m.Containers[0]
	}
	return nil
}

// instance is one process of a variant. With the index -1 it is the one that
// installs what the others need.
type instance struct {
	endpoint   string
	generation int
	variant    string
	index      int
}

func (i instance) id() string {
	return fmt.Sprintf("endpoint.%s.%d.%s.%s", i.endpoint, i.generation, i.variant, i.step())
}

// dir is the instance's folder below the family's.
func (i instance) dir(base string) string {
	return filepath.Join(base, i.endpoint, fmt.Sprintf("%d-%s-%s", i.generation, i.variant, i.step()))
}

// log is the file that its output goes to.
func (i instance) log(base string) string { return filepath.Join(i.dir(base), "log") }

func (i instance) target(base string) serve.Instance {
	return serve.Instance{ID: i.id(), Socket: filepath.Join(i.dir(base), "http.sock")}
}

// instances lists a deployment's instances, variant by variant.
func (d *Deployment) instances(endpoint string) (all []instance) {
	for _, v := range d.Variants {
		for n := range v.Desired {
			all = append(all, instance{endpoint, d.Generation, v.Spec.VariantName, n})
		}
	}
	return all
}

type store struct {
	db        *state.DB
	models    state.Table[Model]
	configs   state.Table[Config]
	endpoints state.Table[Endpoint]
}

func newStore(db *state.DB) store {
	return store{
		db, state.NewTable[Model](db, "models"), state.NewTable[Config](db, "endpoint_configs"),
		state.NewTable[Endpoint](db, "endpoints"),
	}
}

// find is Get with the error that the service gives for a missing row.
func find[T any](tx *state.Tx, table state.Table[T], key, kind, arn string) (*T, error) {
	row, err := table.Get(tx, key)
	if errors.Is(err, state.ErrNotFound) {
		return nil, sagemaker.Invalid("Could not find %s %q.", kind, arn)
	}
	return row, err
}

// add is Insert with the error that the service gives for a taken name.
func add[T any](tx *state.Tx, table state.Table[T], key string, row *T, kind, arn string) error {
	err := table.Insert(tx, key, row)
	if errors.Is(err, state.ErrExists) {
		return sagemaker.Invalid("Cannot create already existing %s %q.", kind, arn)
	}
	return err
}
