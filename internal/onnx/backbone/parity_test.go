package backbone

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/musher/musher/internal/assets"
	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/onnx/pth"
	"github.com/musher/musher/internal/vision"
)

// The graphs against PyTorch. testdata/facts.py computed the reference values
// once, in double precision.

// tolerance is what logits may differ from PyTorch's.
const tolerance = 1e-3

// testCache keeps what tests fetch between runs.
func testCache(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("MUSHER_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return t.TempDir()
	}
	return filepath.Join(dir, "musher")
}

// fetch brings an item, or skips the test where it cannot be had.
func fetch(t testing.TB, it assets.Item, err error) string {
	t.Helper()
	if err != nil {
		t.Skip(err)
	}
	r, err := assets.New(testCache(t), assets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path, err := r.Fetch(context.Background(), it)
	var unreachable *assets.FetchError
	if errors.As(err, &unreachable) && !errors.Is(err, assets.ErrChecksum) {
		t.Skipf("cannot be had here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func library(t testing.TB) *ort.Library {
	t.Helper()
	it, err := assets.ONNXRuntime(runtime.GOOS, runtime.GOARCH)
	lib, err := ort.Load(fetch(t, it, err))
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

func session(t testing.TB, lib *ort.Library, model []byte) *ort.Session {
	t.Helper()
	s, err := lib.NewSession(model, ort.Options{IntraThreads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// published reads the weights of a backbone's package.
func published(t testing.TB, spec Spec) *pth.StateDict {
	t.Helper()
	state, err := pth.Open(fetch(t, spec.Item, nil), pth.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// floats reads a file of little-endian float32.
func floats(t testing.TB, name string) []float32 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// run gives features and logits of n images.
func run(t testing.TB, s *ort.Session, spec Spec, images []float32, n int) (features, logits []float32) {
	t.Helper()
	features, logits = make([]float32, n*spec.FeatureDim), make([]float32, n*Classes)
	size := int64(spec.InputSize)
	err := s.Run(t.Context(),
		[]ort.Tensor{ort.Of(images, int64(n), 3, size, size)},
		[]ort.Tensor{ort.Of(features, int64(n), int64(spec.FeatureDim)), ort.Of(logits, int64(n), Classes)})
	if err != nil {
		t.Fatal(err)
	}
	return features, logits
}

// compare fails unless got is want within the tolerance.
func compare(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	worst, spread := 0.0, 0.0
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= worst) { // a NaN counts as worst
			worst = d
		}
		spread = max(spread, math.Abs(float64(want[i])))
	}
	t.Logf("%s: largest difference %.2g among values up to %.3g", what, worst, spread)
	if !(worst <= tolerance) {
		t.Errorf("%s: differs by %g, more than %g", what, worst, tolerance)
	}
}

// checkFacts compares one image's features and logits, alone and in a batch.
func checkFacts(t *testing.T, spec Spec, state *pth.StateDict, facts string) {
	t.Helper()
	model, err := BuildWithLogits(spec, state)
	if err != nil {
		t.Fatal(err)
	}
	s := session(t, library(t), model)
	want := floats(t, facts)
	image := syntheticImage(spec.InputSize)
	features, logits := run(t, s, spec, image, 1)
	compare(t, "features", features, want[:spec.FeatureDim])
	compare(t, "logits", logits, want[spec.FeatureDim:])
	if slices.Max(logits) == slices.Min(logits) {
		t.Error("all logits are equal: the comparison says nothing")
	}

	mirrored := slices.Clone(image)
	for row := range slices.Chunk(mirrored, spec.InputSize) {
		slices.Reverse(row)
	}
	_, both := run(t, s, spec, slices.Concat(mirrored, image), 2)
	compare(t, "logits as the second of a batch", both[Classes:], want[spec.FeatureDim:])
}

func TestParitySyntheticWeights(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			spec := get(t, name)
			checkFacts(t, spec, syntheticState(t, spec), "synthetic-"+name+".f32")
		})
	}
}

func TestParityPublishedWeights(t *testing.T) {
	for _, name := range Names()[:3] {
		t.Run(name, func(t *testing.T) {
			spec := get(t, name)
			checkFacts(t, spec, published(t, spec), "weights-"+name+".f32")
		})
	}
}

// photos are eight of the shared data set's test photos, read from its folder,
// which is not part of this repository.
func photos(t testing.TB) [][]byte {
	t.Helper()
	root := os.Getenv("MUSHER_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared")
	}
	list, err := os.ReadFile(filepath.Join("testdata", "photos.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for line := range strings.Lines(string(list)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		b, err := os.ReadFile(filepath.Join(root, "data", "dogs-full", "test", name))
		if err != nil {
			t.Skipf("the shared photos are not here (MUSHER_SHARED names their folder): %v", err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Skipf("%s is another photo than the one that the reference values are for", name)
		}
		out = append(out, b)
	}
	if len(out) != 8 {
		t.Fatalf("%d photos", len(out))
	}
	return out
}

// photoTensors prepares the photos for a backbone with one JPEG decoder.
func photoTensors(t testing.TB, spec Spec, o vision.Options) (tensors []float32, decoder string) {
	t.Helper()
	d, err := vision.NewDecoder(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range photos(t) {
		one := make([]float32, spec.Preprocess.Len())
		if err := d.Load(b, spec.Preprocess, one); err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, one...)
	}
	return tensors, d.JPEG()
}

func rawBytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// Photo to logits against Pillow and PyTorch: the whole way, so it needs the JPEG
// decoder that Pillow has.
func TestParityOnPhotosEndToEnd(t *testing.T) {
	for _, name := range Names()[:3] {
		t.Run(name, func(t *testing.T) {
			spec := get(t, name)
			tensors, decoder := photoTensors(t, spec, vision.Options{})
			if decoder != "libjpeg-turbo" {
				t.Skip("Pillow decodes with libjpeg-turbo, which this machine lacks")
			}
			comparePhotos(t, spec, tensors, "photos-pillow-"+name+".f32")
		})
	}
}

// The same with Go's JPEG decoder, which every machine has. Its pixels are not
// Pillow's, so PyTorch was given exactly these tensors; a checksum tells whether
// they are still the same.
func TestParityOnPhotos(t *testing.T) {
	for _, name := range Names()[:3] {
		t.Run(name, func(t *testing.T) {
			spec := get(t, name)
			tensors, _ := photoTensors(t, spec, vision.Options{Turbo: vision.TurboOff})
			want, err := os.ReadFile(filepath.Join("testdata", "photos-go-"+name+".sha256"))
			if err != nil {
				t.Fatal(err)
			}
			if got := checksum(rawBytes(tensors)); got != strings.TrimSpace(string(want)) {
				t.Skip("the decoder gives other pixels than when the reference values were computed; compute them again (testdata/facts.py)")
			}
			comparePhotos(t, spec, tensors, "photos-go-"+name+".f32")
		})
	}
}

func comparePhotos(t *testing.T, spec Spec, tensors []float32, facts string) {
	t.Helper()
	model, err := BuildWithLogits(spec, published(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	_, logits := run(t, session(t, library(t), model), spec, tensors, 8)
	compare(t, "logits of 8 photos", logits, floats(t, facts))
}

// TestWritePhotoTensors is the first half of computing photos-go-*.f32: with
// MUSHER_WRITE_TENSORS=DIR it writes the tensors for facts.py.
func TestWritePhotoTensors(t *testing.T) {
	dir := os.Getenv("MUSHER_WRITE_TENSORS")
	if dir == "" {
		t.Skip("MUSHER_WRITE_TENSORS names no folder")
	}
	for _, name := range Names()[:3] {
		tensors, _ := photoTensors(t, get(t, name), vision.Options{Turbo: vision.TurboOff})
		raw := rawBytes(tensors)
		if err := os.WriteFile(filepath.Join(dir, name+".tensors"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", "photos-go-"+name+".sha256"), []byte(checksum(raw)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestResolve(t *testing.T) {
	spec := get(t, "efficientnet-lite0")
	fetch(t, spec.Item, nil) // or skip
	r, err := assets.New(testCache(t), assets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	path, sum, err := Resolve(t.Context(), r, cache, spec.Name)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	again, sum2, err := Resolve(t.Context(), r, cache, spec.Name)
	if err != nil || again != path || sum2 != sum {
		t.Errorf("second call: %s %s %v", again, sum2, err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the model was built again: %v", err)
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, sum3, err := Resolve(t.Context(), r, cache, spec.Name); err != nil || sum3 != sum {
		t.Errorf("after damage: %s, want %s, %v", sum3, sum, err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != before.Size() {
		t.Errorf("the damaged model was kept: %v", err)
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, name := range Names()[:3] {
		spec := get(b, name)
		weights := fetch(b, spec.Item, nil)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				state, err := pth.Open(weights, pth.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Build(spec, state); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSession(b *testing.B) {
	lib := library(b)
	spec := get(b, "efficientnet-lite0")
	model, err := Build(spec, published(b, spec))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := lib.NewSession(model, ort.Options{IntraThreads: 1})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkPhoto times one image on one thread: Lite0 as built here and, where
// the shared data has it, as PyTorch exports it.
func BenchmarkPhoto(b *testing.B) {
	lib := library(b)
	spec := get(b, "efficientnet-lite0")
	own, err := Build(spec, published(b, spec))
	if err != nil {
		b.Fatal(err)
	}
	models := map[string][]byte{"built": own}
	root := os.Getenv("MUSHER_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared")
	}
	if exported, err := os.ReadFile(filepath.Join(root, "data", "reference", "efficientnet-lite0.onnx")); err == nil {
		models["exported"] = exported
	}
	image := syntheticImage(spec.InputSize)
	for _, batch := range []int{1, 8} {
		for name, model := range models {
			b.Run(fmt.Sprintf("%s/batch=%d", name, batch), func(b *testing.B) {
				s := session(b, lib, model)
				in := []ort.Tensor{ort.Of(slices.Repeat(image, batch), int64(batch), 3, 224, 224)}
				out := make([]ort.Tensor, len(s.Outputs()))
				for i, o := range s.Outputs() {
					dim := o.Shape[len(o.Shape)-1]
					out[i] = ort.Of(make([]float32, int64(batch)*dim), int64(batch), dim)
				}
				for b.Loop() {
					if err := s.Run(b.Context(), in, out); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N*batch), "ms/photo")
			})
		}
	}
}
