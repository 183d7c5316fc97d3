package graph_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/musher/musher/internal/onnx/graph"
)

var ignoreBuilder = cmpopts.IgnoreUnexported(graph.Graph{})

// sample uses every kind of attribute and constant that the builder takes.
func sample() *graph.Graph {
	body := graph.New("body", 17)
	c := body.Const("one", nil, []float32{1})
	body.Output("then", body.Op("Identity", nil, c), graph.Float)

	g := graph.New("sample", 17)
	x := g.Input("image", graph.Float, "N", 3, int64(224), graph.Dim{Size: -1})
	w := g.Const("w", []int64{2, 3, 1, 1}, []float32{1, 2, 3, 4, 5, -6})
	y := g.Op("Conv", graph.Attrs{
		"strides": []int64{2, 2}, "pads": []int{0, 0, 0, 0}, "group": 1, "auto_pad": "NOTSET", "scale": 0.5,
		"flag": true, "words": []string{"a", ""}, "list": []float32{1.5, -2}, "none": []int64{},
	}, x, w, "")
	parts := g.OpN("Split", 2, graph.Attrs{"axis": 1}, y, g.Ints("sizes", 1, 1))
	for name, data := range map[string]any{
		"f64": []float64{1}, "i32": []int32{-1}, "i8": []int8{-1}, "u8": []uint8{255}, "bool": []bool{true},
	} {
		t, err := graph.NewTensor(name, []int64{1}, data)
		if err != nil {
			panic(err)
		}
		g.Op("Constant", graph.Attrs{"value": t})
	}
	g.Op("If", graph.Attrs{"then_branch": body}, g.Const("yes", nil, []bool{true}))
	z := g.Op("Add", nil, parts[0], g.Floats("bias", 0.25))
	g.Output("features", z, graph.Float, "N", 1, 112, 112)
	g.Output("again", z, graph.Float, "N", 1, 112, 112)
	g.Output("same", x, graph.Float, "N", 3, 224, 224)
	return g
}

func marshal(t *testing.T, g *graph.Graph) []byte {
	t.Helper()
	b, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t *testing.T, b []byte) *graph.Graph {
	t.Helper()
	g, err := graph.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	g := sample()
	// The order in which a map gives its constants may differ between calls; build once.
	b := marshal(t, g)
	got := parse(t, b)
	body := got.Nodes[len(got.Nodes)-4]
	if body.Op != "If" {
		t.Fatalf("node is %s", body.Op)
	}
	for _, n := range g.Nodes { // a subgraph has no version of its own
		for _, a := range n.Attrs {
			if sub, ok := a.Value.(*graph.Graph); ok {
				sub.IRVersion, sub.Opsets = 0, nil
			}
		}
	}
	if d := cmp.Diff(g, got, ignoreBuilder, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	if again := marshal(t, got); !bytes.Equal(b, again) {
		t.Error("reading and writing changed the bytes")
	}
	var buf bytes.Buffer
	if n, err := got.WriteTo(&buf); err != nil || n != int64(len(b)) || !bytes.Equal(buf.Bytes(), b) {
		t.Errorf("WriteTo wrote %d bytes, %v; Marshal gives %d", n, err, len(b))
	}
}

func TestOutputsAreNamed(t *testing.T) {
	g := graph.New("g", 17)
	x := g.Input("x", graph.Float, 1)
	y := g.Op("Relu", nil, x)
	g.Output("y", y, graph.Float, 1)
	g.Output("z", g.Op("Neg", nil, y), graph.Float, 1) // the old handle still works
	got := parse(t, marshal(t, g))
	if in := got.Nodes[1].Inputs[0]; in != "y" {
		t.Errorf("the second node reads %q", in)
	}
	if len(got.Nodes) != 2 {
		t.Errorf("%d nodes", len(got.Nodes))
	}
}

func TestMistakesAreNamed(t *testing.T) {
	cases := map[string]struct {
		build func(g *graph.Graph)
		want  string
	}{
		"unknown input":  {func(g *graph.Graph) { g.Op("Relu", nil, "nothing") }, `input "nothing" does not exist`},
		"twice":          {func(g *graph.Graph) { g.Input("x", graph.Float); g.Floats("x", 1) }, `"x" is used twice`},
		"size":           {func(g *graph.Graph) { g.Const("w", []int64{2, 2}, []float32{1}) }, "4 bytes for float32 of dimensions [2 2], want 16"},
		"negative":       {func(g *graph.Graph) { g.Const("w", []int64{-1}, []float32{1}) }, "do not make a size"},
		"huge":           {func(g *graph.Graph) { g.Const("w", []int64{1 << 40, 1 << 40}, []float32{1}) }, "do not make a size"},
		"data type":      {func(g *graph.Graph) { g.Const("w", nil, "text") }, "a string cannot be a constant"},
		"attribute type": {func(g *graph.Graph) { g.Op("A", graph.Attrs{"a": struct{}{}}) }, "cannot be an attribute"},
		"dimension":      {func(g *graph.Graph) { g.Input("x", graph.Float, 1.5) }, "a dimension cannot be a float64"},
		"no name":        {func(g *graph.Graph) { g.Input("", graph.Float) }, "without a name"},
		"output":         {func(g *graph.Graph) { g.Output("y", "x", graph.Float) }, `input "x" does not exist`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := graph.New("g", 17)
			c.build(g)
			if _, err := g.Marshal(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
}

// backbone and head are graphs that share names which must not clash.
func backbone() *graph.Graph {
	g := graph.New("backbone", 17)
	x := g.Input("image", graph.Float, "N", 4)
	f := g.Op("Add", nil, g.Op("MatMul", nil, x, g.Const("w", []int64{4, 2}, make([]float32, 8))), g.Floats("b", 1, 2))
	g.Output("features", f, graph.Float, "N", 2)
	g.Output("logits", g.Op("Mul", nil, f, g.Floats("unused", 3)), graph.Float, "N", 2)
	return g
}

func head() *graph.Graph {
	g := graph.New("head", 17)
	x := g.Input("features", graph.Float, "N", 2)
	y := g.Op("MatMul", nil, x, g.Const("w", []int64{2, 3}, make([]float32, 6)))
	g.Output("log_probabilities", g.Op("LogSoftmax", nil, y), graph.Float, "N", 3)
	return g
}

func TestAppend(t *testing.T) {
	g, err := graph.Append(backbone(), head(), map[string]graph.Value{"features": "features"})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Prune("log_probabilities"); err != nil {
		t.Fatal(err)
	}
	if err := g.Rename("image", "photo"); err != nil {
		t.Fatal(err)
	}
	got := parse(t, marshal(t, g))
	var ops, consts []string
	names := map[string]bool{}
	for _, n := range got.Nodes {
		ops = append(ops, n.Op)
		names[n.Name] = true
	}
	if len(names) != len(got.Nodes) {
		t.Errorf("%d nodes share %d names", len(got.Nodes), len(names))
	}
	for _, c := range got.Consts {
		consts = append(consts, string(c.Name))
	}
	if d := cmp.Diff([]string{"MatMul", "Add", "MatMul", "LogSoftmax"}, ops); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"w", "b", "head/w"}, consts); d != "" {
		t.Error(d)
	}
	if len(got.Inputs) != 1 || got.Inputs[0].Name != "photo" || got.Nodes[0].Inputs[0] != "photo" {
		t.Errorf("inputs %v", got.Inputs)
	}
	if len(got.Outputs) != 1 || got.Outputs[0].Name != "log_probabilities" {
		t.Errorf("outputs %v", got.Outputs)
	}
}

func TestAppendRefuses(t *testing.T) {
	old := head()
	old.Opsets[""] = 13
	clash := graph.New("clash", 17)
	clash.Output("w", clash.Op("Relu", nil, clash.Input("in", graph.Float)), graph.Float)
	open := graph.New("open", 17)
	open.Output("o", open.Op("Relu", nil, open.Input("image", graph.Float)), graph.Float)
	cases := map[string]struct {
		second *graph.Graph
		wires  map[string]graph.Value
		want   string
	}{
		"opset":          {old, map[string]graph.Value{"features": "features"}, "version 17 here and 13 there"},
		"no such value":  {head(), map[string]graph.Value{"features": "nothing"}, `no value "nothing"`},
		"no such input":  {head(), map[string]graph.Value{"features": "features", "x": "b"}, "does not have"},
		"output clashes": {clash, map[string]graph.Value{"in": "features"}, `both have the name "w"`},
		"input clashes":  {open, nil, `both have the name "image"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := graph.Append(backbone(), c.second, c.wires); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	whole := marshal(t, backbone())
	cases := map[string]struct {
		b    []byte
		want string
	}{
		"empty":     {nil, "no graph"},
		"cut":       {whole[:len(whole)/2], "truncated"},
		"text":      {[]byte("<html>not a model</html>"), "read ONNX model"},
		"functions": {append(bytes.Clone(whole), 0xca, 0x01, 0x00), "functions are not supported"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := graph.Parse(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
}

// shared is the folder of data that is not part of the repository.
func shared(t testing.TB, path string) string {
	dir := os.Getenv("MUSHER_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared")
	}
	p := filepath.Join(dir, path)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("%s is not here (set MUSHER_SHARED)", path)
	}
	return p
}

func TestForeignModel(t *testing.T) {
	b, err := os.ReadFile(shared(t, "data/reference/efficientnet-lite0.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	g := parse(t, b)
	once := marshal(t, g)
	if !bytes.Equal(once, marshal(t, parse(t, once))) {
		t.Error("reading and writing it again changes it")
	}
	if err := g.Prune("features"); err != nil {
		t.Fatal(err)
	}
	if n := len(marshal(t, g)); n > len(b)-4*1280*1000 {
		t.Errorf("%d of %d bytes are left without the classifier", n, len(b))
	}
}

func FuzzParse(f *testing.F) {
	if b, err := sample().Marshal(); err == nil {
		f.Add(b)
	}
	if b, err := backbone().Marshal(); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := graph.Parse(b)
		if err != nil {
			return
		}
		once, err := g.Marshal()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := graph.Parse(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice, err := again.Marshal(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("writing is not stable: %v", err)
		}
	})
}

func BenchmarkMarshal(b *testing.B) {
	g := graph.New("large", 17)
	x := g.Input("x", graph.Float, "N", 1024)
	for range 20 {
		x = g.Op("MatMul", nil, x, g.Const("w"+string(g.Op("Relu", nil, x)), []int64{1024, 1024}, make([]float32, 1<<20)))
	}
	g.Output("y", x, graph.Float, "N", 1024)
	b.SetBytes(20 << 22)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Marshal(); err != nil {
			b.Fatal(err)
		}
	}
}
