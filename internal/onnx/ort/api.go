package ort

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// apiVersion is the version of the C API that is asked for: the oldest that
// has every function used here. Newer libraries serve it as well.
const apiVersion = 16

// fn is a function's place in the table OrtApi (onnxruntime_c_api.h). The
// table only ever grows at its end, so places are fixed.
type fn int

const (
	fnGetErrorCode                     fn = 1
	fnGetErrorMessage                  fn = 2
	fnCreateEnv                        fn = 3
	fnDisableTelemetryEvents           fn = 6
	fnCreateSession                    fn = 7
	fnCreateSessionFromArray           fn = 8
	fnRun                              fn = 9
	fnCreateSessionOptions             fn = 10
	fnDisableMemPattern                fn = 17
	fnDisableCPUMemArena               fn = 19
	fnSetSessionGraphOptimizationLevel fn = 23
	fnSetIntraOpNumThreads             fn = 24
	fnSetInterOpNumThreads             fn = 25
	fnSessionGetInputCount             fn = 30
	fnSessionGetOutputCount            fn = 31
	fnSessionGetInputTypeInfo          fn = 33
	fnSessionGetOutputTypeInfo         fn = 34
	fnSessionGetInputName              fn = 36
	fnSessionGetOutputName             fn = 37
	fnCreateRunOptions                 fn = 39
	fnRunOptionsSetTerminate           fn = 46
	fnCreateTensorWithDataAsOrtValue   fn = 49
	fnGetTensorMutableData             fn = 51
	fnCastTypeInfoToTensorInfo         fn = 55
	fnGetTensorElementType             fn = 60
	fnGetDimensionsCount               fn = 61
	fnGetDimensions                    fn = 62
	fnGetTensorTypeAndShape            fn = 65
	fnCreateCPUMemoryInfo              fn = 69
	fnAllocatorFree                    fn = 76
	fnGetAllocatorWithDefaultOptions   fn = 78
	fnReleaseEnv                       fn = 92
	fnReleaseStatus                    fn = 93
	fnReleaseMemoryInfo                fn = 94
	fnReleaseSession                   fn = 95
	fnReleaseValue                     fn = 96
	fnReleaseRunOptions                fn = 97
	fnReleaseTypeInfo                  fn = 98
	fnReleaseTensorTypeAndShapeInfo    fn = 99
	fnReleaseSessionOptions            fn = 100
	fnAddSessionConfigEntry            fn = 130
	fnAppendExecutionProviderCUDA      fn = 204
	fnCreateCUDAProviderOptions        fn = 205
	fnReleaseCUDAProviderOptions       fn = 208
	fnTableSize                        fn = 209
)

// table is the functions of a loaded library.
type table struct {
	at *[fnTableSize]uintptr
}

// Error is what ONNX Runtime itself said.
type Error struct {
	Code    int // OrtErrorCode
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("ONNX Runtime: %s", e.Message) }

// call runs a function that returns a status. Arguments made from
// unsafe.Pointer stay alive and in place until it returns.
//
//go:uintptrescapes
func (t table) call(f fn, args ...uintptr) error {
	status, _, _ := purego.SyscallN(t.at[f], args...)
	if status == 0 {
		return nil
	}
	code, _, _ := purego.SyscallN(t.at[fnGetErrorCode], status)
	message, _, _ := purego.SyscallN(t.at[fnGetErrorMessage], status)
	err := &Error{Code: int(int32(code)), Message: goString(message)}
	t.release(fnReleaseStatus, status)
	return err
}

// release calls one of the functions that return nothing; 0 is let be.
func (t table) release(f fn, object uintptr) {
	if object != 0 {
		purego.SyscallN(t.at[f], object)
	}
}

// create runs a function that makes an object and returns it through its last argument.
//
//go:uintptrescapes
func (t table) create(f fn, args ...uintptr) (uintptr, error) {
	object := new(uintptr)
	err := t.callOut(f, uintptr(unsafe.Pointer(object)), args...)
	return *object, err
}

// callOut is call with one more argument behind the others. That it is
// declared by itself is what keeps *out on the heap: the compiler only sees to
// it for conversions written in the very call of an uintptrescapes function.
//
//go:uintptrescapes
func (t table) callOut(f fn, out uintptr, args ...uintptr) error {
	return t.call(f, append(args, out)...)
}

// cString is a string as C wants it. Convert it to uintptr in the argument list
// itself (see call), so that it lives as long as C reads it.
func cString(s string) *byte { return unsafe.SliceData(append([]byte(s), 0)) }

func goString(p uintptr) string {
	if p == 0 {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(pointer(p)), n))
}

// pointer makes a pointer of an address in C's memory, which Go's collector
// neither moves nor frees: what vet's rule against the conversion guards
// against cannot happen.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }
