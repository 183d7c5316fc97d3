package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// oldest is the first ONNX Runtime that serves apiVersion.
const oldest = "1.16"

// logFatal keeps ONNX Runtime from writing to stderr: what it has to say comes
// back as errors.
const logFatal = 4

// Library is a loaded libonnxruntime. It is safe for concurrent use.
type Library struct {
	table
	version   string
	env       uintptr
	cpu       uintptr // memory info: plain CPU memory
	allocator uintptr // belongs to the runtime, never released

	mu       sync.Mutex
	sessions int
	closed   bool
}

// Load opens the libonnxruntime at path. Loading the same one again is cheap
// and gives an independent Library over the same code.
func Load(path string) (*Library, error) {
	l, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("load ONNX Runtime from %s: %w", path, err)
	}
	return l, nil
}

func load(path string) (*Library, error) {
	// dlopen searches the system for names without a slash; a path is meant.
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	getBase, err := purego.Dlsym(handle, "OrtGetApiBase")
	if err != nil {
		return nil, errors.New("this library is not ONNX Runtime: it has no OrtGetApiBase")
	}
	l := &Library{}
	if err := l.findTable(getBase); err != nil {
		return nil, err
	}
	return l, l.start()
}

// findTable asks for the version before the table, because an old library
// answers a table that it does not have with a line on stderr.
func (l *Library) findTable(getBase uintptr) error {
	base, _, _ := purego.SyscallN(getBase)
	if base == 0 {
		return errors.New("it has no API")
	}
	functions := (*[2]uintptr)(pointer(base)) // GetApi, GetVersionString
	version, _, _ := purego.SyscallN(functions[1])
	l.version = goString(version)
	if !recent(l.version) {
		return fmt.Errorf("it is version %s; %s or newer is needed", l.version, oldest)
	}
	api, _, _ := purego.SyscallN(functions[0], apiVersion)
	if api == 0 {
		return fmt.Errorf("version %s does not serve version %d of its API", l.version, apiVersion)
	}
	l.at = (*[fnTableSize]uintptr)(pointer(api))
	return nil
}

// recent says whether a version such as 1.32.0 is at least the oldest that is supported.
func recent(version string) bool {
	var major, minor, wantMajor, wantMinor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n != 2 {
		return false
	}
	_, _ = fmt.Sscanf(oldest, "%d.%d", &wantMajor, &wantMinor)
	return major > wantMajor || (major == wantMajor && minor >= wantMinor)
}

func (l *Library) start() (err error) {
	const (
		deviceAllocator = 0
		memTypeDefault  = 0
	)
	if l.env, err = l.create(fnCreateEnv, logFatal, uintptr(unsafe.Pointer(cString("musher")))); err != nil {
		return err
	}
	if err = l.call(fnDisableTelemetryEvents, l.env); err == nil {
		l.cpu, err = l.create(fnCreateCPUMemoryInfo, deviceAllocator, memTypeDefault)
	}
	if err == nil {
		l.allocator, err = l.create(fnGetAllocatorWithDefaultOptions)
	}
	if err != nil {
		l.stop()
	}
	return err
}

func (l *Library) stop() {
	l.release(fnReleaseMemoryInfo, l.cpu)
	l.release(fnReleaseEnv, l.env)
}

// Version is ONNX Runtime's own, such as 1.32.0.
func (l *Library) Version() string { return l.version }

// Close releases the library. It fails while sessions are open; closing twice does nothing.
func (l *Library) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sessions > 0 {
		return fmt.Errorf("close ONNX Runtime: %d sessions are still open", l.sessions)
	}
	if !l.closed {
		l.closed = true
		l.stop()
	}
	return nil
}

// retain counts a session in; it fails when the library is closed.
func (l *Library) retain() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.sessions++
	return nil
}

func (l *Library) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions--
}

// newValue makes an OrtValue over the tensor's memory, which must stay in
// place and alive until the value is released.
func (l *Library) newValue(t *Tensor) (uintptr, error) {
	shape := t.shape
	if len(shape) == 0 {
		shape = []int64{0} // a scalar: the address is passed and never read
	}
	return l.create(fnCreateTensorWithDataAsOrtValue, l.cpu, uintptr(t.data), t.size,
		uintptr(unsafe.Pointer(unsafe.SliceData(shape))), uintptr(len(t.shape)), uintptr(t.elem))
}

func (l *Library) releaseValues(values []uintptr) {
	for _, v := range values {
		l.release(fnReleaseValue, v)
	}
}
