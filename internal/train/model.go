package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/train/dataset"
	"github.com/musher/musher/internal/train/features"
	"github.com/musher/musher/internal/train/head"
)

// writeModel writes the model folder's files whole or not at all; model.json,
// which comes last, says that the model is there.
func (r *run) writeModel(ctx context.Context, h *head.Head, metrics map[string]float64) error {
	dir := filepath.Join(r.Dir, "model")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	g, err := r.backbone.classifier(h.Graph(r.backbone.graph.Opset()))
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	info, err := json.MarshalIndent(model.Info{
		Labels: r.data.Classes, Preprocess: r.backbone.Preprocess, Backbone: r.h.Backbone, BackboneSHA256: r.backbone.SHA256,
		Head: r.h.Head, Hyperparameters: r.h.Effective(), Metrics: metrics,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	path := filepath.Join(dir, model.File)
	err = writeFile(path, func(w io.Writer) error {
		_, err := g.WriteTo(w)
		return err
	}, func(temporary string) error { return r.verify(ctx, temporary, h) })
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	err = writeFile(filepath.Join(dir, model.InfoFile), func(w io.Writer) error {
		_, err := w.Write(append(info, '\n'))
		return err
	}, func(string) error { return nil })
	if err != nil {
		return fmt.Errorf("write model: %w", errors.Join(err, os.Remove(path)))
	}
	r.say("model written and checked: %s", model.File)
	return nil
}

// writeFile writes a file under a temporary name, flushes it, lets check look
// at it, and only then gives it its name.
func writeFile(path string, write func(io.Writer) error, check func(temporary string) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriter(f)
	if err = write(w); err != nil {
		return err
	}
	if err = w.Flush(); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = check(f.Name()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// tolerance is how far the model's log probabilities may be from those worked
// out in Go, relative to their size where they are large.
const tolerance = 5e-3

// verify runs one training photo through the written file, from JPEG to log
// probabilities, and compares with the way over cached features.
func (r *run) verify(ctx context.Context, path string, h *head.Head) error {
	photo, err := os.ReadFile(r.probe.path)
	if err != nil {
		return err
	}
	in := make([]float32, r.loader.Len())
	if err := r.loader.Load(photo, in); err != nil {
		return err
	}
	s, err := r.Library.OpenSession(path, ort.Options{IntraThreads: 1})
	if err != nil {
		return err
	}
	defer s.Close()
	side := int64(r.backbone.side)
	out := make([]float32, h.Classes())
	if err := s.Run(ctx, []ort.Tensor{ort.Of(in, 1, 3, side, side)}, []ort.Tensor{ort.Of(out, 1, int64(len(out)))}); err != nil {
		return err
	}
	for c, want := range h.LogProbabilities(r.probe.features) {
		if d := math.Abs(float64(out[c]) - want); !(d <= tolerance*max(1, math.Abs(want))) {
			return fmt.Errorf("check: for %s the model gives class %d the log probability %g, its parts give %g", r.probe.path, c, out[c], want)
		}
	}
	return nil
}

// Evaluation is how well a model does on a folder of photos.
type Evaluation struct {
	Accuracy, Loss float64
	Photos         int
	Bad            []string // photos that cannot be read, and why
}

// Evaluate runs the model of a folder (model.onnx, model.json) over a folder of
// class folders, whose names must be among the model's labels. Progress may be nil.
func Evaluate(ctx context.Context, lib *ort.Library, modelDir, dataDir string, progress func(features.Progress)) (*Evaluation, error) {
	info, err := model.Read(modelDir)
	if err != nil {
		return nil, fmt.Errorf("evaluate model: %w", err)
	}
	photos, _, err := dataset.OpenFolder(dataDir, info.Labels)
	if err != nil {
		return nil, fmt.Errorf("evaluate model: %w", err)
	}
	set, err := logProbabilities(ctx, lib, filepath.Join(modelDir, model.File), info, photos, progress)
	if err != nil {
		return nil, fmt.Errorf("evaluate model: %w", err)
	}
	e := &Evaluation{}
	for _, b := range set.Bad {
		e.Bad = append(e.Bad, fmt.Sprintf("%s: %v", photos[b.Index].Path, b.Err))
	}
	for i, row := range set.Rows {
		if row != nil {
			e.add(row, photos[i].Label)
		}
	}
	if e.Photos == 0 {
		return nil, errors.New("evaluate model: none of the photos can be read")
	}
	e.Accuracy /= float64(e.Photos)
	e.Loss /= float64(e.Photos)
	return e, nil
}

func (e *Evaluation) add(logp []float32, label int) {
	e.Photos++
	e.Loss -= float64(logp[label])
	for c, v := range logp {
		if v > logp[label] || (v == logp[label] && c < label) {
			return
		}
	}
	e.Accuracy++
}

// logProbabilities runs a whole model as if it were a backbone: the pipeline is
// the same. Its results are not kept.
func logProbabilities(ctx context.Context, lib *ort.Library, path string, info *model.Info, photos []dataset.Photo, progress func(features.Progress)) (*features.Set, error) {
	cache, err := os.MkdirTemp("", "musher-evaluate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(cache)
	loader, err := newLoader(info.Preprocess)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(photos))
	for i, p := range photos {
		paths[i] = p.Path
	}
	return features.New(features.Config{
		Cache: cache, Loader: loader, Progress: progress,
		Backbone: features.Backbone{Dim: len(info.Labels), Open: func() (features.Network, error) {
			s, err := lib.OpenSession(path, ort.Options{IntraThreads: 1, InterThreads: 1})
			return &network{s, info.Preprocess.Crop, len(info.Labels)}, err
		}},
	}).Features(ctx, paths)
}
