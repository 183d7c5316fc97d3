package vision

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// facts is testdata/facts.json: what Pillow computed, written by testdata/make.py.
type facts struct {
	Decode map[string]struct {
		W, H   int
		SHA256 string
	}
	Resize []struct {
		W, H, OW, OH int
		Filter       Filter
		Hard         bool
		SHA256       string
	}
	Crop []struct {
		W, H, Resize, Crop int
		Filter             Filter
		SHA256             string
	}
	Photos []struct{ File, Decode, Bicubic, Bilinear string }
}

func readFacts(t *testing.T) facts {
	t.Helper()
	var f facts
	if err := json.Unmarshal(testFile(t, "facts.json"), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sha(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// picture is make.py's picture.
func picture(w, h int, hard bool) *RGB {
	m := &RGB{W: w, H: h}
	for y := range uint32(h) {
		for x := range uint32(w) {
			for c := range uint32(3) {
				v := x*374761393 + y*668265263 + c*974634777
				v = (v ^ v>>13) * 1274126177
				v ^= v >> 16
				s := byte(((x*2+y*3+c*40)&255)*3/4 + v&63)
				if hard {
					s = byte((v & 1) * 255)
				}
				m.Pix = append(m.Pix, s)
			}
		}
	}
	return m
}

func newDecoder(t testing.TB, o Options) *Decoder {
	t.Helper()
	d, err := NewDecoder(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// turboDecoder skips the test where libjpeg-turbo is not installed.
func turboDecoder(t testing.TB) *Decoder {
	t.Helper()
	d := newDecoder(t, Options{})
	if d.JPEG() != "libjpeg-turbo" {
		t.Skip("libjpeg-turbo is not installed")
	}
	return d
}

func TestResizeEqualsPillow(t *testing.T) {
	for _, f := range readFacts(t).Resize {
		got := picture(f.W, f.H, f.Hard).Resize(f.OW, f.OH, f.Filter)
		if sha(got.Pix) != f.SHA256 {
			t.Errorf("%d x %d to %d x %d, %s, hard %v: other bytes than Pillow's", f.W, f.H, f.OW, f.OH, f.Filter, f.Hard)
		}
	}
}

// bytesRecipe leaves samples as they are, so that a tensor can be compared with
// Pillow's bytes.
func bytesRecipe(resize, crop int, f Filter) Preprocess {
	return Preprocess{Resize: resize, Crop: crop, Filter: f, Std: [3]float32{1, 1, 1}, Layout: LayoutNCHW}
}

// interleave turns a tensor of bytesRecipe back to packed bytes.
func interleave(dst []float32) []byte {
	n := len(dst) / 3
	out := make([]byte, len(dst))
	for i := range n {
		for c := range 3 {
			out[3*i+c] = byte(dst[c*n+i])
		}
	}
	return out
}

func TestCropEqualsTorchvision(t *testing.T) {
	for _, f := range readFacts(t).Crop {
		p := bytesRecipe(f.Resize, f.Crop, f.Filter)
		dst := make([]float32, p.Len())
		if err := p.Into(dst, picture(f.W, f.H, false)); err != nil {
			t.Fatal(err)
		}
		if sha(interleave(dst)) != f.SHA256 {
			t.Errorf("%d x %d by %d/%d %s: other bytes than Pillow's", f.W, f.H, f.Resize, f.Crop, f.Filter)
		}
	}
}

func TestDecodeEqualsPillow(t *testing.T) {
	d := newDecoder(t, Options{})
	for name, f := range readFacts(t).Decode {
		t.Run(name, func(t *testing.T) {
			if strings.HasSuffix(name, ".jpg") {
				d = turboDecoder(t)
			}
			m, err := d.Decode(testFile(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if m.W != f.W || m.H != f.H {
				t.Fatalf("%d x %d, want %d x %d", m.W, m.H, f.W, f.H)
			}
			if sha(m.Pix) != f.SHA256 {
				t.Error("other bytes than Pillow's")
			}
		})
	}
}

// TestGoJPEGIsClose compares the fallback with libjpeg-turbo: the same pictures but
// for rounding in the inverse DCT (and once more in colour for ink, where the standard
// library converts before it hands over).
func TestGoJPEGIsClose(t *testing.T) {
	turbo, plain := turboDecoder(t), newDecoder(t, Options{Turbo: TurboOff})
	for name := range readFacts(t).Decode {
		if !strings.HasSuffix(name, ".jpg") {
			continue
		}
		b := testFile(t, name)
		want, err := turbo.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := plain.Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		most, share := difference(got.Pix, want.Pix)
		t.Logf("%-16s at most %d, %.3f%% of samples differ", name, most, 100*share)
		if most > 4 {
			t.Errorf("%s: samples differ by up to %d", name, most)
		}
	}
}

// difference gives the largest difference and the share of samples that differ.
func difference(a, b []byte) (most int, share float64) {
	n := 0
	for i := range a {
		d := max(int(a[i])-int(b[i]), int(b[i])-int(a[i]))
		if most = max(most, d); d > 0 {
			n++
		}
	}
	return most, float64(n) / float64(len(a))
}

// sharedPhotos is the folder of real test photos, which are not the project's to
// distribute.
func sharedPhotos(t testing.TB) string {
	t.Helper()
	shared := os.Getenv("MUSHER_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(shared, "data", "dogs-full", "test")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no photos (MUSHER_SHARED names the folder that has data/dogs-full): %v", err)
	}
	return dir
}

func TestPhotosEqualPillow(t *testing.T) {
	d, dir := turboDecoder(t), sharedPhotos(t)
	for _, f := range readFacts(t).Photos {
		b, err := os.ReadFile(filepath.Join(dir, f.File))
		if err != nil {
			t.Fatal(err)
		}
		m, err := d.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if sha(m.Pix) != f.Decode {
			t.Errorf("%s: decoded to other bytes than Pillow's", f.File)
		}
		for filter, want := range map[Filter]string{Bicubic: f.Bicubic, Bilinear: f.Bilinear} {
			p := bytesRecipe(256, 224, filter)
			dst := make([]float32, p.Len())
			if err := d.Load(b, p, dst); err != nil {
				t.Fatal(err)
			}
			if sha(interleave(dst)) != want {
				t.Errorf("%s: %s gives other bytes than Pillow's", f.File, filter)
			}
		}
	}
}

// TestGoJPEGOnPhotos reports what the fallback costs in exactness on real photos.
func TestGoJPEGOnPhotos(t *testing.T) {
	turbo, plain, dir := turboDecoder(t), newDecoder(t, Options{Turbo: TurboOff}), sharedPhotos(t)
	p := EfficientNetLite0()
	a, b := make([]float32, p.Len()), make([]float32, p.Len())
	pixels, tensor := 0, float32(0)
	for _, f := range readFacts(t).Photos {
		data, err := os.ReadFile(filepath.Join(dir, f.File))
		if err != nil {
			t.Fatal(err)
		}
		x, _ := turbo.Decode(data)
		y, err := plain.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		most, _ := difference(x.Pix, y.Pix)
		pixels = max(pixels, most)
		_, _ = turbo.Load(data, p, a), plain.Load(data, p, b)
		for i := range a {
			tensor = max(tensor, a[i]-b[i], b[i]-a[i])
		}
	}
	t.Logf("Go's decoder against libjpeg-turbo: pixels differ by at most %d of 255, the tensor by at most %.4f", pixels, tensor)
	if pixels > 4 || tensor > 4.0/128 {
		t.Errorf("the decoders are further apart than rounding: %d, %.4f", pixels, tensor)
	}
}
