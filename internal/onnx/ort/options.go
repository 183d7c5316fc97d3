package ort

import (
	"fmt"
	"maps"
	"slices"
	"unsafe"
)

// Options say how a model is to run. The zero value is ONNX Runtime's default:
// all optimisations, as many threads as there are cores.
type Options struct {
	// IntraThreads is the number of threads for one operator, InterThreads that
	// for operators side by side; 0 leaves the choice to ONNX Runtime. With 1
	// the caller's own thread does the work.
	IntraThreads, InterThreads int
	// Optimise says how far the graph may be rewritten before it runs.
	Optimise Optimisation
	// NoMemPattern and NoArena trade speed for memory: the one stops planning
	// buffers by shapes seen before, the other returns memory after each run.
	NoMemPattern, NoArena bool
	// CUDA asks for the first NVIDIA GPU; the library must be built with it.
	CUDA bool
	// Config are further settings by ONNX Runtime's own names (session.…).
	Config map[string]string
}

// Optimisation is how far ONNX Runtime rewrites a graph.
type Optimisation int

// The levels; OptimiseAll is the default.
const (
	OptimiseAll Optimisation = iota
	OptimiseExtended
	OptimiseBasic
	OptimiseNone
)

// level is the number that the C API has for it.
func (o Optimisation) level() uintptr {
	switch o {
	case OptimiseExtended:
		return 2
	case OptimiseBasic:
		return 1
	case OptimiseNone:
		return 0
	}
	return 99
}

// sessionOptions makes the C object; it is valid, and to be released, also when an error comes with it.
func (l *Library) sessionOptions(o Options) (uintptr, error) {
	opts, err := l.create(fnCreateSessionOptions)
	if err != nil {
		return 0, err
	}
	if err := l.call(fnSetSessionGraphOptimizationLevel, opts, o.Optimise.level()); err != nil {
		return opts, err
	}
	if err := l.call(fnSetIntraOpNumThreads, opts, uintptr(o.IntraThreads)); err != nil {
		return opts, err
	}
	if err := l.call(fnSetInterOpNumThreads, opts, uintptr(o.InterThreads)); err != nil {
		return opts, err
	}
	if o.NoMemPattern {
		if err := l.call(fnDisableMemPattern, opts); err != nil {
			return opts, err
		}
	}
	if o.NoArena {
		if err := l.call(fnDisableCPUMemArena, opts); err != nil {
			return opts, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Config)) {
		if err := l.call(fnAddSessionConfigEntry, opts, uintptr(unsafe.Pointer(cString(name))), uintptr(unsafe.Pointer(cString(o.Config[name])))); err != nil {
			return opts, fmt.Errorf("setting %s: %w", name, err)
		}
	}
	if o.CUDA {
		if err := l.addCUDA(opts); err != nil {
			return opts, fmt.Errorf("use the GPU: the library must be the GPU build of ONNX Runtime, "+
				"with CUDA and cuDNN installed beside it: %w", err)
		}
	}
	return opts, nil
}

func (l *Library) addCUDA(opts uintptr) error {
	cuda, err := l.create(fnCreateCUDAProviderOptions)
	if err != nil {
		return err
	}
	defer l.release(fnReleaseCUDAProviderOptions, cuda)
	return l.call(fnAppendExecutionProviderCUDA, opts, cuda)
}
