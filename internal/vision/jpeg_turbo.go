package vision

import (
	"errors"
	"runtime"
	"strings"
	"sync"
)

// turbo is libjpeg-turbo through its TurboJPEG interface, loaded at run time. Of
// the library's two generations of functions it uses the older one, which both 2.x
// and 3.x have.
type turbo struct {
	initDecompress func() uintptr
	destroy        func(handle uintptr) int32
	header         func(handle uintptr, jpeg *byte, size uintptr, w, h, subsampling, colorspace *int32) int32
	decompress     func(handle uintptr, jpeg *byte, size uintptr, dst *byte, w, pitch, h, pixelFormat, flags int32) int32
	errorText      func(handle uintptr) string
	errorCode      func(handle uintptr) int32

	handles sync.Pool // *turboHandle
}

// turboHandle is a decompressor, used by one goroutine at a time. The library's
// memory is given back when the collector finds the handle unused.
type turboHandle struct{ ptr uintptr }

// Of TurboJPEG's enumerations (turbojpeg.h).
const (
	pixelRGB  = 0
	pixelCMYK = 11

	turboWarning = 0 // TJERR_WARNING: the picture was written, but something was odd

	flagLimitScans = 32768 // TJFLAG_LIMITSCANS
)

// turboNames are the file names under which systems install the library.
func turboNames() []string {
	if runtime.GOOS == "darwin" {
		return []string{"libturbojpeg.0.dylib", "libturbojpeg.dylib",
			"/opt/homebrew/opt/jpeg-turbo/lib/libturbojpeg.dylib", "/usr/local/opt/jpeg-turbo/lib/libturbojpeg.dylib"}
	}
	return []string{"libturbojpeg.so.0", "libturbojpeg.so"}
}

// findTurbo gives the installed library, or nil.
func findTurbo() *turbo {
	for _, name := range turboNames() {
		if t, err := openTurbo(name); err == nil {
			return t
		}
	}
	return nil
}

func (t *turbo) handle() (*turboHandle, error) {
	if h, ok := t.handles.Get().(*turboHandle); ok {
		return h, nil
	}
	h := &turboHandle{ptr: t.initDecompress()}
	if h.ptr == 0 {
		return nil, errors.New("vision: libjpeg-turbo gives no decompressor: out of memory")
	}
	runtime.AddCleanup(h, func(ptr uintptr) { t.destroy(ptr) }, h.ptr)
	return h, nil
}

// decode writes w × h pixels into dst. b has been walked: it has an end marker.
func (t *turbo) decode(b, dst []byte, w, h int, pixelFormat int32) error {
	handle, err := t.handle()
	if err != nil {
		return err
	}
	defer t.handles.Put(handle)
	if err := t.sameSize(handle, b, w, h); err != nil {
		return err
	}
	// pitch · h is all that the library may write, whatever it reads in b.
	pitch := len(dst) / h
	rc := t.decompress(handle.ptr, &b[0], uintptr(len(b)), &dst[0], int32(w), int32(pitch), int32(h), pixelFormat, flagLimitScans)
	if rc == 0 {
		return nil
	}
	return t.failure(handle)
}

// sameSize makes sure that the library reads the same size out of the header as we
// did: asked for less than the full size it would scale.
func (t *turbo) sameSize(handle *turboHandle, b []byte, w, h int) error {
	var tw, th, subsampling, colorspace int32
	if t.header(handle.ptr, &b[0], uintptr(len(b)), &tw, &th, &subsampling, &colorspace) != 0 {
		if strings.Contains(t.errorText(handle.ptr), "subsampling") {
			return nil // unusual sampling factors have no name in its enumeration, but decode well
		}
		return t.failure(handle)
	}
	if int(tw) != w || int(th) != h {
		return corrupt("JPEG", "the header is ambiguous: %d x %d or %d x %d", w, h, tw, th)
	}
	return nil
}

// failure turns the library's complaint into an error, or into nil where it is
// about something that costs no pixels. The library tells only the first of several
// warnings: damage behind a harmless oddity passes, as it does in Pillow.
func (t *turbo) failure(handle *turboHandle) error {
	text := t.errorText(handle.ptr)
	if t.errorCode(handle.ptr) == turboWarning && harmless(text) {
		return nil
	}
	_, reason, found := strings.Cut(text, "(): ")
	if !found {
		reason = text
	}
	if strings.HasPrefix(reason, "Unsupported") || strings.Contains(reason, "not supported") {
		return unsupported("JPEG", "%s", reason)
	}
	return corrupt("JPEG", "%s", reason)
}

// harmless warnings are common in real photo collections: padding between
// segments, odd version numbers and colour profiles.
func harmless(warning string) bool {
	for _, s := range []string{"extraneous bytes before marker", "unknown JFIF revision", "Unknown Adobe color transform", "ICC profile", "Inconsistent progression sequence", "Invalid SOS parameters"} {
		if strings.Contains(warning, s) {
			return true
		}
	}
	return false
}
