package ort

import (
	"errors"
	"fmt"
	"runtime"
)

// Binding is a run prepared once for slices that are used again and again: it
// costs only the call itself. It belongs to one goroutine at a time.
type Binding struct {
	call *prepared
	pins runtime.Pinner
}

// Bind prepares a run over the given tensors, whose memory it keeps in place
// until Close. All outputs must be given.
func (s *Session) Bind(in, out []Tensor) (*Binding, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.handle == 0 {
		return nil, fmt.Errorf("bind model: %w", ErrClosed)
	}
	for i := range out {
		if out[i].data == nil {
			return nil, errors.New("bind model: an output has no memory")
		}
	}
	b := &Binding{}
	var err error
	if b.call, err = s.prepare(&b.pins, in, out); err != nil {
		b.pins.Unpin()
		return nil, fmt.Errorf("bind model: %w", err)
	}
	return b, nil
}

// Run computes the outputs from what the inputs hold now.
func (b *Binding) Run() error {
	if b.call == nil {
		return fmt.Errorf("run model: %w", ErrClosed)
	}
	s := b.call.s
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.handle == 0 {
		return fmt.Errorf("run model: %w", ErrClosed)
	}
	if err := b.call.run(0); err != nil {
		return fmt.Errorf("run model: %w", err)
	}
	return nil
}

// Close gives the memory free. Closing twice does nothing.
func (b *Binding) Close() {
	if b.call == nil {
		return
	}
	lib := b.call.lib
	lib.releaseValues(b.call.in)
	lib.releaseValues(b.call.out)
	b.call = nil
	b.pins.Unpin()
}
