package hosting

import (
	"testing"

	"github.com/musher/musher/internal/svc/sagemaker"
)

func TestCores(t *testing.T) {
	for instanceType, want := range map[string]int{
		"ml.t2.medium": 2, "ml.m5.large": 2, "ml.m5.xlarge": 4, "ml.g4dn.2xlarge": 8, "ml.c5.18xlarge": 72, "ml.odd": 2, "": 2,
	} {
		if got := cores(instanceType); got != want {
			t.Errorf("%q has %d cores, want %d", instanceType, got, want)
		}
	}
}

// TestCode: a script's folder never lies outside of the model's.
func TestCode(t *testing.T) {
	for submitted, want := range map[string]string{
		"": "/m/code", "/opt/ml/model/code": "/m/code", "file:///opt/ml/model/src/serve": "/m/src/serve",
		"/opt/ml/model/../../etc": "/m/etc", "s3://bucket/key": "/m/code", "/etc": "/m/code",
	} {
		v := Variant{Folder: "/m"}
		v.Model.PrimaryContainer = containerWith(submitDirectory, submitted)
		if got := v.code(); got != want {
			t.Errorf("%q: the script is in %s, want %s", submitted, got, want)
		}
	}
}

func containerWith(name, value string) *sagemaker.ContainerDefinition {
	return &sagemaker.ContainerDefinition{Environment: map[string]string{name: value}}
}
