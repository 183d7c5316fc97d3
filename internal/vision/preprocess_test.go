package vision

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
)

func TestPresets(t *testing.T) {
	for name, want := range map[string]struct {
		resize, crop int
		filter       Filter
		key          string
	}{
		"efficientnet-lite0": {256, 224, Bicubic, "2de5b13ecd2f0185407eb67e"},
		"efficientnet-lite1": {274, 240, Bicubic, ""},
		"efficientnet-lite2": {297, 260, Bicubic, ""},
		"resnet50":           {256, 224, Bilinear, ""},
	} {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Resize != want.resize || p.Crop != want.crop || p.Filter != want.filter || p.Len() != 3*want.crop*want.crop {
			t.Errorf("%s: %+v", name, p)
		}
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want.key != "" && p.Key() != want.key {
			t.Errorf("%s: key %s, want %s: features cached under the old key are lost", name, p.Key(), want.key)
		}
	}
	if _, err := Preset("vgg16"); err == nil {
		t.Error("a backbone nobody knows has a recipe")
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for _, p := range []Preprocess{EfficientNetLite0(), ImageNet()} {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Preprocess
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if back != p || back.Key() != p.Key() {
			t.Errorf("%s became %+v", b, back)
		}
	}
}

func TestEveryFieldIsInTheKey(t *testing.T) {
	seen := map[string]bool{EfficientNetLite0().Key(): true}
	for i, change := range []func(p *Preprocess){
		func(p *Preprocess) { p.Resize++ },
		func(p *Preprocess) { p.Crop-- },
		func(p *Preprocess) { p.Filter = Bilinear },
		func(p *Preprocess) { p.Mean[1]++ },
		func(p *Preprocess) { p.Std[2]++ },
		func(p *Preprocess) { p.ExifOrient = true },
		func(p *Preprocess) { p.Layout = "NHWC" },
	} {
		p := EfficientNetLite0()
		change(&p)
		if seen[p.Key()] {
			t.Errorf("change %d has no key of its own", i)
		}
		seen[p.Key()] = true
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, spoil := range map[string]func(p *Preprocess){
		"filter":       func(p *Preprocess) { p.Filter = "lanczos" },
		"crop 0":       func(p *Preprocess) { p.Crop = 0 },
		"crop > size":  func(p *Preprocess) { p.Crop = p.Resize + 1 },
		"huge":         func(p *Preprocess) { p.Resize = maxSize + 1 },
		"layout":       func(p *Preprocess) { p.Layout = "NHWC" },
		"std 0":        func(p *Preprocess) { p.Std[0] = 0 },
		"mean NaN":     func(p *Preprocess) { p.Mean[2] = float32(math.NaN()) },
		"std infinite": func(p *Preprocess) { p.Std[1] = float32(math.Inf(1)) },
	} {
		p := EfficientNetLite0()
		spoil(&p)
		if err := p.Load(testFile(t, "rgb.png"), make([]float32, max(0, 3*p.Crop*p.Crop))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	p := EfficientNetLite0()
	if err := p.Into(make([]float32, p.Len()-1), picture(9, 9, false)); err == nil {
		t.Error("a tensor too small is accepted")
	}
	if err := p.Into(make([]float32, p.Len()), &RGB{W: 9, H: 9}); err == nil {
		t.Error("a picture without pixels is accepted")
	}
}

// TestNormalise: planes in the order R, G, B, each with its own mean and std.
func TestNormalise(t *testing.T) {
	m := &RGB{W: 1, H: 1, Pix: []byte{10, 20, 30}}
	p := Preprocess{Resize: 2, Crop: 2, Filter: Bilinear, Mean: [3]float32{1, 2, 3}, Std: [3]float32{3, 2, 9}, Layout: LayoutNCHW}
	dst := make([]float32, p.Len())
	if err := p.Into(dst, m); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{3, 3, 3, 3, 9, 9, 9, 9, 3, 3, 3, 3} {
		if dst[i] != want {
			t.Fatalf("%v", dst)
		}
	}
}

// TestLongThinPictures: only the window's pixels cost anything.
func TestLongThinPictures(t *testing.T) {
	p := EfficientNetLite0()
	dst := make([]float32, p.Len())
	for _, m := range []*RGB{picture(20000, 1, false), picture(1, 20000, false), picture(20000, 2, true)} {
		if err := p.Into(dst, m); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWeightsStayInRange: weighWords rests on sums between -64 and 448 for any bytes.
func TestWeightsStayInRange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		a := axis{in: 1 + r.IntN(900), out: 1 + r.IntN(900), filter: Bicubic}
		a.hi = a.out
		k := newKernel(a)
		for i := range k.first {
			least, most := 0.0, 0.0
			for _, w := range k.of(i) {
				v := float64(int64(w)) / (1 << precision) * 255
				least, most = least+min(v, 0), most+max(v, 0)
			}
			if least < -offset || most >= 512-offset {
				t.Fatalf("%+v, output %d: sums from %.1f to %.1f", a, i, least, most)
			}
			if first := k.first[i]; first < 0 || first+k.taps > a.in {
				t.Fatalf("%+v, output %d reads samples %d to %d", a, i, first, first+k.taps)
			}
		}
	}
}

func TestVectorsEqualWords(t *testing.T) {
	if !haveVectors {
		t.Skip("no vectors on this CPU")
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		a := axis{in: 1 + r.IntN(200), out: 1 + r.IntN(200), filter: Bicubic}
		a.hi = a.out
		k := newKernel(a)
		n := align * (1 + r.IntN(5))
		stride := n + align*r.IntN(2)
		rows := make([]byte, k.taps*stride)
		for i := range rows {
			rows[i] = byte(-(r.IntN(4) & 1)) // mostly extremes
			if r.IntN(3) == 0 {
				rows[i] = byte(r.IntN(256))
			}
		}
		got, want := make([]byte, n), make([]byte, n)
		i := r.IntN(len(k.first))
		weigh(got, rows, stride, k.of(i))
		weighWords(want, rows, stride, k.of(i))
		if !bytes.Equal(got, want) {
			t.Fatalf("%+v, output %d: %v, want %v", a, i, got, want)
		}
	}
}

func TestKernelCacheIsBounded(t *testing.T) {
	var c kernelCache
	for in := range 3000 {
		c.get(axis{in: in + 1, out: 64, hi: 64, filter: Bicubic})
		if c.weights > maxCachedWeights {
			t.Fatalf("%d weights kept", c.weights)
		}
	}
}
