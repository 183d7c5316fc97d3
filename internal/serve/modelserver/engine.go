package modelserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/musher/musher/internal/model"
	"github.com/musher/musher/internal/onnx/graph"
	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/serve/batch"
	"github.com/musher/musher/internal/vision"
)

// engine turns photos into log probabilities: the model, and the two stages of
// work in front of it.
type engine struct {
	info    *model.Info
	plan    plan
	lib     *ort.Library
	session *ort.Session
	decoder *vision.Decoder

	decode *batch.Batcher[*job]
	infer  *batch.Batcher[*job]

	tensors chan []float32 // those that are free
	// joined is each worker's input and output for batches of several photos.
	joined []joined
}

type joined struct{ in, out []float32 }

// job is a photo on its way.
type job struct {
	gone   <-chan struct{} // closed when nobody waits for it any more
	photo  []byte
	tensor []float32 // [3,S,S]
	logp   []float32 // [C]
}

// openEngine loads the model folder and runs the network once.
func openEngine(ctx context.Context, c Config, m *metrics) (e *engine, err error) {
	e = &engine{}
	defer func() {
		if err != nil {
			e.close(ctx)
			e = nil
		}
	}()
	if e.info, err = model.Read(c.Model); err != nil {
		return e, fmt.Errorf("model folder %s: %w", c.Model, err)
	}
	e.plan = newPlan(c, e.info.Serving)
	if c.Library == "" {
		return e, errors.New("no ONNX Runtime library is named (MUSHER_ONNXRUNTIME)")
	}
	if e.lib, err = ort.Load(c.Library); err != nil {
		return e, err
	}
	if e.session, err = e.open(c.Model); err != nil {
		return e, fmt.Errorf("model folder %s: %s: %w", c.Model, model.File, err)
	}
	if e.decoder, err = vision.NewDecoder(vision.Options{}); err != nil {
		return e, err
	}
	e.prepare(c, m)
	if err := e.warmUp(ctx); err != nil {
		return e, fmt.Errorf("model folder %s: %s does not run: %w", c.Model, model.File, err)
	}
	return e, nil
}

// open makes the session and checks that it is the model that model.json describes.
func (e *engine) open(dir string) (*ort.Session, error) {
	path := filepath.Join(dir, model.File)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, model.ErrMissing
	}
	options := ort.Options{IntraThreads: e.plan.threads, InterThreads: 1}
	if e.plan.threads > 1 {
		// Threads that spin while they wait take the core from the decoders.
		options.Config = map[string]string{"session.intra_op.allow_spinning": "0"}
	}
	s, err := e.lib.OpenSession(path, options)
	if err != nil {
		return nil, err
	}
	if err := e.check(s.Inputs(), s.Outputs()); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// check compares the network's shapes with the labels and the preprocessing. A
// network made for a single photo limits the batch to one.
func (e *engine) check(in, out []ort.Info) error {
	side, classes := int64(e.info.Preprocess.Crop), int64(len(e.info.Labels))
	fits := func(d, want int64) bool { return d < 0 || d == want }
	if len(in) != 1 || in[0].Type != graph.Float || len(in[0].Shape) != 4 ||
		!fits(in[0].Shape[1], 3) || !fits(in[0].Shape[2], side) || !fits(in[0].Shape[3], side) {
		return fmt.Errorf("its input is %s; %s asks for one of float32 [N,3,%d,%d]", shapes(in), model.InfoFile, side, side)
	}
	if len(out) != 1 || out[0].Type != graph.Float || len(out[0].Shape) != 2 {
		return fmt.Errorf("its output is %s; one of float32 [N,C] is expected", shapes(out))
	}
	if got := out[0].Shape[1]; !fits(got, classes) {
		return fmt.Errorf("it has %d classes, but %s names %d labels", got, model.InfoFile, classes)
	}
	switch n := in[0].Shape[0]; n {
	case -1:
	case 1:
		e.plan.maxBatch = 1
	default:
		return fmt.Errorf("its input is made for %d photos at a time; any number, or one, is expected", n)
	}
	return nil
}

func shapes(infos []ort.Info) string {
	text := ""
	for i, in := range infos {
		if i > 0 {
			text += " and "
		}
		text += fmt.Sprintf("%v %v", in.Type, in.Shape)
	}
	return text
}

// prepare makes the stages and their memory.
func (e *engine) prepare(c Config, m *metrics) {
	p := e.plan
	e.tensors = make(chan []float32, p.tensors)
	for range p.tensors {
		e.tensors <- nil // made when it is first used
	}
	e.joined = make([]joined, p.workers)
	e.decode = batch.New(batch.Options{Workers: p.decoders, MaxQueue: c.MaxQueue, Observe: m.decoded}, e.runDecode)
	e.infer = batch.New(batch.Options{Workers: p.workers, MaxBatch: p.maxBatch, MaxQueue: p.tensors, Observe: m.inferred}, e.runInfer)
}

// warmUp runs the network on black photos in all workers at once, and in a full
// batch: what ONNX Runtime puts off until the first run is then done, and the
// output is what it should be.
func (e *engine) warmUp(ctx context.Context) error {
	black := func() *job {
		return &job{tensor: make([]float32, e.info.Preprocess.Len()), logp: make([]float32, len(e.info.Labels))}
	}
	g, ctx := errgroup.WithContext(ctx)
	for range e.plan.workers {
		g.Go(func() error { return e.infer.Do(ctx, black()) })
	}
	if err := g.Wait(); err != nil || e.plan.maxBatch == 1 {
		return err
	}
	full := make([]*job, e.plan.maxBatch)
	for i := range full {
		full[i] = black()
	}
	return e.runInfer(0, full)
}

// classify gives the log probabilities of a photo. The bytes are not used any
// more when it returns.
func (e *engine) classify(ctx context.Context, photo []byte) ([]float32, error) {
	j := &job{gone: ctx.Done(), photo: photo, logp: make([]float32, len(e.info.Labels))}
	if err := e.decode.Do(ctx, j); err != nil {
		return nil, err
	}
	defer func() { e.tensors <- j.tensor }()
	if err := e.infer.Do(ctx, j); err != nil {
		return nil, err
	}
	return j.logp, nil
}

// runDecode waits for a free tensor and fills it: there is no use in decoding
// faster than the network runs.
func (e *engine) runDecode(_ int, jobs []*job) (err error) {
	j := jobs[0]
	var tensor []float32
	select {
	case tensor = <-e.tensors:
	case <-j.gone:
		return context.Canceled
	}
	defer func() {
		if j.tensor == nil {
			e.tensors <- tensor
		}
	}()
	if tensor == nil {
		tensor = make([]float32, e.info.Preprocess.Len())
	}
	if err := e.decoder.Load(j.photo, e.info.Preprocess, tensor); err != nil {
		return err
	}
	j.tensor = tensor
	return nil
}

// runInfer runs the network once. A single photo is computed in place; several
// are put next to each other first.
func (e *engine) runInfer(worker int, jobs []*job) error {
	if len(jobs) == 1 {
		return e.run(jobs[0].tensor, jobs[0].logp, 1)
	}
	n, length, classes := len(jobs), e.info.Preprocess.Len(), len(e.info.Labels)
	to := &e.joined[worker]
	if to.in == nil {
		to.in, to.out = make([]float32, e.plan.maxBatch*length), make([]float32, e.plan.maxBatch*classes)
	}
	for i, j := range jobs {
		copy(to.in[i*length:], j.tensor)
	}
	if err := e.run(to.in[:n*length], to.out[:n*classes], n); err != nil {
		return err
	}
	for i, j := range jobs {
		copy(j.logp, to.out[i*classes:][:classes])
	}
	return nil
}

var errNaN = errors.New("the model's answer is not a number")

func (e *engine) run(in, out []float32, n int) error {
	side := int64(e.info.Preprocess.Crop)
	err := e.session.Run(context.Background(),
		[]ort.Tensor{ort.Of(in, int64(n), 3, side, side)},
		[]ort.Tensor{ort.Of(out, int64(n), int64(len(e.info.Labels)))})
	if err != nil {
		return err
	}
	for i, p := range out {
		switch {
		case p != p:
			return errNaN
		case math.IsInf(float64(p), -1):
			out[i] = -math.MaxFloat32 // JSON has no infinity
		}
	}
	return nil
}

// close finishes what is under way, as long as ctx lasts, and gives the model free.
func (e *engine) close(ctx context.Context) {
	for _, stage := range []*batch.Batcher[*job]{e.decode, e.infer} {
		if stage != nil && stage.Close(ctx) != nil {
			return // still at work: the memory stays until the process ends
		}
	}
	if e.session != nil {
		e.session.Close()
	}
	if e.lib != nil {
		_ = e.lib.Close() // its only session is closed
	}
}
