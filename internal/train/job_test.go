package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/vision"
)

func load(t testing.TB) *ort.Library {
	t.Helper()
	path := os.Getenv("MUSHER_ONNXRUNTIME")
	if path == "" {
		t.Skip("MUSHER_ONNXRUNTIME does not name a libonnxruntime")
	}
	lib, err := ort.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lib.Close(); err != nil {
			t.Error(err)
		}
	})
	return lib
}

// smallBackbone sees the mean colour of a photo of 8 x 8 pixels, in 16 features.
func smallBackbone(context.Context, string) (Backbone, error) {
	g := graph.New("small", 17)
	x := g.Input("pixels", graph.Float, "N", 3, 8, 8)
	r := rand.New(rand.NewPCG(1, 2))
	w := make([]float32, 3*16)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	mean := g.Op("Flatten", nil, g.Op("GlobalAveragePool", nil, x))
	f := g.Op("Relu", nil, g.Op("MatMul", nil, mean, g.Const("w", []int64{3, 16}, w)))
	g.Output("features", f, graph.Float, "N", 16)
	g.Output("logits", g.Op("Neg", nil, f), graph.Float, "N", 16)
	b, err := g.Marshal()
	return Backbone{Name: "small", Model: b, Preprocess: vision.Preprocess{
		Resize: 8, Crop: 8, Filter: vision.Bilinear, Layout: vision.LayoutNCHW,
		Mean: [3]float32{127, 127, 127}, Std: [3]float32{64, 64, 64},
	}}, err
}

var classes = map[string]color.RGBA{"blue": {30, 30, 200, 255}, "green": {30, 200, 30, 255}, "red": {200, 30, 30, 255}}

// swatch is a noisy picture of a colour.
func swatch(c color.RGBA, seed uint64) image.Image {
	r := rand.New(rand.NewPCG(seed, 3))
	m := image.NewRGBA(image.Rect(0, 0, 10, 12))
	noisy := func(v uint8) uint8 { return uint8(min(255, max(0, int(v)+r.IntN(61)-30))) }
	for i := range 120 {
		m.SetRGBA(i%10, i/10, color.RGBA{noisy(c.R), noisy(c.G), noisy(c.B), 255})
	}
	return m
}

func encode(t testing.TB, m image.Image, ext string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := png.Encode(&b, m)
	if ext == "jpg" {
		b.Reset()
		err = jpeg.Encode(&b, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// fixture is a job on small pictures.
type fixture struct {
	Job
	t   testing.TB
	out *bytes.Buffer
}

// newFixture makes a job with n pictures a class in each of the parts.
func newFixture(t testing.TB, n int, parts ...string) *fixture {
	t.Helper()
	out := &bytes.Buffer{}
	f := &fixture{Job{Dir: t.TempDir(), Cache: t.TempDir(), Library: load(t), Backbone: smallBackbone, Out: out}, t, out}
	seed := uint64(0)
	for _, part := range parts {
		for class, c := range classes {
			for i := range n {
				seed++
				ext := []string{"png", "jpg"}[i%2]
				f.photo(fmt.Sprintf("%s/%s/%03d.%s", part, class, i, ext), encode(t, swatch(c, seed), ext))
			}
		}
	}
	return f
}

func (f *fixture) photo(path string, b []byte) {
	write(f.t, filepath.Join(f.Dir, "input", "data", path), b)
}

func (f *fixture) config(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	write(f.t, filepath.Join(f.Dir, "input", "config", name+".json"), b)
}

func (f *fixture) run() error { return Run(f.t.Context(), f.Job) }

func (f *fixture) mustRun() {
	f.t.Helper()
	if err := f.run(); err != nil {
		f.t.Fatalf("%v\n%s", err, f.out)
	}
}

// modelFiles lists what is in the model folder.
func (f *fixture) modelFiles() []string {
	entries, err := os.ReadDir(filepath.Join(f.Dir, "model"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (f *fixture) info() *model.Info {
	f.t.Helper()
	info, err := model.Read(filepath.Join(f.Dir, "model"))
	if err != nil {
		f.t.Fatal(err)
	}
	return info
}

// metric is the last value of a metric, found as a metric definition finds it.
func (f *fixture) metric(name string) float64 {
	f.t.Helper()
	all := regexp.MustCompile(regexp.QuoteMeta(name)+"=([0-9.eE+-]+)").FindAllStringSubmatch(f.out.String(), -1)
	if all == nil {
		f.t.Fatalf("no %s in\n%s", name, f.out)
	}
	v, err := strconv.ParseFloat(all[len(all)-1][1], 64)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func TestRunWritesAModelThatPredicts(t *testing.T) {
	for _, head := range []string{HeadLinear, HeadMLP} {
		f := newFixture(t, 8, "train", "validation", "test")
		f.config("hyperparameters", map[string]string{"epochs": `"12"`, "head": head, "mini_batch_size": "5", "top_k": "2"})
		f.config("inputdataconfig", map[string]any{"train": map[string]string{"ContentType": "application/x-image"}, "validation": map[string]string{}, "test": map[string]string{}})
		f.mustRun()
		if n := strings.Count(f.out.String(), "epoch="); n != 12 {
			t.Errorf("%d epochs are printed", n)
		}
		info := f.info()
		if strings.Join(info.Labels, " ") != "blue green red" || info.Head != head || info.Hyperparameters["epochs"] != "12" {
			t.Errorf("%+v", info)
		}
		if got := f.metric("validation:accuracy"); got != 1 || info.Metrics["validation:accuracy"] != 1 {
			t.Errorf("validation accuracy %v, %v in the record", got, info.Metrics)
		}
		e, err := Evaluate(t.Context(), f.Library, filepath.Join(f.Dir, "model"), filepath.Join(f.Dir, "input/data/test"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if e.Photos != 24 || e.Accuracy != f.metric("test:accuracy") || math.Abs(e.Loss-f.metric("test:loss")) > 1e-3 {
			t.Errorf("the written model: %+v; the job: accuracy %v, loss %v", e, f.metric("test:accuracy"), f.metric("test:loss"))
		}
		checkSignature(t, f)
	}
}

// checkSignature looks at the model's inputs and outputs, and runs a batch.
func checkSignature(t *testing.T, f *fixture) {
	s, err := f.Library.OpenSession(filepath.Join(f.Dir, "model", model.File), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Inputs()) != 1 || s.Inputs()[0].Name != "image" || len(s.Outputs()) != 1 || s.Outputs()[0].Name != "log_probabilities" {
		t.Errorf("%+v → %+v", s.Inputs(), s.Outputs())
	}
	out := make([]float32, 2*3)
	if err := s.Run(t.Context(), []ort.Tensor{ort.Of(make([]float32, 2*3*64), 2, 3, 8, 8)}, []ort.Tensor{ort.Of(out, 2, 3)}); err != nil {
		t.Error(err)
	}
	if names := strings.Join(f.modelFiles(), " "); names != model.InfoFile+" "+model.File {
		t.Errorf("the model folder has %s", names)
	}
}

func TestTheSameJobGivesTheSameModel(t *testing.T) {
	f := newFixture(t, 4, "training/train", "training/valid")
	read := func() string {
		f.mustRun()
		b, err := os.ReadFile(filepath.Join(f.Dir, "model", model.File))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if first := read(); first != read() {
		t.Error("the models differ")
	}
	if !strings.Contains(f.out.String(), "24 photos computed") && !strings.Contains(f.out.String(), "24 of 24 photos computed") {
		t.Errorf("%s", f.out)
	}
	if !strings.Contains(f.out.String(), "all 24 photos known from before") {
		t.Errorf("the second run computed features again:\n%s", f.out)
	}
}

func TestValidationIsHeldOut(t *testing.T) {
	f := newFixture(t, 10, "training")
	f.config("hyperparameters", map[string]string{"epochs": "2", "validation_fraction": "0.3"})
	f.mustRun()
	if !strings.Contains(f.out.String(), "9 of 30 training photos are held out") {
		t.Errorf("%s", f.out)
	}
}

// TestFaults does to a good job what users do, and looks for the reason.
func TestFaults(t *testing.T) {
	whole := func(t testing.TB) []byte { return encode(t, swatch(classes["red"], 99), "jpg") }
	cases := map[string]struct {
		harm func(f *fixture)
		want string
	}{
		"corrupt photo":   {func(f *fixture) { f.photo("train/red/bad.jpg", []byte("not a photo")) }, "1 of 49 photos cannot be read: train/red/bad.jpg ("},
		"truncated photo": {func(f *fixture) { f.photo("train/red/cut.jpg", whole(f.t)[:300]) }, "train/red/cut.jpg (vision: JPEG: corrupt image"},
		"several": {func(f *fixture) {
			for i := range 7 {
				f.photo(fmt.Sprintf("train/red/bad%d.jpg", i), fmt.Appendf(nil, "no %d", i))
			}
		}, "; and 2 more"},
		"bomb":                    {func(f *fixture) { f.photo("train/red/bomb.png", bomb(f.t)) }, "image too large"},
		"empty class":             {func(f *fixture) { f.photo("train/violet/notes.txt", nil) }, "classes without a photo (JPEG, PNG, WebP or GIF): violet"},
		"unknown class":           {func(f *fixture) { f.photo("validation/violet/1.png", whole(f.t)) }, "validation data has classes that the training data does not have: violet"},
		"unknown hyperparameter":  {func(f *fixture) { f.config("hyperparameters", map[string]string{"epoch": "3"}) }, "did you mean epochs?"},
		"not a number":            {func(f *fixture) { f.config("hyperparameters", map[string]string{"learning_rate": "\"x\""}) }, `hyperparameter learning_rate is "x": a number is needed`},
		"wrong number of classes": {func(f *fixture) { f.config("hyperparameters", map[string]string{"num_classes": "4"}) }, "num_classes is 4, but the data has 3 classes"},
		"wrong image shape":       {func(f *fixture) { f.config("hyperparameters", map[string]string{"image_shape": "3,9,9"}) }, "takes 3,8,8"},
		"resize below the crop":   {func(f *fixture) { f.config("hyperparameters", map[string]string{"resize": "7"}) }, "resize is 7"},
		"top_k too large":         {func(f *fixture) { f.config("hyperparameters", map[string]string{"top_k": "4"}) }, "top_k is 4, but the data has 3 classes"},
		"divergence": {func(f *fixture) {
			f.config("hyperparameters", map[string]string{"learning_rate": "100", "head": "mlp", "standardize": "none"})
		}, "too high"},
		"configuration unreadable": {func(f *fixture) { write(f.t, filepath.Join(f.Dir, "input/config/hyperparameters.json"), []byte("{")) }, "hyperparameters.json cannot be read"},
		"RecordIO": {func(f *fixture) {
			f.config("inputdataconfig", map[string]any{"train": map[string]string{"ContentType": "application/x-recordio"}})
		}, "RecordIO is not supported"},
		"Pipe": {func(f *fixture) {
			f.config("inputdataconfig", map[string]any{"train": map[string]string{"TrainingInputMode": "Pipe"}})
		}, "input mode Pipe"},
		"unknown channel": {func(f *fixture) {
			f.config("inputdataconfig", map[string]any{"train": map[string]string{}, "train_lst": map[string]string{}})
		}, `channel "train_lst" is not known`},
		"empty channel": {func(f *fixture) {
			if err := os.RemoveAll(filepath.Join(f.Dir, "input/data/validation")); err != nil {
				f.t.Fatal(err)
			}
			f.config("inputdataconfig", map[string]any{"train": map[string]string{}, "validation": map[string]string{}})
		}, "the validation data is empty"},
		"one class": {func(f *fixture) {
			for _, class := range []string{"blue", "green"} {
				if err := os.RemoveAll(filepath.Join(f.Dir, "input/data/train", class)); err != nil {
					f.t.Fatal(err)
				}
			}
		}, `only one class, "red"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 8, "train", "validation")
			c.harm(f)
			err := f.run()
			var user *UserError
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &user) {
				t.Fatalf("got %v (%T), want …%s…", err, err, c.want)
			}
			reason, readErr := os.ReadFile(filepath.Join(f.Dir, "output", "failure"))
			if readErr != nil || !strings.Contains(string(reason), c.want) || len(reason) > 1024 {
				t.Errorf("output/failure says %q (%v)", reason, readErr)
			}
			if files := f.modelFiles(); len(files) > 0 {
				t.Errorf("a failed job left %v", files)
			}
		})
	}
}

// bomb is a small PNG whose header claims 60,000 x 60,000 pixels.
func bomb(t testing.TB) []byte {
	b := encode(t, swatch(classes["red"], 1), "png")
	copy(b[16:24], []byte{0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60})
	return b
}

func TestAFewBadPhotosAreLeftOut(t *testing.T) {
	f := newFixture(t, 34, "train", "validation") // 204 photos
	f.config("hyperparameters", map[string]string{"epochs": "1"})
	f.photo("train/red/bad.jpg", []byte("not a photo"))
	f.photo("validation/red/cut.png", encode(t, swatch(classes["red"], 77), "png")[:60])
	f.mustRun()
	if !strings.Contains(f.out.String(), "warning: 2 of 206 photos cannot be read and are left out: train/red/bad.jpg") {
		t.Errorf("%s", f.out)
	}
}

func TestPhotosInTwoPartsAreNoticed(t *testing.T) {
	f := newFixture(t, 4, "train", "validation")
	b := encode(t, swatch(classes["blue"], 500), "png")
	f.photo("train/blue/x.png", b)
	f.photo("validation/blue/y.png", b)
	f.mustRun()
	if !strings.Contains(f.out.String(), "warning: 1 validation and test photos are also training photos") {
		t.Errorf("%s", f.out)
	}
}

// stopAfter closes a channel when a line has been printed.
type stopAfter struct {
	bytes.Buffer
	line string
	stop chan struct{}
	done bool
}

func (s *stopAfter) Write(b []byte) (int, error) {
	if !s.done && bytes.Contains(b, []byte(s.line)) {
		s.done = true
		close(s.stop)
	}
	return s.Buffer.Write(b)
}

func TestStopSavesTheModelSoFar(t *testing.T) {
	f := newFixture(t, 4, "train", "validation")
	f.config("hyperparameters", map[string]string{"epochs": "1000"})
	out := &stopAfter{line: "epoch=3 ", stop: make(chan struct{})}
	f.Out, f.Stop = out, out.stop
	if err := f.run(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "stopped after epoch 3; the model so far is saved") || strings.Contains(out.String(), "epoch=4 ") {
		t.Errorf("%s", out)
	}
	if len(f.modelFiles()) != 2 {
		t.Errorf("model: %v", f.modelFiles())
	}
}

func TestStopBeforeThereIsAModel(t *testing.T) {
	f := newFixture(t, 4, "train", "validation")
	stop := make(chan struct{})
	close(stop)
	f.Stop = stop
	f.mustRun()
	if !strings.Contains(f.out.String(), "there is no model") || len(f.modelFiles()) != 0 {
		t.Errorf("%s%v", f.out, f.modelFiles())
	}
	if _, err := os.Stat(filepath.Join(f.Dir, "output", "failure")); err == nil {
		t.Error("stopping is reported as a failure")
	}
}

func TestGivenUp(t *testing.T) {
	f := newFixture(t, 4, "train", "validation")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, f.Job); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestEarlyStoppingPrintsTheKeptEpochLast(t *testing.T) {
	f := newFixture(t, 6, "train", "validation")
	f.config("hyperparameters", map[string]string{
		"epochs": "100", "early_stopping": "true", "early_stopping_min_epochs": "3", "early_stopping_patience": "3", "lr_schedule": "constant",
	})
	f.mustRun()
	if strings.Contains(f.out.String(), "epoch=100 ") || !strings.Contains(f.out.String(), "stopped early after epoch ") {
		t.Errorf("%s", f.out)
	}
	if got, want := f.metric("validation:loss"), f.info().Metrics["validation:loss"]; math.Abs(got-want) > 1e-6 {
		t.Errorf("the last line says %v, the model %v", got, want)
	}
}

func TestOnlyTheFirstHostTrains(t *testing.T) {
	f := newFixture(t, 2, "train", "validation")
	f.config("resourceconfig", map[string]any{"current_host": "algo-2", "hosts": []string{"algo-1", "algo-2"}})
	f.mustRun()
	if !strings.Contains(f.out.String(), "algo-2 has nothing to do") || len(f.modelFiles()) != 0 {
		t.Errorf("%s", f.out)
	}
	f.config("resourceconfig", map[string]any{"current_host": "algo-1", "hosts": []string{"algo-1", "algo-2"}})
	f.mustRun()
	if len(f.modelFiles()) != 2 {
		t.Errorf("%v", f.modelFiles())
	}
}

func TestBackboneThatCannotBeHad(t *testing.T) {
	f := newFixture(t, 2, "train", "validation")
	gone := errors.New("no such file anywhere")
	f.Backbone = func(context.Context, string) (Backbone, error) { return Backbone{}, gone }
	if err := f.run(); !errors.Is(err, gone) || !strings.Contains(err.Error(), DefaultBackbone) {
		t.Errorf("got %v", err)
	}
}

func TestBackbonesOfTheWrongForm(t *testing.T) {
	good, err := smallBackbone(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	build := func(f func(g *graph.Graph)) []byte {
		g := graph.New("g", 17)
		f(g)
		b, err := g.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	cases := map[string]struct {
		model []byte
		want  string
	}{
		"no model": {nil, "no graph"},
		"outputs": {build(func(g *graph.Graph) {
			x := g.Input("x", graph.Float, "N", 3, 8, 8)
			g.Output("a", g.Op("Neg", nil, x), graph.Float, "N", 3, 8, 8)
			g.Output("b", g.Op("Abs", nil, x), graph.Float, "N", 3, 8, 8)
		}), "none of its 2 outputs is called features"},
		"output": {build(func(g *graph.Graph) {
			g.Output("a", g.Op("Neg", nil, g.Input("x", graph.Float, "N", 3, 8, 8)), graph.Float, "N", 3, 8, 8)
		}), "output is not float32 [N,D]"},
		"size": {build(func(g *graph.Graph) {
			g.Output("a", g.Op("Flatten", nil, g.Input("x", graph.Float, "N", 3, 9, 9)), graph.Float, "N", 243)
		}), "input is not float32 [N,3,8,8]"},
	}
	for name, c := range cases {
		b := good
		b.Model = c.model
		if _, err := newBackbone(b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want …%s…", name, err, c.want)
		}
	}
}

// TestAWrongModelIsNotWritten lets the check fail: the features in the cache
// are not those of the photo.
func TestAWrongModelIsNotWritten(t *testing.T) {
	f := newFixture(t, 4, "train", "validation")
	r := &run{Job: f.Job}
	if _, err := r.configure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.readFeatures(t.Context()); err != nil {
		t.Fatal(err)
	}
	result, err := r.trainHead()
	if err != nil {
		t.Fatal(err)
	}
	r.probe.features = r.train.Rows[len(r.train.Rows)-1]
	if err := r.writeModel(t.Context(), result.Head, nil); err == nil || !strings.Contains(err.Error(), "check: ") {
		t.Errorf("got %v", err)
	}
	if files := f.modelFiles(); len(files) > 0 {
		t.Errorf("%v is left", files)
	}
}

func TestEvaluateRefuses(t *testing.T) {
	f := newFixture(t, 4, "train", "validation")
	f.mustRun()
	dir := filepath.Join(f.Dir, "model")
	if _, err := Evaluate(t.Context(), f.Library, t.TempDir(), filepath.Join(f.Dir, "input/data/train"), nil); !errors.Is(err, model.ErrMissing) {
		t.Errorf("no model: %v", err)
	}
	if _, err := Evaluate(t.Context(), f.Library, dir, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("no photos: %v", err)
	}
	bad := t.TempDir()
	write(t, filepath.Join(bad, "red", "1.jpg"), []byte("text"))
	if _, err := Evaluate(t.Context(), f.Library, dir, bad, nil); err == nil || !strings.Contains(err.Error(), "none of the photos") {
		t.Errorf("bad photos: %v", err)
	}
}

func TestFailureIsCutAtACharacter(t *testing.T) {
	r := &run{Job: Job{Dir: t.TempDir()}}
	if err := r.writeFailure("x" + strings.Repeat("é", 1000)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(r.Dir, "output", "failure"))
	if err != nil || len(b) != 1023 || !strings.HasSuffix(string(b), "é") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestDogs trains on real photos, where they are.
func TestDogs(t *testing.T) {
	shared := os.Getenv("MUSHER_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	network, err := os.ReadFile(filepath.Join(shared, "data/reference/efficientnet-lite0.onnx"))
	if err != nil {
		t.Skip("the photos and the reference backbone are not here (set MUSHER_SHARED)")
	}
	f := newFixture(t, 0)
	f.Backbone = func(context.Context, string) (Backbone, error) {
		return Backbone{Name: DefaultBackbone, Model: network, Preprocess: vision.EfficientNetLite0()}, nil
	}
	photos, err := filepath.Abs(filepath.Join(shared, "data/dogs-mini"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(f.Dir, "input/data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(photos, filepath.Join(f.Dir, "input/data/training")); err != nil {
		t.Fatal(err)
	}
	f.mustRun()
	// Eighty test photos: 0.9125 is 73 of them.
	if acc := f.metric("test:accuracy"); acc < 0.9125 {
		t.Errorf("test accuracy %v", acc)
	}
}
