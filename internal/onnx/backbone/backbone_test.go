package backbone

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/onnx/pth"
)

func get(t testing.TB, name string) Spec {
	t.Helper()
	s, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNames(t *testing.T) {
	for _, name := range Names() {
		s := get(t, name)
		if s.Name != name || s.Preprocess.Crop != s.InputSize || s.Item.File == "" {
			t.Errorf("%+v", s)
		}
	}
	if _, err := Get("resnet101"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
}

// The numbers of layers and weights, as PyTorch counts them in the packages' own
// models.
func TestArchitectures(t *testing.T) {
	tests := []struct {
		name        string
		convs, adds int
		parameters  int // PyTorch's count less one for each normalised channel: scale and shift fold to one bias
	}{
		{name: "efficientnet-lite0", convs: 49, adds: 9, parameters: 4652008 - 21008},
		{name: "efficientnet-lite1", convs: 64, adds: 14, parameters: 5416680 - 26832},
		{name: "efficientnet-lite2", convs: 64, adds: 14, parameters: 6092072 - 29048},
		{name: "resnet18", convs: 20, adds: 8, parameters: 11689512 - 4800},
		{name: "resnet34", convs: 36, adds: 16, parameters: 21797672 - 8512},
		{name: "resnet50", convs: 53, adds: 16, parameters: 25557032 - 26560},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := get(t, tt.name)
			model, err := BuildWithLogits(s, hollowState(t, s))
			if err != nil {
				t.Fatal(err)
			}
			g, err := graph.Parse(model)
			if err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			for _, n := range g.Nodes {
				count[n.Op]++
			}
			parameters := 0
			for _, c := range g.Consts {
				if len(c.Dims) > 0 {
					parameters += len(c.Raw) / 4
				}
			}
			if count["Conv"] != tt.convs || count["Add"] != tt.adds || count["BatchNormalization"] != 0 {
				t.Errorf("operators %v", count)
			}
			if parameters != tt.parameters {
				t.Errorf("%d parameters, want %d", parameters, tt.parameters)
			}
		})
	}
}

func TestBuildIsRepeatableAndHasOneOutput(t *testing.T) {
	s := get(t, "resnet18")
	state := syntheticState(t, s)
	first, err := Build(s, state)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Build(s, state)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the same weights gave two models")
	}
	g, err := graph.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Inputs) != 1 || g.Inputs[0].Name != Input || len(g.Outputs) != 1 || g.Outputs[0].Name != Features {
		t.Errorf("inputs %v, outputs %v", g.Inputs, g.Outputs)
	}
	if g.FindConst("fc.weight") != nil {
		t.Error("the classifier is in a model that does not use it")
	}
}

func TestWrongWeights(t *testing.T) {
	s := get(t, "resnet18")
	state := hollowState(t, s)
	edit := func(f func([]pth.Tensor) []pth.Tensor) *pth.StateDict {
		return pth.NewStateDict(f(slices.Clone(state.Tensors)))
	}
	without := func(prefix string) *pth.StateDict {
		return edit(func(ts []pth.Tensor) []pth.Tensor {
			return slices.DeleteFunc(ts, func(t pth.Tensor) bool { return strings.HasPrefix(t.Name, prefix) })
		})
	}
	tests := []struct {
		name    string
		weights *pth.StateDict
		want    string
	}{
		{"no convolution", without("layer3.1.conv2.weight"), `"layer3.1.conv2.weight" is missing`},
		{"no variance", without("bn1.running_var"), `"bn1.running_var" is missing`},
		{"wrong shape", edit(func(ts []pth.Tensor) []pth.Tensor {
			ts[0] = pth.Tensor{Name: ts[0].Name, Shape: []int64{64, 1, 7, 7}, Data: make([]float32, 64*49)}
			return ts
		}), "has shape [64 1 7 7] instead of [64 3 7 7]"},
		{"a deeper network's", hollowState(t, get(t, "resnet34")), "has no place"},
		{"another family's", hollowState(t, get(t, "efficientnet-lite0")), "is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Build(s, tt.weights)
			if !errors.Is(err, ErrWeights) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
	if _, err := Build(s, without("fc.")); err != nil {
		t.Errorf("without the classifier: %v", err)
	}
	if _, err := BuildWithLogits(s, without("fc.")); !errors.Is(err, ErrWeights) {
		t.Errorf("logits without the classifier: %v", err)
	}
}

func TestSamePads(t *testing.T) {
	tests := []struct {
		size, kernel, stride int
		want                 [2]int
	}{
		{224, 3, 2, [2]int{0, 1}}, {65, 5, 2, [2]int{2, 2}}, {130, 5, 2, [2]int{1, 2}}, {33, 3, 2, [2]int{1, 1}},
		{112, 3, 1, [2]int{1, 1}}, {14, 5, 1, [2]int{2, 2}}, {7, 1, 1, [2]int{0, 0}}, {8, 1, 2, [2]int{0, 0}},
	}
	for _, tt := range tests {
		got := samePads(tt.size, tt.kernel, tt.stride)
		if got != tt.want {
			t.Errorf("samePads(%d, %d, %d) = %v, want %v", tt.size, tt.kernel, tt.stride, got, tt.want)
		}
		if out := (tt.size+got[0]+got[1]-tt.kernel)/tt.stride + 1; out != (tt.size+tt.stride-1)/tt.stride {
			t.Errorf("%+v makes %d outputs", tt, out)
		}
	}
}

// Channels of EfficientNet-Lite2, from the published weights' shapes.
func TestRoundChannels(t *testing.T) {
	var got []int
	for _, s := range liteStages {
		got = append(got, roundChannels(s.out, 1.1))
	}
	if diff := cmp.Diff([]int{16, 24, 48, 88, 120, 208, 352}, got); diff != "" {
		t.Error(diff)
	}
}

// What Resolve does with the published weights is in parity_test.go.
func TestResolveFailures(t *testing.T) {
	cache, folder := t.TempDir(), t.TempDir()
	r, err := assets.New(cache, assets.Options{Getenv: func(name string) string {
		if name == assets.FolderEnv {
			return folder
		}
		return ""
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := Resolve(t.Context(), r, cache, "vgg16"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown name: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "efficientnet-lite0-57934424.pth"), []byte("junk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Resolve(t.Context(), r, cache, "efficientnet-lite0"); !errors.Is(err, assets.ErrChecksum) {
		t.Errorf("junk weights: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(cache, "backbones")); err == nil && len(entries) > 0 {
		t.Errorf("a failure left %v", entries)
	}
}
