package musher

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"
)

// Classes are what Pictures draws, in the order of a model's labels.
//
//nolint:gochecknoglobals // a constant list
var Classes = []string{"001.Disc", "002.Square", "003.Cross"}

// Picture draws one small picture of a class: its shape in a hue of its own,
// at a random place and size, on a noisy ground. The same seed gives the same
// picture. Half of them are JPEGs, the others PNGs.
func Picture(tb testing.TB, class int, seed uint64) (data []byte, ext string) {
	tb.Helper()
	const side = 64
	rng := rand.New(rand.NewPCG(seed, uint64(class))) //nolint:gosec // pictures, not secrets
	cx, cy, r := 22+20*rng.Float64(), 22+20*rng.Float64(), 10+9*rng.Float64()
	hues := []color.RGBA{{200, 60, 50, 255}, {60, 170, 70, 255}, {60, 80, 200, 255}}
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			c := color.RGBA{uint8(100 + rng.IntN(60)), uint8(100 + rng.IntN(60)), uint8(100 + rng.IntN(60)), 255}
			if inside(class, (float64(x)-cx)/r, (float64(y)-cy)/r) {
				c = hues[class]
			}
			img.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	var err error
	if ext = ".png"; seed%2 == 0 {
		ext = ".jpg"
		err = jpeg.Encode(&b, img, &jpeg.Options{Quality: 90})
	} else {
		err = png.Encode(&b, img)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes(), ext
}

// inside tells whether a point is on a class's shape, at whose centre it is
// (0, 0) and whose reach is 1.
func inside(class int, x, y float64) bool {
	ax, ay := math.Abs(x), math.Abs(y)
	switch class {
	case 0:
		return x*x+y*y < 1
	case 1:
		return max(ax, ay) < 0.9
	default:
		return min(ax, ay) < 0.25 && max(ax, ay) < 1
	}
}

// Pictures draws perClass pictures of every class: data by path, such as
// "001.Disc/0007.png". Different seeds give different pictures.
func Pictures(tb testing.TB, seed uint64, perClass int) map[string][]byte {
	tb.Helper()
	out := map[string][]byte{}
	for class, name := range Classes {
		for i := range perClass {
			data, ext := Picture(tb, class, seed*1_000_000+uint64(i))
			out[fmt.Sprintf("%s/%04d%s", name, i, ext)] = data
		}
	}
	return out
}
