package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/onnx/backbone"
	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/vision"
)

const opset = 17

// writeLite0 makes a model folder of the real backbone and a random head: what
// the numbers in it are makes no difference to the time.
func (b *bench) writeLite0(ctx context.Context, dir string, classes int) error {
	path, sum, err := backbone.Resolve(ctx, b.resolver, b.cache, "efficientnet-lite0")
	if err != nil {
		return err
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	features, err := graph.Parse(bytes)
	if err != nil {
		return err
	}
	spec, err := backbone.Get("efficientnet-lite0")
	if err != nil {
		return err
	}
	whole, err := graph.Append(features, randomHead(spec.FeatureDim, classes), map[string]graph.Value{backbone.Features: backbone.Features})
	if err != nil {
		return err
	}
	return writeFolder(dir, whole, model.Info{Labels: labels(classes), Preprocess: spec.Preprocess, Backbone: spec.Name, BackboneSHA256: sum})
}

func randomHead(dim, classes int) *graph.Graph {
	g := graph.New("head", opset)
	x := g.Input(backbone.Features, graph.Float, "N", dim)
	output(g, x, dim, classes)
	return g
}

func output(g *graph.Graph, x graph.Value, dim, classes int) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := make([]float32, dim*classes)
	for i := range w {
		w[i] = float32(rng.NormFloat64()) / 30
	}
	logits := g.Op("MatMul", nil, x, g.Const("head.w", []int64{int64(dim), int64(classes)}, w))
	g.Output(model.Output, g.Op("LogSoftmax", graph.Attrs{"axis": -1}, logits), graph.Float, "N", classes)
}

// writeTiny makes a model that takes next to no time.
func writeTiny(dir string, classes int) error {
	const side = 8
	g := graph.New("tiny", opset)
	x := g.Input(model.Input, graph.Float, "N", 3, side, side)
	mean := g.Op("Flatten", nil, g.Op("GlobalAveragePool", nil, x))
	output(g, mean, 3, classes)
	p := vision.Preprocess{Resize: side, Crop: side, Filter: vision.Bilinear, Std: [3]float32{255, 255, 255}, Layout: vision.LayoutNCHW}
	return writeFolder(dir, g, model.Info{Labels: labels(classes), Preprocess: p})
}

func writeFolder(dir string, g *graph.Graph, info model.Info) error {
	network, err := g.Marshal()
	if err != nil {
		return err
	}
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, model.File), network, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, model.InfoFile), text, 0o600)
}

func labels(n int) []string {
	l := make([]string, n)
	for i := range l {
		l[i] = fmt.Sprintf("%03d.class", i+1)
	}
	return l
}

func tinyJSON() ([]byte, error) {
	m := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range m.Pix {
		m.Pix[i] = byte(i) | 3
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"instances": []any{map[string]string{"b64": base64.StdEncoding.EncodeToString(b.Bytes())}}})
}

// generatedJPEG has about the detail of a photo, which is what decoding depends on.
func generatedJPEG(w, h int) ([]byte, error) {
	rng := rand.New(rand.NewPCG(3, 4))
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			n := uint8(rng.IntN(24))
			m.SetRGBA(x, y, color.RGBA{uint8(x/2) + n, uint8(y/2) + n, uint8((x+y)/4) + n, 255})
		}
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 85})
	return b.Bytes(), err
}
