package ort_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/onnx/ort"
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

func open(t testing.TB, lib *ort.Library, g *graph.Graph) *ort.Session {
	t.Helper()
	b, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := lib.NewSession(b, ort.Options{IntraThreads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// affine computes y = x·w + b for rows of two numbers.
func affine() *graph.Graph {
	g := graph.New("affine", 17)
	x := g.Input("x", graph.Float, "N", 2)
	w := g.Const("w", []int64{2, 2}, []float32{1, 2, 3, 4})
	y := g.Op("Add", nil, g.Op("MatMul", nil, x, w), g.Floats("b", 10, 20))
	g.Output("y", y, graph.Float, "N", 2)
	return g
}

func TestDescription(t *testing.T) {
	lib := load(t)
	s := open(t, lib, affine())
	if d := cmp.Diff([]ort.Info{{Name: "x", Type: graph.Float, Shape: []int64{-1, 2}}}, s.Inputs()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]ort.Info{{Name: "y", Type: graph.Float, Shape: []int64{-1, 2}}}, s.Outputs()); d != "" {
		t.Error(d)
	}
	if !strings.Contains(lib.Version(), ".") {
		t.Errorf("version %q", lib.Version())
	}
}

func TestRun(t *testing.T) {
	s := open(t, load(t), affine())
	in, out := []float32{1, 0, 0, 1}, make([]float32, 4)
	want := []float32{11, 22, 13, 24}

	if err := s.Run(t.Context(), []ort.Tensor{ort.Of(in, 2, 2)}, []ort.Tensor{ort.Of(out, 2, 2)}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, out); d != "" {
		t.Error(d)
	}

	chosen := make([]ort.Tensor, 1)
	if err := s.Run(context.Background(), []ort.Tensor{ort.Of(in, 2, 2)}, chosen); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, ort.Data[float32](chosen[0])); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int64{2, 2}, chosen[0].Shape()); d != "" {
		t.Error(d)
	}
	if ort.Data[int64](chosen[0]) != nil {
		t.Error("float32 read as int64")
	}
}

func TestEveryElementType(t *testing.T) {
	lib := load(t)
	roundTrip(t, lib, graph.Float, []float32{1, -2.5})
	roundTrip(t, lib, graph.Double, []float64{1, -2.5})
	roundTrip(t, lib, graph.Int8, []int8{1, -128})
	roundTrip(t, lib, graph.Int16, []int16{1, -2})
	roundTrip(t, lib, graph.Int32, []int32{1, -2})
	roundTrip(t, lib, graph.Int64, []int64{1, -2})
	roundTrip(t, lib, graph.Uint8, []uint8{1, 255})
	roundTrip(t, lib, graph.Uint16, []uint16{1, 65535})
	roundTrip(t, lib, graph.Uint32, []uint32{1, 2})
	roundTrip(t, lib, graph.Uint64, []uint64{1, 2})
	roundTrip(t, lib, graph.Bool, []bool{true, false})
	roundTrip(t, lib, graph.Float, []float32{}) // no elements at all
}

func roundTrip[T ort.Element](t *testing.T, lib *ort.Library, elem graph.ElemType, v []T) {
	t.Helper()
	g := graph.New("same", 17)
	g.Output("y", g.Op("Identity", nil, g.Input("x", elem, "N")), elem, "N")
	s := open(t, lib, g)
	out := make([]ort.Tensor, 1)
	if err := s.Run(t.Context(), []ort.Tensor{ort.Of(v, int64(len(v)))}, out); err != nil {
		t.Errorf("%v: %v", elem, err)
		return
	}
	if d := cmp.Diff(v, ort.Data[T](out[0])); d != "" {
		t.Errorf("%v: %s", elem, d)
	}
}

func TestScalars(t *testing.T) {
	g := graph.New("scalar", 17)
	g.Output("y", g.Op("Neg", nil, g.Input("x", graph.Float)), graph.Float)
	s := open(t, load(t), g)
	out := make([]ort.Tensor, 1)
	if err := s.Run(t.Context(), []ort.Tensor{ort.Of([]float32{3})}, out); err != nil {
		t.Fatal(err)
	}
	if y := ort.Data[float32](out[0]); len(y) != 1 || y[0] != -3 || len(out[0].Shape()) != 0 {
		t.Errorf("%v of shape %v", y, out[0].Shape())
	}
}

func TestWrongTensorsAreRefused(t *testing.T) {
	s := open(t, load(t), affine())
	good, room := ort.Of(make([]float32, 2), 1, 2), ort.Of(make([]float32, 2), 1, 2)
	cases := map[string]struct {
		in, out []ort.Tensor
		want    string
	}{
		"count":         {nil, []ort.Tensor{room}, "0 inputs and 1 outputs given, the model has 1 and 1"},
		"type":          {[]ort.Tensor{ort.Of(make([]int64, 2), 1, 2)}, []ort.Tensor{room}, `input "x" is of float32, int64 given`},
		"slice short":   {[]ort.Tensor{ort.Of(make([]float32, 2), 2, 2)}, []ort.Tensor{room}, "takes 16 bytes, the slice has 8"},
		"negative":      {[]ort.Tensor{ort.Of(make([]float32, 2), -1, -2)}, []ort.Tensor{room}, "is not one"},
		"overflow":      {[]ort.Tensor{ort.Of(make([]float32, 2), 1<<40, 1<<40)}, []ort.Tensor{room}, "is not one"},
		"model's shape": {[]ort.Tensor{ort.Of(make([]float32, 3), 1, 3)}, []ort.Tensor{room}, "invalid dimensions"},
		"no input":      {make([]ort.Tensor, 1), []ort.Tensor{room}, `input "x"`},
		"output shape":  {[]ort.Tensor{good}, []ort.Tensor{ort.Of(make([]float32, 4), 2, 2)}, "ONNX Runtime"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := s.Run(t.Context(), c.in, c.out)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
}

func TestBadModels(t *testing.T) {
	lib := load(t)
	bad := graph.New("bad", 17)
	bad.Output("y", bad.Op("NoSuchOperator", nil, bad.Input("x", graph.Float)), graph.Float)
	unknown, err := bad.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := affine().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		model []byte
		want  string
	}{
		"empty":    {nil, "empty"},
		"cut":      {whole[:len(whole)-9], "ONNX Runtime"},
		"text":     {[]byte("not a model"), "ONNX Runtime"},
		"operator": {unknown, "NoSuchOperator"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := lib.NewSession(c.model, ort.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
	if _, err := lib.OpenSession(filepath.Join(t.TempDir(), "none.onnx"), ort.Options{}); err == nil {
		t.Error("a file that does not exist was opened")
	}
	var said *ort.Error
	if _, err := lib.NewSession([]byte("text"), ort.Options{}); !errors.As(err, &said) || said.Code == 0 {
		t.Errorf("%v carries no code", err)
	}
}

func TestOpenFile(t *testing.T) {
	lib := load(t)
	b, err := affine().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	o := ort.Options{
		IntraThreads: 2, InterThreads: 1, Optimise: ort.OptimiseBasic, NoArena: true, NoMemPattern: true,
		Config: map[string]string{"session.intra_op.allow_spinning": "0"},
	}
	s, err := lib.OpenSession(path, o)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestGPUThatIsNotThere(t *testing.T) {
	lib := load(t)
	b, err := affine().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := lib.NewSession(b, ort.Options{CUDA: true})
	if err == nil {
		s.Close()
		t.Skip("this library has a GPU")
	}
	if !strings.Contains(err.Error(), "GPU build") {
		t.Error(err)
	}
}

func TestBinding(t *testing.T) {
	s := open(t, load(t), affine())
	in, out := []float32{1, 0}, make([]float32, 2)
	b, err := s.Bind([]ort.Tensor{ort.Of(in, 1, 2)}, []ort.Tensor{ort.Of(out, 1, 2)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		in[0] = float32(i)
		if err := b.Run(); err != nil {
			t.Fatal(err)
		}
		if out[0] != float32(i)+10 || out[1] != 2*float32(i)+20 {
			t.Fatalf("%d gives %v", i, out)
		}
		if i%20 == 0 {
			runtime.GC()
		}
	}
	b.Close()
	b.Close()
	if err := b.Run(); !errors.Is(err, ort.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.Bind([]ort.Tensor{ort.Of(in, 1, 2)}, make([]ort.Tensor, 1)); err == nil {
		t.Error("an output without memory was bound")
	}
}

func TestManyRunsAtOnce(t *testing.T) {
	s := open(t, load(t), affine())
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			for i := range 200 {
				in, out := []float32{float32(k), float32(i)}, make([]float32, 2)
				if err := s.Run(t.Context(), []ort.Tensor{ort.Of(in, 1, 2)}, []ort.Tensor{ort.Of(out, 1, 2)}); err != nil {
					t.Error(err)
					return
				}
				if want := float32(k) + 3*float32(i) + 10; out[0] != want {
					t.Errorf("got %v, want %v", out[0], want)
				}
				if i%50 == 0 {
					runtime.GC()
				}
			}
		})
	}
	wg.Wait()
}

// endless counts to a number that no run reaches in time.
func endless() *graph.Graph {
	body := graph.New("body", 17)
	body.Input("i", graph.Int64)
	cond := body.Input("cond", graph.Bool)
	sum := body.Input("sum", graph.Float)
	body.Output("cond_out", cond, graph.Bool)
	body.Output("sum_out", body.Op("Add", nil, sum, body.Const("one", nil, []float32{1})), graph.Float)

	g := graph.New("endless", 17)
	start := g.Input("start", graph.Float)
	n := g.Const("n", nil, []int64{1 << 60})
	g.Output("sum", g.Op("Loop", graph.Attrs{"body": body}, n, g.Const("true", nil, []bool{true}), start), graph.Float)
	return g
}

func TestContextStopsARun(t *testing.T) {
	s := open(t, load(t), endless())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Run(ctx, []ort.Tensor{ort.Of([]float32{0})}, make([]ort.Tensor, 1))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := s.Run(ctx, []ort.Tensor{ort.Of([]float32{0})}, make([]ort.Tensor, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestClosed(t *testing.T) {
	path := os.Getenv("MUSHER_ONNXRUNTIME")
	load(t)
	lib, err := ort.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := affine().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := lib.NewSession(b, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := lib.Close(); err == nil {
		t.Error("closed under an open session")
	}
	s.Close()
	s.Close()
	if err := s.Run(t.Context(), nil, nil); !errors.Is(err, ort.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(lib.Close(), lib.Close()); err != nil {
		t.Error(err)
	}
	if _, err := lib.NewSession(b, ort.Options{}); !errors.Is(err, ort.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, filepath.Join(t.TempDir(), "none.so"), t.TempDir()} {
		if _, err := ort.Load(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestNothingLeaks opens and runs until a leak of one value a run would show.
func TestNothingLeaks(t *testing.T) {
	lib := load(t)
	g := graph.New("wide", 17)
	g.Output("y", g.Op("Neg", nil, g.Input("x", graph.Float, "N")), graph.Float, "N")
	model, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	in := make([]float32, 256<<10) // 1 MiB
	cycle := func() {
		s, err := lib.NewSession(model, ort.Options{IntraThreads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for range 5 {
			if err := s.Run(t.Context(), []ort.Tensor{ort.Of(in, int64(len(in)))}, make([]ort.Tensor, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 10 {
		cycle()
	}
	before := resident(t)
	for range 100 {
		cycle()
	}
	if grown := resident(t) - before; grown > 100<<20 {
		t.Errorf("%d MiB more are in use after 500 runs of 1 MiB", grown>>20)
	}
}

// resident is the process's memory in bytes, Go's garbage left out.
func resident(t *testing.T) int64 {
	runtime.GC()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc")
	}
	var pages int64
	for _, c := range []byte(strings.Fields(string(b))[1]) {
		pages = pages*10 + int64(c-'0')
	}
	return pages * int64(os.Getpagesize())
}

func BenchmarkRun(b *testing.B) {
	s := open(b, load(b), affine())
	in, out := make([]float32, 2), make([]float32, 2)
	b.Run("Run", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Run(context.Background(), []ort.Tensor{ort.Of(in, 1, 2)}, []ort.Tensor{ort.Of(out, 1, 2)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Binding", func(b *testing.B) {
		bound, err := s.Bind([]ort.Tensor{ort.Of(in, 1, 2)}, []ort.Tensor{ort.Of(out, 1, 2)})
		if err != nil {
			b.Fatal(err)
		}
		defer bound.Close()
		b.ReportAllocs()
		for b.Loop() {
			if err := bound.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
