// Package ort runs ONNX models in ONNX Runtime, without cgo.
//
// It hides the C API: a table of functions found in a shared library, objects
// that must be released, memory that C reads while Go's collector runs.
//
//	lib, err := ort.Load("/path/to/libonnxruntime.so")
//	s, err := lib.NewSession(model, ort.Options{IntraThreads: 1})
//	in, out := make([]float32, 3*224*224), make([]float32, 1280)
//	err = s.Run(ctx, []ort.Tensor{ort.Of(in, 1, 3, 224, 224)}, []ort.Tensor{ort.Of(out, 1, 1280)})
//
// Tensors are views of the caller's slices: nothing is copied on the way in or
// out. An output whose shape is not known beforehand is left zero in the list
// and comes back in memory that Go owns. Where the same slices are used again
// and again (a training step), Bind prepares the call once.
//
// Life cycle:
//
//	Load ──► Library ──NewSession/OpenSession──► Session ──Bind──► Binding
//	            │                                   │                 │
//	          Close (last)                        Close             Close (first)
//
// Close is never done by a finaliser: whoever opens closes. A Library may be
// loaded any number of times; the shared object itself stays mapped until the
// process ends, since ONNX Runtime cannot be unloaded safely.
//
// Sessions are safe for concurrent use; a Binding writes to its own outputs and
// so belongs to one goroutine at a time.
//
// A call costs a few microseconds, of which a Binding saves about half (BenchmarkRun).
package ort
