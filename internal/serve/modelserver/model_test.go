package modelserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/vision"
)

// The tests' network sees only the mean colour of 8 x 8 pixels, and gives each
// of four classes a weighted sum of it: what it must answer to a photo of one
// colour is worked out by hand.
const side = 8

var (
	testLabels  = []string{"red", "green", "blue", "grey"}
	testWeights = [3][4]float32{{4, -1, -2, 0.5}, {-1, 3, -1, 0.25}, {-2, -1, 5, 0.125}}
)

func testRecipe() vision.Preprocess {
	return vision.Preprocess{
		Resize: side, Crop: side, Filter: vision.Bilinear,
		Mean: [3]float32{127, 127, 127}, Std: [3]float32{128, 128, 128}, Layout: vision.LayoutNCHW,
	}
}

func testInfo() model.Info { return model.Info{Labels: testLabels, Preprocess: testRecipe()} }

// network builds the tests' model. photos is the first dimension: "N", or a number.
func network(photos any) *graph.Graph {
	g := graph.New("tiny", 17)
	x := g.Input(model.Input, graph.Float, photos, 3, side, side)
	mean := g.Op("Flatten", nil, g.Op("GlobalAveragePool", nil, x))
	flat := make([]float32, 0, 12)
	for _, row := range testWeights {
		flat = append(flat, row[:]...)
	}
	logits := g.Op("MatMul", nil, mean, g.Const("w", []int64{3, 4}, flat))
	g.Output(model.Output, g.Op("LogSoftmax", graph.Attrs{"axis": -1}, logits), graph.Float, photos, 4)
	return g
}

// answerTo is what the network must say of a colour.
func answerTo(c color.RGBA) []float64 {
	x := [3]float64{(float64(c.R) - 127) / 128, (float64(c.G) - 127) / 128, (float64(c.B) - 127) / 128}
	out, sum := make([]float64, 4), 0.0
	for k := range out {
		for i := range x {
			out[k] += x[i] * float64(testWeights[i][k])
		}
		sum += math.Exp(out[k])
	}
	for k := range out {
		out[k] -= math.Log(sum)
	}
	return out
}

// photo is a PNG of one colour.
func photo(t testing.TB, c color.RGBA) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 20, 30))
	for y := range 30 {
		for x := range 20 {
			m.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var (
	red  = color.RGBA{200, 10, 30, 255}
	blue = color.RGBA{5, 60, 250, 255}
)

func modelFolder(t testing.TB, g *graph.Graph, info model.Info) string {
	t.Helper()
	dir := t.TempDir()
	network, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{model.File: network, model.InfoFile: text} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func library(t testing.TB) string {
	t.Helper()
	path := os.Getenv("MUSHER_ONNXRUNTIME")
	if path == "" {
		t.Skip("MUSHER_ONNXRUNTIME does not name a libonnxruntime")
	}
	return path
}

// close compares log probabilities with what they should be.
func nearly(got []float32, want []float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d numbers, want %d", len(got), len(want))
	}
	for i := range got {
		if d := math.Abs(float64(got[i]) - want[i]); !(d < 1e-4) {
			return fmt.Errorf("number %d is %g, want %g", i, got[i], want[i])
		}
	}
	return nil
}
