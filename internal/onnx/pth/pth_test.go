package pth

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// want is what testdata/make.py put into its state dict, in its order.
func want() []Tensor {
	base := make([]float32, 24)
	for i := range base {
		base[i] = float32(i) / 8
	}
	transposed := make([]float32, 0, 24)
	for k := range 4 {
		for j := range 3 {
			for i := range 2 {
				transposed = append(transposed, base[i*12+j*4+k])
			}
		}
	}
	inf := float32(math.Inf(1))
	return []Tensor{
		{"plain", []int64{2, 3, 4}, base},
		{"transposed", []int64{4, 3, 2}, transposed},
		{"slice", []int64{3, 2}, []float32{base[13], base[14], base[17], base[18], base[21], base[22]}},
		{"expanded", []int64{2, 3}, []float32{1.5, 1.5, 1.5, 2.5, 2.5, 2.5}},
		{"scalar", []int64{}, []float32{-3.25}},
		{"empty", []int64{0, 3}, []float32{}},
		{"parameter", []int64{2}, []float32{1, -2}},
		{"half", []int64{5}, []float32{1.5, -65504, 1.0 / (1 << 24), inf, 0}},
		{"bfloat16", []int64{3}, []float32{1, -2.5, 3.140625}},
		{"double", []int64{2}, []float32{0.1, -1e10}},
		{"shared", []int64{2, 3, 4}, base},
	}
}

func checkState(t *testing.T, d *StateDict) {
	t.Helper()
	if len(d.Tensors) != len(want()) {
		t.Errorf("%d tensors, want %d", len(d.Tensors), len(want()))
	}
	for i, w := range want() {
		got, ok := d.Get(w.Name)
		if !ok || d.Tensors[i].Name != w.Name {
			t.Fatalf("tensor %d is %q, want %q", i, d.Tensors[i].Name, w.Name)
		}
		if !slices.Equal(got.Shape, w.Shape) || !slices.Equal(got.Data, w.Data) {
			t.Errorf("%s: %v %v, want %v %v", w.Name, got.Shape, got.Data, w.Shape, w.Data)
		}
	}
	if !slices.Equal(d.Skipped, []string{"num_batches_tracked", "mask"}) {
		t.Errorf("skipped %v", d.Skipped)
	}
	if _, ok := d.Get("mask"); ok {
		t.Error("mask was not skipped")
	}
}

func TestFilesOfPyTorch(t *testing.T) {
	for _, name := range []string{"zip", "legacy", "checkpoint-zip", "checkpoint-legacy", "protocol4"} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(filepath.Join("testdata", name+".pth"), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			checkState(t, d)
		})
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(b []byte, lim Limits) (*StateDict, error) {
	return Read(bytes.NewReader(b), int64(len(b)), lim)
}

// rezip copies a zip member by member; edit returns a member's new bytes and
// method, or nil to leave it out.
func rezip(t *testing.T, b []byte, edit func(name string, data []byte) ([]byte, uint16), extra map[string]string) []byte {
	t.Helper()
	src, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	dst := zip.NewWriter(&out)
	put := func(name string, data []byte, method uint16) {
		w, err := dst.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range src.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if data, method := edit(f.Name, data); data != nil {
			put(f.Name, data, method)
		}
	}
	for name, text := range extra {
		put(name, []byte(text), zip.Store)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func keep(_ string, data []byte) ([]byte, uint16) { return data, zip.Store }

// A file of a big-endian machine has every number's bytes turned round.
func TestBigEndian(t *testing.T) {
	b := readFile(t, "zip.pth")
	sizes := map[string]int64{}
	_, c, err := load(bytes.NewReader(b), int64(len(b)), Limits{}.orDefault())
	if err != nil {
		t.Fatal(err)
	}
	pkl, err := c.(*zipFile).members["data.pkl"].Open()
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(pkl, 1<<20)
	if _, err := m.run(); err != nil {
		t.Fatal(err)
	}
	for key, s := range m.storages {
		sizes[key] = s.dtype.size()
	}
	swapped := rezip(t, b, func(name string, data []byte) ([]byte, uint16) {
		if _, key, ok := strings.Cut(name, "/data/"); ok {
			for e := range slices.Chunk(data, int(sizes[key])) {
				slices.Reverse(e)
			}
		}
		return data, zip.Store
	}, map[string]string{"zip/byteorder": "big"})
	d, err := read(swapped, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	checkState(t, d)
}

func TestRefused(t *testing.T) {
	whole := readFile(t, "zip.pth")
	legacy := readFile(t, "legacy.pth")
	tarFile := make([]byte, 1024)
	copy(tarFile[257:], "ustar")
	deflate := func(name string, data []byte) ([]byte, uint16) { return data, zip.Deflate }
	without := func(part string) []byte {
		return rezip(t, whole, func(name string, data []byte) ([]byte, uint16) {
			if strings.Contains(name, part) {
				return nil, 0
			}
			return data, zip.Store
		}, nil)
	}
	short := rezip(t, whole, func(name string, data []byte) ([]byte, uint16) {
		if strings.HasSuffix(name, "/data/0") {
			data = data[:len(data)-1]
		}
		return data, zip.Store
	}, nil)
	flipped := bytes.Clone(whole)
	at := bytes.Index(flipped, []byte{0, 0, 0, 0x3e, 0, 0, 0x80, 0x3e}) // 0.125, 0.25 in a storage
	flipped[at+3] ^= 1
	tests := []struct {
		name string
		b    []byte
		lim  Limits
		want error
	}{
		{"empty", nil, Limits{}, ErrFormat},
		{"text", []byte("hello, this is no model"), Limits{}, ErrFormat},
		{"tar", tarFile, Limits{}, ErrUnsupported},
		{"whole module", readFile(t, "module.pth"), Limits{}, ErrUnsupported},
		{"complex", readFile(t, "complex.pth"), Limits{}, ErrUnsupported},
		{"torchscript", readFile(t, "torchscript.pth"), Limits{}, ErrUnsupported},
		{"compressed", rezip(t, whole, deflate, nil), Limits{}, ErrUnsupported},
		{"no pickle", without("data.pkl"), Limits{}, ErrFormat},
		{"no storage", without("/data/0"), Limits{}, ErrFormat},
		{"short storage", short, Limits{}, ErrFormat},
		{"flipped bit", flipped, Limits{}, ErrFormat},
		{"odd byte order", rezip(t, whole, keep, map[string]string{"zip/byteorder": "middle"}), Limits{}, ErrFormat},
		{"cut zip", whole[:len(whole)/2], Limits{}, ErrFormat},
		{"cut legacy pickle", legacy[:200], Limits{}, ErrFormat},
		{"cut legacy storage", legacy[:len(legacy)-3], Limits{}, ErrFormat},
		{"too many bytes", whole, Limits{Bytes: 100}, ErrTooLarge},
		{"too many tensors", whole, Limits{Tensors: 3}, ErrTooLarge},
		{"too much pickle", whole, Limits{Pickle: 100}, ErrTooLarge},
		{"too much legacy pickle", legacy, Limits{Pickle: 100}, ErrFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(tt.b, tt.lim)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	if _, err := Open("testdata/none.pth", Limits{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// legacyOf wraps a pickle of an object into a legacy file with no storages.
func legacyOf(object string) []byte {
	return []byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + "\x80\x02M\xe9\x03." + "\x80\x02}." + object + "\x80\x02].")
}

// storageID is the pickle of a float storage "0" with 4 elements.
const storageID = "(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04NtQ"

// tensor is a state dict with one tensor whose offset, size and stride follow.
func tensorPickle(rest string) string {
	return "\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n(" + storageID + rest + "\x89NtRs."
}

func TestHostilePickles(t *testing.T) {
	tests := map[string]string{
		"no stop":                "\x80\x02}",
		"pop of nothing":         "\x80\x020.",
		"mark as value":          "\x80\x02(.",
		"no mark":                "\x80\x02t.",
		"unknown instruction":    "\x80\x02\xff.",
		"protocol 0":             "\x80\x00}.",
		"protocol 9":             "\x80\x09}.",
		"huge text":              "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
		"huge number":            "\x80\x02\x8b\xff\xff\xff\x7f.",
		"unknown memo":           "\x80\x02h\x05.",
		"odd items":              "\x80\x02}(K\x01u.",
		"items of a number":      "\x80\x02K\x01K\x02K\x03s.",
		"append to a number":     "\x80\x02K\x01K\x02a.",
		"class of numbers":       "\x80\x04K\x01K\x02\x93.",
		"call with a list":       "\x80\x02cos\nsystem\n]R.",
		"os.system":              "\x80\x02cos\nsystem\nU\x04true\x85R.",
		"no tensors":             "\x80\x02}U\x01aK\x01s.",
		"not a dictionary":       "\x80\x02K\x01.",
		"odd persistent id":      "\x80\x02K\x01Q.",
		"short persistent id":    "\x80\x02U\x07storage\x85Q.",
		"unnamed storage":        "\x80\x02(U\x07storageK\x01U\x010U\x03cpuK\x04NtQ.",
		"negative storage":       "\x80\x02(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuJ\xff\xff\xff\xffNtQ.",
		"view beyond":            "\x80\x02(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04U\x01vK\x03K\x02\x87tQ.",
		"two descriptions":       "\x80\x02" + storageID + "0(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x05NtQ.",
		"OrderedDict of number":  "\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
		"OrderedDict of singles": "\x80\x02ccollections\nOrderedDict\n]K\x01a\x85R.",
		"tensor of nothing":      "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
		"tensor in a number":     "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))tR.",
		"negative offset":        tensorPickle("J\xff\xff\xff\xffK\x02\x85K\x01\x85"),
		"negative size":          tensorPickle("K\x00J\xff\xff\xff\xff\x85K\x01\x85"),
		"negative stride":        tensorPickle("K\x01K\x02\x85J\xff\xff\xff\xff\x85"),
		"size without stride":    tensorPickle("K\x00K\x02\x85)"),
		"beyond the storage":     tensorPickle("K\x03K\x02\x85K\x01\x85"),
		"stride beyond":          tensorPickle("K\x00K\x02\x85K\x04\x85"),
		"overflowing size":       tensorPickle("K\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86K\x00K\x00\x86"),
		"overflowing stride":     tensorPickle("K\x00K\x03K\x03\x86\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86"),
		"bomb of stride 0":       tensorPickle("K\x00J\xff\xff\xff\x7f\x85K\x00\x85"),
		"tuple that doubles":     "\x80\x02K\x01" + strings.Repeat("2\x86", 200) + "\x85Q.",
		"size that doubles":      tensorPickle("K\x00K\x01" + strings.Repeat("2\x86", 200) + "K\x00"),
	}
	for name, pickle := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := read(legacyOf(pickle), Limits{Bytes: 1 << 20})
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Sharing a storage through a view, as legacy files can.
func TestLegacyView(t *testing.T) {
	pickle := "\x80\x02}U\x01actorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04U\x01vK\x01K\x03\x87tQ" +
		"K\x01K\x02\x85K\x01\x85tRs."
	b := legacyOf(pickle)
	b = b[:len(b)-len("\x80\x02].")]
	b = append(b, "\x80\x02]U\x010a.\x04\x00\x00\x00\x00\x00\x00\x00"...)
	for _, v := range []float32{1, 2, 3, 4} {
		bits := math.Float32bits(v)
		b = append(b, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	}
	d, err := read(b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := d.Get("a"); !slices.Equal(a.Data, []float32{3, 4}) {
		t.Errorf("got %v", a.Data)
	}
}

func TestHalf(t *testing.T) {
	tests := map[uint16]float32{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0400: 1.0 / (1 << 14), 0x0001: 1.0 / (1 << 24),
		0x03ff: 1023.0 / (1 << 24), 0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1)), 0x3555: 0.333251953125,
	}
	for h, want := range tests {
		if got := fromHalf(h); got != want {
			t.Errorf("%#04x: %v, want %v", h, got, want)
		}
	}
	if got := fromHalf(0x8000); got != 0 || !math.Signbit(float64(got)) {
		t.Errorf("minus zero: %v", got)
	}
	if got := fromHalf(0x7e00); got == got {
		t.Errorf("NaN: %v", got)
	}
}

func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.pth")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		f.Add(readFile(f, filepath.Base(name)))
	}
	f.Add(legacyOf(tensorPickle("K\x00K\x02\x85K\x01\x85")))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := read(b, Limits{Bytes: 1 << 20})
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("untyped error: %v", err)
			}
			return
		}
		total := 0
		for _, x := range d.Tensors {
			n, ok := product(x.Shape)
			if !ok || int(n) != len(x.Data) {
				t.Errorf("%q: shape %v with %d numbers", x.Name, x.Shape, len(x.Data))
			}
			total += len(x.Data)
		}
		if total > 1<<18 {
			t.Errorf("%d numbers", total)
		}
	})
}
