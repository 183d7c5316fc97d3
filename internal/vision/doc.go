// Package vision turns a photo's bytes into the tensor that a network reads:
// decoded, resized, cropped, normalised.
//
//	bytes ──Decode──► RGB{W,H,Pix} ──resize, crop, normalise──► float32 NCHW
//	  └───────────────────── Preprocess.Load ─────────────────────┘
//
// The measure of "right" is Pillow: networks are trained on pixels that Pillow
// decoded and resized, so every step here gives Pillow's bytes, not merely
// similar ones. Image.open(f).convert("RGB").resize(size, BILINEAR or BICUBIC)
// followed by torchvision's CenterCrop is what Preprocess computes:
//
//   - Decoding is chosen by content, never by name. JPEG goes through
//     libjpeg-turbo where the machine has it (the library that Pillow is built
//     on) and through Go's decoder otherwise; the Go path repeats libjpeg's
//     chroma upsampling and colour conversion, so what is left between the two
//     is the rounding of the inverse DCT. PNG, WebP and GIF (first frame) are
//     read in Go.
//   - Alpha is dropped, not blended; 16-bit colour keeps its high byte; 16-bit
//     grey is clipped at 255. That is what convert("RGB") does.
//   - EXIF orientation is left alone unless Preprocess.ExifOrient asks for it.
//   - A damaged or cut-off file is an error. Pillow reports a cut-off JPEG, too,
//     but lets wrong bits in the middle of one pass as grey blocks; here they
//     are ErrCorrupt whichever decoder is in use.
//
// The header is parsed and compared with Limits before anything is allocated
// for pixels, so a few hundred bytes that claim 60,000 × 60,000 cost nothing.
// Errors are ErrFormat, ErrCorrupt or ErrTooLarge (see errors.go).
//
// A Decoder holds the loaded library, its handles, and scratch memory; it is
// safe for any number of goroutines. Most callers need only
//
//	p := vision.EfficientNetLite0()
//	dst := make([]float32, p.Len())
//	err := p.Load(jpegBytes, dst)
package vision
