package gpu

import (
	"strings"
	"testing"
)

func TestPickGPUs(t *testing.T) {
	tests := []struct {
		n          int
		all, used  string
		want, fail string
	}{
		{0, "", "", "", ""},
		{1, "0 1", "", "0", ""},
		{1, "0 1", "0", "1", ""},
		{2, "0 1 2", "1", "0 2", ""},
		{2, "0 1", "1", "", "needs 2 GPUs: this machine has 2, of which 1 are free"},
		{1, "", "", "", "needs 1 GPUs: this machine has 0, of which 0 are free"},
	}
	for _, test := range tests {
		used := map[string]bool{}
		for _, g := range strings.Fields(test.used) {
			used[g] = true
		}
		got, err := Pick(test.n, strings.Fields(test.all), used)
		if strings.Join(got, " ") != test.want || (err == nil) != (test.fail == "") || err != nil && err.Error() != test.fail {
			t.Errorf("%+v: %v, %v", test, got, err)
		}
	}
}
