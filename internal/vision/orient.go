package vision

import "encoding/binary"

// Orientation gives a JPEG's EXIF orientation, 1 to 8; 1, upright, where there is
// none or the bytes are no JPEG.
func Orientation(b []byte) int {
	f, err := sniff(b)
	if err != nil || f.name != "JPEG" {
		return 1
	}
	info, err := walkJPEG(b)
	if err != nil {
		return 1
	}
	return tiffOrientation(info.exif)
}

// tiffOrientation finds tag 0x0112 in the first directory of a TIFF header.
func tiffOrientation(b []byte) int {
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(b[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 1
	}
	entries := b[at+2:]
	for range order.Uint16(b[at:]) {
		if len(entries) < 12 {
			return 1
		}
		const tag, short = 0x0112, 3
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}

// orient gives the picture as it was meant to be seen, as Pillow's exif_transpose
// does.
func (m *RGB) orient(orientation int) *RGB {
	if orientation <= 1 || orientation > 8 {
		return m
	}
	// Bits of what to do: swap the axes first, then mirror.
	swap := orientation >= 5
	mirrorX := orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7
	mirrorY := orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8
	out := &RGB{W: m.W, H: m.H, Pix: make([]byte, len(m.Pix))}
	if swap {
		out.W, out.H = m.H, m.W
	}
	for y := range out.H {
		for x := range out.W {
			sx, sy := x, y
			if mirrorX {
				sx = out.W - 1 - x
			}
			if mirrorY {
				sy = out.H - 1 - y
			}
			if swap {
				sx, sy = sy, sx
			}
			copy(out.Pix[(y*out.W+x)*3:][:3], m.Pix[(sy*m.W+sx)*3:][:3])
		}
	}
	return out
}
