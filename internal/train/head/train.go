package head

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/musher/musher/internal/onnx/ort"
)

// Epoch is what is known after an epoch.
type Epoch struct {
	N         int     // 1, 2, …
	TrainLoss float64 // mean over the epoch's steps, as they came
	Valid     Score
}

// better says whether e is to be kept rather than o: higher accuracy, then lower loss.
func (e Epoch) better(o Epoch) bool {
	if e.Valid.Accuracy != o.Valid.Accuracy {
		return e.Valid.Accuracy > o.Valid.Accuracy
	}
	return e.Valid.Loss < o.Valid.Loss
}

// ErrDiverged is returned when the loss is no longer a number.
var ErrDiverged = errors.New("training diverged")

// Result is a finished training.
type Result struct {
	Head    *Head
	Kept    Epoch // the epoch whose weights Head has
	Epochs  []Epoch
	Stopped bool // each said stop, or early stopping did
}

// Train trains a head. After each epoch it calls each; when that says false,
// training ends with the weights it has.
func Train(lib *ort.Library, c Config, classes int, train, valid Data, each func(Epoch) bool) (*Result, error) {
	t, err := newTrainer(lib, c, classes, train, valid)
	if err != nil {
		return nil, fmt.Errorf("train head: %w", err)
	}
	defer t.close()
	r := &Result{}
	var best [][]float32 // parameters of r.Kept, when early stopping is on
	for e := 1; e <= c.Epochs && !r.Stopped; e++ {
		epoch, err := t.epoch(e)
		if err != nil {
			return nil, fmt.Errorf("train head: %w", err)
		}
		first := len(r.Epochs) == 0
		r.Epochs = append(r.Epochs, epoch)
		if c.EarlyStopping == nil {
			r.Kept = epoch
		} else if first || epoch.better(r.Kept) {
			r.Kept, best = epoch, t.copyParams()
		}
		goOn := each(epoch)
		r.Stopped = !goOn || c.EarlyStopping.stops(r.Epochs)
	}
	if best == nil {
		best = t.now().params
	}
	r.Head = fold(t.n, best, t.std)
	return r, nil
}

// stops says whether the last epochs were all without an improvement.
func (s *EarlyStopping) stops(epochs []Epoch) bool {
	if s == nil || len(epochs) < s.MinEpochs {
		return false
	}
	best, since := math.Inf(-1), 0
	for _, e := range epochs {
		since++
		if acc := e.Valid.Accuracy; math.IsInf(best, -1) || acc > best*(1+s.Tolerance) {
			best, since = acc, 0
		}
	}
	return since >= max(s.Patience, 1)
}

// state is one set of buffers: the parameters and the optimiser's moments.
type state struct {
	params  [][]float32
	moments [][]float32
}

// trainer holds the step graph and everything bound to it.
type trainer struct {
	c            Config
	n            network
	train, valid Data
	std          *standardizer
	session      *ort.Session
	scorer       *scorer
	optimizer    optimizer

	order   []int // the training photos as this epoch takes them
	states  [2]state
	current int // which of states holds the newest
	steps   int // taken so far
	scalars [][]float32
	loss    []float32
	batches map[int]*batch // by size: the full one, and the last of an epoch
	drops   *dropper
}

func newTrainer(lib *ort.Library, c Config, classes int, train, valid Data) (_ *trainer, err error) {
	if err := errors.Join(c.check(), train.check(classes), valid.check(classes)); err != nil {
		return nil, err
	}
	t := &trainer{
		c: c, train: train, valid: valid, batches: map[int]*batch{}, loss: make([]float32, 1),
		n:         network{len(train.Rows[0]), c.Hidden, classes},
		std:       identity(len(train.Rows[0])),
		optimizer: newOptimizer(c),
		order:     make([]int, len(train.Rows)),
		drops:     newDropper(c.Dropout, c.Seed),
	}
	if len(valid.Rows[0]) != t.n.dim {
		return nil, fmt.Errorf("training features of %d numbers, validation of %d", t.n.dim, len(valid.Rows[0]))
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	switch c.Standardize {
	case Scale:
		t.std = scale(train.Rows)
	case PerFeature:
		t.std = standardize(train.Rows)
	}
	for i := range t.order {
		t.order[i] = i
	}
	for range t.optimizer.values(1, 0) {
		t.scalars = append(t.scalars, make([]float32, 1))
	}
	t.allocate()
	t.initialize()
	model, err := t.n.stepGraph(c).Marshal()
	if err != nil {
		return nil, err
	}
	if t.session, err = lib.NewSession(model, ort.Options{IntraThreads: 1, InterThreads: 1}); err != nil {
		return nil, fmt.Errorf("step graph: %w", err)
	}
	t.scorer, err = newScorer(lib, t.n)
	return t, err
}

func (t *trainer) close() {
	for _, b := range t.batches {
		b.close()
	}
	if t.session != nil {
		t.session.Close()
	}
	if t.scorer != nil {
		t.scorer.close()
	}
}

func (t *trainer) allocate() {
	for i := range t.states {
		s := &t.states[i]
		for _, p := range t.n.params() {
			s.params = append(s.params, make([]float32, p.size()))
		}
		for range t.optimizer.count() {
			for _, p := range t.n.params() {
				s.moments = append(s.moments, make([]float32, p.size()))
			}
		}
	}
}

// initialize sets the first weights: zeros for softmax regression, whose loss
// is convex; He's for a hidden layer, whose units must differ, and small ones behind it.
func (t *trainer) initialize() {
	if t.n.hidden == 0 {
		return
	}
	r := rand.New(rand.NewPCG(t.c.Seed, streamInit))
	fill := func(w []float32, dev float64) {
		for i := range w {
			w[i] = float32(r.NormFloat64() * dev)
		}
	}
	params := t.now().params
	fill(params[0], math.Sqrt(2/float64(t.n.dim)))
	fill(params[2], math.Sqrt(1/float64(t.n.hidden)))
}

// Random streams, so that what one draws never shifts another.
const (
	streamInit = iota + 1
	streamShuffle
	streamDropout
)

func (t *trainer) now() state { return t.states[t.current] }

func (t *trainer) copyParams() [][]float32 {
	var out [][]float32
	for _, p := range t.now().params {
		out = append(out, slices.Clone(p))
	}
	return out
}

func (t *trainer) epoch(e int) (Epoch, error) {
	rand.New(rand.NewPCG(t.c.Seed, streamShuffle<<32|uint64(e))).
		Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
	var loss float64
	for from := 0; from < len(t.order); from += t.c.Batch {
		chosen := t.order[from:min(from+t.c.Batch, len(t.order))]
		done := float64(e-1) + float64(from)/float64(len(t.order))
		if err := t.step(chosen, t.c.LearningRate*t.c.Schedule.rate(done, t.c.Epochs)); err != nil {
			return Epoch{}, err
		}
		loss += float64(t.loss[0])
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return Epoch{}, fmt.Errorf("%w in epoch %d: the loss is %v; the learning rate %g is too high for this data and optimiser",
			ErrDiverged, e, loss, t.c.LearningRate)
	}
	score, err := t.scorer.score(t.std, t.valid, t.now().params, t.c.TopK)
	return Epoch{N: e, TrainLoss: loss / float64(len(t.order)), Valid: score}, err
}

func (t *trainer) step(chosen []int, rate float64) error {
	b, err := t.batch(len(chosen))
	if err != nil {
		return err
	}
	for k, i := range chosen {
		row := b.x[k*t.n.dim : (k+1)*t.n.dim]
		t.std.apply(row, t.train.Rows[i])
		if b.mask == nil {
			t.drops.apply(row)
		}
		b.y[k] = int64(t.train.Labels[i])
	}
	if b.mask != nil {
		t.drops.mask(b.mask)
	}
	t.steps++
	for i, v := range t.optimizer.values(t.steps, rate) {
		t.scalars[i][0] = v
	}
	if err := b.runs[t.current].Run(); err != nil {
		return fmt.Errorf("step graph: %w", err)
	}
	t.current = 1 - t.current
	return nil
}

// batch is the memory of a step of one size, bound in both directions.
type batch struct {
	x, mask, per []float32
	y            []int64
	runs         [2]*ort.Binding // from states[0] to states[1], and back
}

func (b *batch) close() {
	for _, r := range b.runs {
		if r != nil {
			r.Close()
		}
	}
}

// batch finds or makes the batch of n photos.
func (t *trainer) batch(n int) (*batch, error) {
	if b, ok := t.batches[n]; ok {
		return b, nil
	}
	b := &batch{x: make([]float32, n*t.n.dim), y: make([]int64, n), per: []float32{1 / float32(n)}}
	t.batches[n] = b
	in := []ort.Tensor{ort.Of(b.x, int64(n), int64(t.n.dim)), ort.Of(b.y, int64(n)), ort.Of(b.per, 1)}
	if t.n.masks(t.c) {
		b.mask = make([]float32, n*t.n.hidden)
		in = append(in, ort.Of(b.mask, int64(n), int64(t.n.hidden)))
	}
	for _, s := range t.scalars {
		in = append(in, ort.Of(s, 1))
	}
	for i := range b.runs {
		var err error
		b.runs[i], err = t.session.Bind(
			append(slices.Clip(in), t.tensors(t.states[i])...),
			append(t.tensors(t.states[1-i]), ort.Of(t.loss, 1)))
		if err != nil {
			return nil, fmt.Errorf("step graph: %w", err)
		}
	}
	return b, nil
}

// tensors lists a state as the step graph takes and gives it.
func (t *trainer) tensors(s state) []ort.Tensor {
	params := t.n.params()
	var out []ort.Tensor
	for i, v := range append(slices.Clip(s.params), s.moments...) {
		out = append(out, ort.Of(v, params[i%len(params)].dims...))
	}
	return out
}

// dropper leaves out a share of numbers and scales the others up, so that the
// expectation stays.
type dropper struct {
	r     *rand.PCG
	below uint64 // of 2^16
	scale float32
}

func newDropper(share float64, seed uint64) *dropper {
	d := &dropper{r: rand.NewPCG(seed, streamDropout), below: uint64(math.Round(share * (1 << 16)))}
	if d.below >= 1<<16 {
		d.below = 1<<16 - 1
	}
	d.scale = float32(1 / (1 - float64(d.below)/(1<<16)))
	return d
}

// apply drops from row in place.
func (d *dropper) apply(row []float32) {
	if d.below == 0 {
		return
	}
	d.each(len(row), func(i int, f float32) { row[i] *= f })
}

// mask fills m with 0 and the scale.
func (d *dropper) mask(m []float32) {
	d.each(len(m), func(i int, f float32) { m[i] = f })
}

// each draws n factors, four from each random word.
func (d *dropper) each(n int, f func(i int, factor float32)) {
	var word uint64
	for i := range n {
		if i%4 == 0 {
			word = d.r.Uint64()
		}
		factor := d.scale
		if word&0xffff < d.below {
			factor = 0
		}
		word >>= 16
		f(i, factor)
	}
}
