package vision

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
)

// Preprocess says how a photo becomes a network's input. It is stored as JSON
// beside the model, so that serving repeats what training did.
//
// The shorter side is resized to Resize and the longer one in proportion
// (truncated to whole pixels, as torchvision's Resize does); from the middle a
// square of Crop pixels is cut, whose offset is half the margin, rounded half to
// even (as torchvision's CenterCrop does); then each sample x of channel c becomes
// (x - Mean[c]) / Std[c].
type Preprocess struct {
	Resize     int        `json:"resize"` // pixels
	Crop       int        `json:"crop"`   // pixels, at most Resize
	Filter     Filter     `json:"filter"`
	Mean       [3]float32 `json:"mean"`                  // R, G, B; on the scale 0–255
	Std        [3]float32 `json:"std"`                   // the same scale
	Layout     string     `json:"layout"`                // "NCHW", the only one so far
	ExifOrient bool       `json:"exif_orient,omitempty"` // turn the photo as its EXIF data asks (JPEG)
}

// LayoutNCHW is planes of rows: all red samples, then all green, then all blue.
const LayoutNCHW = "NCHW"

// EfficientNetLite0 is the input of the Lite family's smallest member: 224 pixels.
func EfficientNetLite0() Preprocess { return efficientNetLite(224) }

// EfficientNetLite1 is the same recipe at 240 pixels.
func EfficientNetLite1() Preprocess { return efficientNetLite(240) }

// EfficientNetLite2 is the same recipe at 260 pixels.
func EfficientNetLite2() Preprocess { return efficientNetLite(260) }

func efficientNetLite(size int) Preprocess {
	return Preprocess{
		Resize: size * 256 / 224, // the family keeps the margin of 256 around 224
		Crop:   size,
		Filter: Bicubic,
		Mean:   [3]float32{127, 127, 127},
		Std:    [3]float32{128, 128, 128},
		Layout: LayoutNCHW,
	}
}

// ImageNet is torchvision's recipe for its ResNets.
func ImageNet() Preprocess {
	return Preprocess{
		Resize: 256,
		Crop:   224,
		Filter: Bilinear,
		Mean:   [3]float32{0.485 * 255, 0.456 * 255, 0.406 * 255},
		Std:    [3]float32{0.229 * 255, 0.224 * 255, 0.225 * 255},
		Layout: LayoutNCHW,
	}
}

// Preset finds the recipe for a backbone by its name: efficientnet-lite0, -lite1,
// -lite2, resnet18, resnet34, resnet50, imagenet.
func Preset(backbone string) (Preprocess, error) {
	switch backbone {
	case "efficientnet-lite0":
		return EfficientNetLite0(), nil
	case "efficientnet-lite1":
		return EfficientNetLite1(), nil
	case "efficientnet-lite2":
		return EfficientNetLite2(), nil
	case "resnet18", "resnet34", "resnet50", "imagenet":
		return ImageNet(), nil
	}
	return Preprocess{}, fmt.Errorf("vision: no preprocessing is known for backbone %q", backbone)
}

// maxSize bounds Resize: a recipe comes from a model archive, which a stranger
// may have written.
const maxSize = 4096

// Check reports what is wrong with a recipe.
func (p Preprocess) Check() error {
	if err := p.Filter.check(); err != nil {
		return err
	}
	if p.Crop < 1 || p.Resize < p.Crop || p.Resize > maxSize {
		return fmt.Errorf("vision: crop %d and resize %d must satisfy 1 <= crop <= resize <= %d", p.Crop, p.Resize, maxSize)
	}
	if p.Layout != LayoutNCHW {
		return fmt.Errorf("vision: unknown layout %q (known: %s)", p.Layout, LayoutNCHW)
	}
	for c, s := range p.Std {
		if !(s > 0) || math.IsInf(float64(s), 0) || math.IsNaN(float64(p.Mean[c])) || math.IsInf(float64(p.Mean[c]), 0) {
			return fmt.Errorf("vision: mean %v and std %v must be finite, std above zero", p.Mean, p.Std)
		}
	}
	return nil
}

// Len is the number of floats of one photo's tensor: 3 · Crop · Crop.
func (p Preprocess) Len() int { return 3 * p.Crop * p.Crop }

// keyVersion changes when the same recipe begins to give other numbers.
const keyVersion = 1

// Key identifies the recipe: equal keys, equal tensors from equal pixels. It is
// stable across runs and machines and fit for a file name. Which JPEG decoder made
// the pixels is not part of it; Decoder.JPEG tells.
func (p Preprocess) Key() string {
	b, err := json.Marshal(p)
	if err != nil { // only an infinite or NaN mean or std
		b = fmt.Appendf(nil, "%+v", p)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "vision/%d %s", keyVersion, b))
	return hex.EncodeToString(sum[:12])
}

// Load decodes a photo and writes its tensor into dst, which has Len() elements,
// with the process's default Decoder.
func (p Preprocess) Load(b []byte, dst []float32) error {
	return defaultDecoder().Load(b, p, dst)
}

// Into writes the tensor of a decoded photo into dst, which has Len() elements.
// ExifOrient has no effect here: the pixels carry no EXIF data.
func (p Preprocess) Into(dst []float32, m *RGB) error {
	d := defaultDecoder()
	s := d.scratch.Get().(*scratch)
	defer d.release(s)
	return d.into(dst, m, p, s)
}

// window gives the resize and the crop for a picture of w × h.
func (p Preprocess) window(w, h int) resizer {
	ow, oh := p.Resize, p.Resize
	if w < h {
		oh = p.Resize * h / w
	} else {
		ow = p.Resize * w / h
	}
	return resizer{x: p.cropped(w, ow), y: p.cropped(h, oh)}
}

func (p Preprocess) cropped(in, out int) axis {
	lo := int(math.RoundToEven(float64(out-p.Crop) / 2))
	return axis{in: in, out: out, lo: lo, hi: lo + p.Crop, filter: p.Filter}
}

// normaliser maps a byte of each channel to its float.
type normaliser [3][256]float32

func (p Preprocess) normaliser() *normaliser {
	n := new(normaliser)
	for c := range n {
		for v := range n[c] {
			n[c][v] = (float32(v) - p.Mean[c]) / p.Std[c]
		}
	}
	return n
}

// row writes one row of packed pixels into the three planes' rows.
func (n *normaliser) row(red, green, blue []float32, pix []byte) {
	green, blue = green[:len(red)], blue[:len(red)]
	pix = pix[:3*len(red)]
	for x := range red {
		p := pix[3*x : 3*x+3 : 3*x+3]
		red[x] = n[0][p[0]]
		green[x] = n[1][p[1]]
		blue[x] = n[2][p[2]]
	}
}

// into is the second half of Load.
func (d *Decoder) into(dst []float32, m *RGB, p Preprocess, s *scratch) error {
	if err := p.Check(); err != nil {
		return err
	}
	if len(dst) != p.Len() {
		return fmt.Errorf("vision: the tensor has room for %d floats; %d x %d needs %d", len(dst), p.Crop, p.Crop, p.Len())
	}
	if m.W < 1 || m.H < 1 || len(m.Pix) != m.W*m.H*3 {
		return fmt.Errorf("vision: %d bytes are no picture of %d x %d", len(m.Pix), m.W, m.H)
	}
	n := p.normaliser()
	plane := p.Crop * p.Crop
	p.window(m.W, m.H).run(m, &d.kernels, s, func(y int, row []byte) {
		at := y * p.Crop
		n.row(dst[at:][:p.Crop], dst[plane+at:][:p.Crop], dst[2*plane+at:][:p.Crop], row)
	})
	return nil
}
