// Package digits turns the table of real handwritten digits that the
// scikit-learn wheel carries into a data set of pictures, for machines that can
// reach no photo set.
//
// The table has 1,797 rows: 64 grey values from 0 (paper) to 16 (ink), row by
// row of an 8×8 picture, then the digit. The pictures are written as grey PNG of
// 64×64 pixels, ink dark on white, enlarged by a smooth (Catmull-Rom) filter, as
// DIR/{train,valid,test}/DIGIT/NUMBER.png. Of every ten pictures of a digit, in
// the table's order, six go to train, two to valid and two to test; the same
// table always gives the same files.
package digits

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/image/draw"

	"github.com/musher/musher/internal/assets"
)

const (
	side    = 8  // pixels a side in the table
	maxInk  = 16 // the table's darkest value
	outSide = 64 // pixels a side in the pictures
	version = 1  // raise when the pictures change
)

// splits says where the i-th picture of a digit goes, i modulo 10.
var splits = [10]string{"train", "train", "train", "valid", "test", "train", "train", "train", "valid", "test"}

// ErrTable is wrapped when the table is not what it should be.
var ErrTable = errors.New("digits: bad table")

// Fetch brings the table through the resolver and returns a folder of pictures
// below cacheDir, made once. Progress of the download is the resolver's.
func Fetch(ctx context.Context, r *assets.Resolver, cacheDir string) (string, error) {
	dir := filepath.Join(cacheDir, "data", fmt.Sprintf("handwritten-digits-v%d", version))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	table, err := r.Fetch(ctx, assets.HandwrittenDigits())
	if err != nil {
		return "", err
	}
	f, err := os.Open(table)
	if err != nil {
		return "", fmt.Errorf("digits: %w", err)
	}
	defer f.Close()
	if err := Write(ctx, f, dir); err != nil {
		return "", err
	}
	return dir, nil
}

// Write makes the new folder dir from the gzipped table: whole, or not at all.
// When another process made it meanwhile, that one stays.
func Write(ctx context.Context, table io.Reader, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("digits: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".tmp-digits-")
	if err != nil {
		return fmt.Errorf("digits: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := writeAll(ctx, table, tmp); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("digits: %w", err)
	}
	err = os.Rename(tmp, dir)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("digits: %w", err)
	}
	return nil
}

func writeAll(ctx context.Context, table io.Reader, dir string) error {
	unzipped, err := gzip.NewReader(table)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTable, err)
	}
	rows := csv.NewReader(io.LimitReader(unzipped, 16<<20))
	rows.FieldsPerRecord = side*side + 1
	rows.ReuseRecord = true
	paint := newPainter()
	var seen [10]int
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return fmt.Errorf("digits: %w", context.Cause(ctx))
		}
		row, err := rows.Read()
		if errors.Is(err, io.EOF) && n > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrTable, err)
		}
		pixels, digit, err := parse(row)
		if err != nil {
			return fmt.Errorf("%w: row %d: %w", ErrTable, n+1, err)
		}
		split := splits[seen[digit]%len(splits)]
		seen[digit]++
		name := filepath.Join(dir, split, strconv.Itoa(digit), fmt.Sprintf("%04d.png", n))
		if err := paint.write(name, pixels); err != nil {
			return fmt.Errorf("digits: %w", err)
		}
	}
}

// parse gives a row's 8×8 picture and its digit.
func parse(row []string) (*image.Gray, int, error) {
	img := image.NewGray(image.Rect(0, 0, side, side))
	for i, s := range row[:side*side] {
		ink, err := strconv.ParseFloat(s, 64) // older tables write "5.0"
		if err != nil || !(ink >= 0 && ink <= maxInk) {
			return nil, 0, fmt.Errorf("pixel %d is %q", i, s)
		}
		img.SetGray(i%side, i/side, color.Gray{Y: uint8(255 - 255*ink/maxInk)})
	}
	digit, err := strconv.ParseFloat(row[side*side], 64)
	if err != nil || digit != float64(int(digit)) || digit < 0 || digit > 9 {
		return nil, 0, fmt.Errorf("digit is %q", row[side*side])
	}
	return img, int(digit), nil
}

// painter enlarges and writes pictures. It keeps the filter's weights and the
// encoder's buffers from one picture to the next.
type painter struct {
	scaler  draw.Scaler
	encoder png.Encoder
	kept    *png.EncoderBuffer
}

func newPainter() *painter {
	p := &painter{scaler: draw.CatmullRom.NewScaler(outSide, outSide, side, side)}
	p.encoder.BufferPool = p
	return p
}

// Get and Put make the painter its encoder's pool of one.
func (p *painter) Get() *png.EncoderBuffer  { return p.kept }
func (p *painter) Put(b *png.EncoderBuffer) { p.kept = b }

func (p *painter) write(name string, small *image.Gray) error {
	big := image.NewGray(image.Rect(0, 0, outSide, outSide))
	p.scaler.Scale(big, big.Bounds(), small, small.Bounds(), draw.Src, nil)
	var buf bytes.Buffer
	if err := p.encoder.Encode(&buf, big); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, buf.Bytes(), 0o644)
}
