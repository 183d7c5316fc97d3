package ort

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/musher/musher/internal/onnx/graph"
)

// ErrClosed is returned for work given to something that has been closed.
var ErrClosed = errors.New("it is closed")

// Info describes an input or output of a model.
type Info struct {
	Name  string
	Type  graph.ElemType
	Shape []int64 // -1 where the size is known only when it runs
}

// Session is a model that is ready to run. It is safe for concurrent use.
type Session struct {
	lib     *Library
	inputs  []Info
	outputs []Info
	// Names as C strings in ONNX Runtime's memory, freed by Close.
	inNames, outNames []uintptr

	mu     sync.RWMutex // held for reading while the session runs
	handle uintptr      // 0 once closed
}

// NewSession prepares a model that is in memory; ONNX Runtime copies what it needs of it.
func (l *Library) NewSession(model []byte, o Options) (*Session, error) {
	if len(model) == 0 {
		return nil, errors.New("open model: it is empty")
	}
	s, err := l.open(o, func(options uintptr) (uintptr, error) {
		return l.create(fnCreateSessionFromArray, l.env,
			uintptr(unsafe.Pointer(unsafe.SliceData(model))), uintptr(len(model)), options)
	})
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	return s, nil
}

// OpenSession prepares the model in a file.
func (l *Library) OpenSession(path string, o Options) (*Session, error) {
	s, err := l.open(o, func(options uintptr) (uintptr, error) {
		return l.create(fnCreateSession, l.env, uintptr(unsafe.Pointer(cString(path))), options)
	})
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", path, err)
	}
	return s, nil
}

func (l *Library) open(o Options, create func(options uintptr) (uintptr, error)) (s *Session, err error) {
	if err := l.retain(); err != nil {
		return nil, err
	}
	s = &Session{lib: l}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	options, err := l.sessionOptions(o)
	defer l.release(fnReleaseSessionOptions, options)
	if err != nil {
		return s, err
	}
	if s.handle, err = create(options); err != nil {
		return s, err
	}
	if s.inputs, s.inNames, err = s.describe(fnSessionGetInputCount, fnSessionGetInputName, fnSessionGetInputTypeInfo); err != nil {
		return s, err
	}
	s.outputs, s.outNames, err = s.describe(fnSessionGetOutputCount, fnSessionGetOutputName, fnSessionGetOutputTypeInfo)
	return s, err
}

// Inputs describes what Run takes, in order. Do not change the result.
func (s *Session) Inputs() []Info { return s.inputs }

// Outputs describes what Run gives, in order. Do not change the result.
func (s *Session) Outputs() []Info { return s.outputs }

// Close waits for runs under way and releases the session. Bindings made from
// it must be closed before. Closing twice does nothing.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lib == nil {
		return
	}
	for _, name := range append(s.inNames, s.outNames...) {
		_ = s.lib.call(fnAllocatorFree, s.lib.allocator, name) // never fails
	}
	s.lib.release(fnReleaseSession, s.handle)
	s.lib.forget()
	s.lib, s.handle = nil, 0
}

// Run computes out from in, in the order of Inputs and Outputs. Tensors of out
// receive the results in place; zero ones are replaced by new tensors. When
// ctx ends, the run stops at the next operator and ctx's error is returned.
func (s *Session) Run(ctx context.Context, in, out []Tensor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.handle == 0 {
		return fmt.Errorf("run model: %w", ErrClosed)
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	c, err := s.prepare(&pins, in, out)
	if err != nil {
		return fmt.Errorf("run model: %w", err)
	}
	defer s.lib.releaseValues(c.in)
	// Outputs that ONNX Runtime allocates appear in c.out during the run.
	defer func() { s.lib.releaseValues(c.out) }()

	options, done, err := s.cancellation(ctx)
	if err != nil {
		return fmt.Errorf("run model: %w", err)
	}
	err = c.run(options)
	done()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("run model: %w", err)
	}
	for i := range out {
		if out[i].data == nil {
			if out[i], err = s.lib.copyOut(c.out[i]); err != nil {
				return fmt.Errorf("run model: output %q: %w", s.outputs[i].Name, err)
			}
		}
	}
	return nil
}

// cancellation makes run options through which the end of ctx stops a run;
// none for a context that never ends.
func (s *Session) cancellation(ctx context.Context) (options uintptr, done func(), err error) {
	if ctx.Done() == nil {
		return 0, func() {}, nil
	}
	if options, err = s.lib.create(fnCreateRunOptions); err != nil {
		return 0, nil, err
	}
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_ = s.lib.call(fnRunOptionsSetTerminate, options) // sets a flag, cannot fail
	})
	return options, func() {
		if !stop() {
			<-told
		}
		s.lib.release(fnReleaseRunOptions, options)
	}, nil
}

// prepared is a call of Run made ready: values over memory that stays in place.
type prepared struct {
	s       *Session
	lib     *Library
	in, out []uintptr // OrtValues
}

func (s *Session) prepare(pins *runtime.Pinner, in, out []Tensor) (*prepared, error) {
	if len(in) != len(s.inputs) || len(out) != len(s.outputs) {
		return nil, fmt.Errorf("%d inputs and %d outputs given, the model has %d and %d",
			len(in), len(out), len(s.inputs), len(s.outputs))
	}
	both := make([]uintptr, len(in)+len(out))
	p := &prepared{s: s, lib: s.lib, in: both[:len(in):len(in)], out: both[len(in):]}
	err := s.values(pins, "input", s.inputs, in, p.in)
	if err == nil {
		err = s.values(pins, "output", s.outputs, out, p.out)
	}
	if err != nil {
		s.lib.releaseValues(both)
		return nil, err
	}
	return p, nil
}

func (s *Session) values(pins *runtime.Pinner, what string, infos []Info, tensors []Tensor, to []uintptr) error {
	for i := range tensors {
		t := &tensors[i]
		if t.data == nil && what == "output" {
			continue
		}
		if t.elem != infos[i].Type {
			return fmt.Errorf("%s %q is of %v, %v given", what, infos[i].Name, infos[i].Type, t.elem)
		}
		if err := t.check(); err != nil {
			return fmt.Errorf("%s %q: %w", what, infos[i].Name, err)
		}
		pins.Pin((*byte)(t.data))
		v, err := s.lib.newValue(t)
		if err != nil {
			return fmt.Errorf("%s %q: %w", what, infos[i].Name, err)
		}
		to[i] = v
	}
	return nil
}

func (p *prepared) run(options uintptr) error {
	s := p.s
	return s.lib.call(fnRun, s.handle, options,
		uintptr(unsafe.Pointer(unsafe.SliceData(s.inNames))), uintptr(unsafe.Pointer(unsafe.SliceData(p.in))), uintptr(len(p.in)),
		uintptr(unsafe.Pointer(unsafe.SliceData(s.outNames))), uintptr(len(p.out)), uintptr(unsafe.Pointer(unsafe.SliceData(p.out))))
}

// copyOut moves a value that ONNX Runtime allocated into Go's memory.
func (l *Library) copyOut(value uintptr) (Tensor, error) {
	info, err := l.create(fnGetTensorTypeAndShape, value)
	if err != nil {
		return Tensor{}, err
	}
	defer l.release(fnReleaseTensorTypeAndShapeInfo, info)
	elem, shape, err := l.typeAndShape(info)
	if err != nil {
		return Tensor{}, err
	}
	size := elem.Size()
	if size == 0 {
		return Tensor{}, fmt.Errorf("elements of %v are not supported", elem)
	}
	for _, d := range shape {
		size *= int(d)
	}
	data, err := l.create(fnGetTensorMutableData, value)
	if err != nil {
		return Tensor{}, err
	}
	words := make([]uint64, (size+7)/8+1) // aligned for every type, and never empty
	t := Tensor{elem: elem, shape: shape, data: unsafe.Pointer(&words[0]), size: uintptr(size)}
	copy(unsafe.Slice((*byte)(t.data), size), unsafe.Slice((*byte)(pointer(data)), size))
	return t, nil
}

func (s *Session) describe(count, name, typeInfo fn) ([]Info, []uintptr, error) {
	l := s.lib
	n, err := l.create(count, s.handle)
	if err != nil {
		return nil, nil, err
	}
	infos, names := make([]Info, n), make([]uintptr, 0, n)
	for i := range infos {
		p, err := l.create(name, s.handle, uintptr(i), l.allocator)
		if err != nil {
			return nil, names, err
		}
		names = append(names, p)
		infos[i].Name = goString(p)
		t, err := l.create(typeInfo, s.handle, uintptr(i))
		if err != nil {
			return nil, names, err
		}
		infos[i].Type, infos[i].Shape, err = l.typeInfo(t)
		l.release(fnReleaseTypeInfo, t)
		if err != nil {
			return nil, names, fmt.Errorf("%q: %w", infos[i].Name, err)
		}
	}
	return infos, names, nil
}

func (l *Library) typeInfo(info uintptr) (graph.ElemType, []int64, error) {
	tensor, err := l.create(fnCastTypeInfoToTensorInfo, info) // a part of info, not released
	if err != nil {
		return 0, nil, err
	}
	if tensor == 0 {
		return 0, nil, errors.New("only tensors are supported")
	}
	return l.typeAndShape(tensor)
}

func (l *Library) typeAndShape(info uintptr) (graph.ElemType, []int64, error) {
	elem, err := l.create(fnGetTensorElementType, info)
	if err != nil {
		return 0, nil, err
	}
	n, err := l.create(fnGetDimensionsCount, info)
	if err != nil || n == 0 {
		return graph.ElemType(int32(elem)), nil, err
	}
	shape := make([]int64, n)
	err = l.call(fnGetDimensions, info, uintptr(unsafe.Pointer(&shape[0])), n)
	return graph.ElemType(int32(elem)), shape, err
}
