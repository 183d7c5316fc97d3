package head

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/musher/musher/internal/onnx/ort"
)

func load(t testing.TB) *ort.Library {
	t.Helper()
	path := os.Getenv("MUSHER_ONNXRUNTIME")
	if path == "" {
		t.Skip("MUSHER_ONNXRUNTIME does not name a libonnxruntime")
	}
	lib, err := ort.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lib.Close(); err != nil {
			t.Error(err)
		}
	})
	return lib
}

// blobs draws points around a centre for each class; far apart they are easy.
func blobs(n, dim, classes int, apart float64, seed uint64) Data {
	r := rand.New(rand.NewPCG(7, 7)) // the centres do not depend on the seed
	centres := make([][]float64, classes)
	for c := range centres {
		centres[c] = make([]float64, dim)
		for i := range centres[c] {
			centres[c][i] = apart * r.NormFloat64()
		}
	}
	r = rand.New(rand.NewPCG(seed, 1))
	var d Data
	for range n {
		c := r.IntN(classes)
		row := make([]float32, dim)
		for i := range row {
			row[i] = float32(3 + centres[c][i] + r.NormFloat64())
		}
		d.Rows, d.Labels = append(d.Rows, row), append(d.Labels, c)
	}
	return d
}

func config() Config {
	return Config{
		Optimizer: AdamW, Epochs: 5, Batch: 16, LearningRate: 0.01, Momentum: 0.9, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
		WeightDecay: 0.01, Standardize: PerFeature, Seed: 1,
	}
}

func goOn(Epoch) bool { return true }

// reference is the same training in plain Go and float64, written from the
// definitions in the package comment.
type reference struct {
	c       Config
	n       network
	params  [][]float64
	m, v    [][]float64
	t       int
	dropper *dropper
}

func newReference(t *trainer) *reference {
	r := &reference{c: t.c, n: t.n, dropper: newDropper(t.c.Dropout, t.c.Seed)}
	for _, p := range t.now().params {
		w := make([]float64, len(p))
		for i, v := range p {
			w[i] = float64(v)
		}
		r.params = append(r.params, w)
		r.m, r.v = append(r.m, make([]float64, len(p))), append(r.v, make([]float64, len(p)))
	}
	return r
}

// step is one step on rows x with labels y; it returns the sum of the losses.
func (r *reference) step(x [][]float64, y []int, rate float64) float64 {
	masks := r.masks(len(x))
	grads := make([][]float64, len(r.params))
	for i, p := range r.params {
		grads[i] = make([]float64, len(p))
	}
	loss := 0.0
	for i := range x {
		loss += r.gradient(x[i], masks[i], y[i], float64(len(x)), grads)
	}
	r.t++
	for i := range r.params {
		for k := range r.params[i] {
			r.update(i, k, grads[i][k], rate)
		}
	}
	return loss
}

// masks draws dropout as the trainer does: over features, or over hidden units.
func (r *reference) masks(n int) [][]float64 {
	width := r.n.dim
	if r.n.hidden > 0 {
		width = r.n.hidden
	}
	flat := make([]float32, n*width)
	for i := range flat {
		flat[i] = 1
	}
	if r.n.hidden > 0 && r.c.Dropout > 0 {
		r.dropper.mask(flat)
	}
	out := make([][]float64, n)
	for i := range out {
		if r.n.hidden == 0 {
			r.dropper.apply(flat[i*width : (i+1)*width])
		}
		for _, v := range flat[i*width : (i+1)*width] {
			out[i] = append(out[i], float64(v))
		}
	}
	return out
}

// gradient adds one photo's share, by the chain rule, and returns its loss.
func (r *reference) gradient(x, mask []float64, label int, batch float64, grads [][]float64) float64 {
	var input []float64
	last := 0
	var pre []float64
	if r.n.hidden > 0 {
		pre, last = layer(x, r.params[0], r.params[1]), 2
		input = make([]float64, len(pre))
		for i, v := range pre {
			input[i] = max(v, 0) * mask[i]
		}
	} else {
		input = make([]float64, len(x))
		for i := range x {
			input[i] = x[i] * mask[i]
		}
	}
	z := layer(input, r.params[last], r.params[last+1])
	top, sum := slices.Max(z), 0.0
	for _, v := range z {
		sum += math.Exp(v - top)
	}
	loss := 0.0
	delta := make([]float64, len(z))
	for c, v := range z {
		target := r.c.LabelSmoothing / float64(len(z))
		if c == label {
			target += 1 - r.c.LabelSmoothing
		}
		logp := v - top - math.Log(sum)
		loss -= target * logp
		delta[c] = (math.Exp(logp) - target) / batch
	}
	accumulate(grads[last], grads[last+1], input, delta)
	if r.n.hidden > 0 {
		back := make([]float64, len(pre))
		for i := range back {
			for c, d := range delta {
				back[i] += r.params[2][i*len(delta)+c] * d
			}
			back[i] *= mask[i]
			if pre[i] <= 0 {
				back[i] = 0
			}
		}
		accumulate(grads[0], grads[1], x, back)
	}
	return loss
}

func layer(x, w, b []float64) []float64 {
	y := slices.Clone(b)
	for i, v := range x {
		for j := range y {
			y[j] += v * w[i*len(y)+j]
		}
	}
	return y
}

func accumulate(w, b, in, delta []float64) {
	for j, d := range delta {
		b[j] += d
		for i, v := range in {
			w[i*len(delta)+j] += v * d
		}
	}
}

// update changes parameter k of tensor i; odd tensors are biases.
func (r *reference) update(i, k int, g, rate float64) {
	w, decay := &r.params[i][k], r.c.WeightDecay
	if i%2 == 1 {
		decay = 0
	}
	if r.c.Optimizer != AdamW {
		g += decay * *w
	}
	m, v := &r.m[i][k], &r.v[i][k]
	switch r.c.Optimizer {
	case SGD:
		*m = r.c.Momentum**m + g
		*w -= rate * *m
	case NAG:
		*m = r.c.Momentum**m + g
		*w -= rate * (g + r.c.Momentum**m)
	case AdamW:
		*w *= 1 - rate*decay
		fallthrough
	case Adam:
		*m = r.c.Beta1**m + (1-r.c.Beta1)*g
		*v = r.c.Beta2**v + (1-r.c.Beta2)*g*g
		mh := *m / (1 - math.Pow(r.c.Beta1, float64(r.t)))
		vh := *v / (1 - math.Pow(r.c.Beta2, float64(r.t)))
		*w -= rate * mh / (math.Sqrt(vh) + r.c.Eps)
	}
}

// TestStepsAgainstPlainGo takes the same steps in ONNX Runtime and in Go.
func TestStepsAgainstPlainGo(t *testing.T) {
	lib := load(t)
	train := blobs(40, 6, 3, 1, 1)
	for _, optimizer := range Optimizers() {
		for _, hidden := range []int{0, 5} {
			for name, change := range map[string]func(*Config){
				"plain":     func(c *Config) { c.WeightDecay = 0 },
				"decay":     func(c *Config) { c.WeightDecay = 0.3 },
				"smoothing": func(c *Config) { c.LabelSmoothing = 0.2 },
				"dropout":   func(c *Config) { c.Dropout = 0.4 },
			} {
				t.Run(fmt.Sprintf("%s/%d/%s", optimizer, hidden, name), func(t *testing.T) {
					c := config()
					c.Optimizer, c.Hidden = optimizer, hidden
					change(&c)
					compareSteps(t, lib, c, train)
				})
			}
		}
	}
}

func compareSteps(t *testing.T, lib *ort.Library, c Config, train Data) {
	tr, err := newTrainer(lib, c, 3, train, train)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	ref := newReference(tr)
	for step, size := range []int{16, 16, 8, 16, 1, 16} {
		rate := 0.01 * float64(step+1)
		var chosen, labels []int
		var x [][]float64
		for k := range size {
			i := (step*7 + k*3) % len(train.Rows)
			row := make([]float32, tr.n.dim)
			tr.std.apply(row, train.Rows[i])
			wide := make([]float64, len(row))
			for j, v := range row {
				wide[j] = float64(v)
			}
			chosen, labels, x = append(chosen, i), append(labels, train.Labels[i]), append(x, wide)
		}
		if err := tr.step(chosen, rate); err != nil {
			t.Fatal(err)
		}
		want := ref.step(x, labels, rate)
		if got := float64(tr.loss[0]); math.Abs(got-want) > 1e-4*max(want, 1) {
			t.Errorf("step %d: loss %v, want %v", step, got, want)
		}
		for i, p := range tr.now().params {
			for k, v := range p {
				if w := ref.params[i][k]; math.Abs(float64(v)-w) > 2e-4*max(math.Abs(w), 1) {
					t.Fatalf("step %d: parameter %d[%d] is %v, want %v", step, i, k, v, w)
				}
			}
		}
	}
}

func TestLearns(t *testing.T) {
	lib := load(t)
	train, valid := blobs(600, 20, 5, 2, 1), blobs(200, 20, 5, 2, 2)
	for _, hidden := range []int{0, 32} {
		for _, optimizer := range Optimizers() {
			c := config()
			c.Hidden, c.Optimizer = hidden, optimizer
			r, err := Train(lib, c, 5, train, valid, goOn)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Epochs) != 5 || r.Kept != r.Epochs[4] || r.Kept.Valid.Accuracy < 0.97 {
				t.Errorf("%d hidden units, %s: %+v", hidden, optimizer, r.Epochs)
			}
			if first, last := r.Epochs[0].TrainLoss, r.Epochs[4].TrainLoss; last >= first {
				t.Errorf("the loss goes from %v to %v", first, last)
			}
		}
	}
}

// TestTheHeadTakesRawFeatures checks the folding: scores of the finished head on
// raw features are those of training on standardised ones.
func TestTheHeadTakesRawFeatures(t *testing.T) {
	lib := load(t)
	train, valid := blobs(300, 20, 5, 0.3, 1), blobs(100, 20, 5, 0.3, 2)
	for i := range train.Rows { // one feature never changes, one is huge
		train.Rows[i][0], train.Rows[i][1] = 7, train.Rows[i][1]*1e4
	}
	for i := range valid.Rows {
		valid.Rows[i][0], valid.Rows[i][1] = 7, valid.Rows[i][1]*1e4
	}
	for i, hidden := range []int{0, 8, 0} {
		c := config()
		c.Hidden, c.TopK, c.Standardize = hidden, 2, Standardizations()[i]
		r, err := Train(lib, c, 5, train, valid, goOn)
		if err != nil {
			t.Fatal(err)
		}
		score, err := r.Head.Evaluate(lib, valid, 2)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r.Kept.Valid, score, cmpopts.EquateApprox(1e-3, 0)); d != "" {
			t.Errorf("%d hidden units: %s", hidden, d)
		}
		if score.TopK < score.Accuracy {
			t.Errorf("%+v", score)
		}
		compareGraph(t, lib, r.Head, valid)
	}
}

// compareGraph runs the head's graph against the head in Go.
func compareGraph(t *testing.T, lib *ort.Library, h *Head, d Data) {
	t.Helper()
	b, err := h.Graph(17).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := lib.NewSession(b, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, row := range d.Rows[:10] {
		out := make([]float32, h.Classes())
		if err := s.Run(t.Context(), []ort.Tensor{ort.Of(row, 1, int64(len(row)))}, []ort.Tensor{ort.Of(out, 1, int64(len(out)))}); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for c, want := range h.LogProbabilities(row) {
			if math.Abs(float64(out[c])-want) > 1e-3 {
				t.Fatalf("class %d: %v, want %v", c, out[c], want)
			}
			sum += math.Exp(float64(out[c]))
		}
		if math.Abs(sum-1) > 1e-4 {
			t.Errorf("probabilities sum to %v", sum)
		}
	}
}

func TestTheSeedDecides(t *testing.T) {
	lib := load(t)
	train, valid := blobs(100, 10, 3, 0.3, 1), blobs(50, 10, 3, 0.3, 2)
	c := config()
	c.Hidden, c.Dropout = 8, 0.3
	run := func(seed uint64) [][]float32 {
		c.Seed = seed
		r, err := Train(lib, c, 3, train, valid, goOn)
		if err != nil {
			t.Fatal(err)
		}
		return r.Head.params
	}
	if !cmp.Equal(run(1), run(1)) {
		t.Error("the same seed gives other weights")
	}
	if cmp.Equal(run(1), run(2)) {
		t.Error("another seed gives the same weights")
	}
}

func TestStopping(t *testing.T) {
	lib := load(t)
	train, valid := blobs(100, 10, 3, 1, 1), blobs(50, 10, 3, 1, 2)
	c := config()
	c.Epochs = 100

	r, err := Train(lib, c, 3, train, valid, func(e Epoch) bool { return e.N < 3 })
	if err != nil || len(r.Epochs) != 3 || !r.Stopped || r.Kept.N != 3 {
		t.Errorf("%v, %+v", err, r)
	}

	c.EarlyStopping = &EarlyStopping{MinEpochs: 4, Patience: 2}
	r, err = Train(lib, c, 3, train, valid, goOn)
	if err != nil {
		t.Fatal(err)
	}
	best := r.Epochs[0]
	for _, e := range r.Epochs {
		if e.better(best) {
			best = e
		}
	}
	if n := len(r.Epochs); n == 100 || n < 4 || r.Kept != best {
		t.Errorf("%d epochs, kept %d, best %d", n, r.Kept.N, best.N)
	}
	score, err := r.Head.Evaluate(lib, valid, 0)
	if err != nil || math.Abs(score.Loss-best.Valid.Loss) > 1e-3 {
		t.Errorf("the head's loss is %v, the best epoch's %v (%v)", score.Loss, best.Valid.Loss, err)
	}
}

func TestEarlyStoppingRule(t *testing.T) {
	cases := []struct {
		accuracies string
		rule       EarlyStopping
		stops      bool
	}{
		{"1 2 3", EarlyStopping{Patience: 1}, false},
		{"1 2 2", EarlyStopping{Patience: 1}, true},
		{"1 2 2", EarlyStopping{Patience: 2}, false},
		{"1 2 1 2", EarlyStopping{Patience: 2}, true},
		{"1 2 1 2", EarlyStopping{Patience: 2, MinEpochs: 5}, false},
		{"100 101 102", EarlyStopping{Patience: 2, Tolerance: 0.05}, true},
		{"0 0", EarlyStopping{Patience: 1}, true},
	}
	for _, c := range cases {
		var epochs []Epoch
		for i, a := range strings.Fields(c.accuracies) {
			var acc float64
			if _, err := fmt.Sscan(a, &acc); err != nil {
				t.Fatal(err)
			}
			epochs = append(epochs, Epoch{N: i + 1, Valid: Score{Accuracy: acc}})
		}
		if got := c.rule.stops(epochs); got != c.stops {
			t.Errorf("%s, %+v: %v", c.accuracies, c.rule, got)
		}
	}
	if (*EarlyStopping)(nil).stops(make([]Epoch, 1000)) {
		t.Error("stopped without a rule")
	}
}

func TestSchedule(t *testing.T) {
	steps := Schedule{Factor: 0.1, Epochs: []int{2, 4}}
	cases := []struct {
		s    Schedule
		done float64
		want float64
	}{
		{Schedule{}, 3, 1},
		{steps, 1.99, 1}, {steps, 2, 0.1}, {steps, 4, 0.01},
		{Schedule{Cosine: true}, 0, 1}, {Schedule{Cosine: true}, 5, 0.5}, {Schedule{Cosine: true}, 10, 0},
	}
	for _, c := range cases {
		if got := c.s.rate(c.done, 10); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v after %v epochs: %v, want %v", c.s, c.done, got, c.want)
		}
	}
}

func TestDropoutKeepsTheExpectation(t *testing.T) {
	const n = 200_000
	m := make([]float32, n)
	newDropper(0.3, 1).mask(m)
	var sum float64
	zeros := 0
	for _, v := range m {
		sum += float64(v)
		if v == 0 {
			zeros++
		}
	}
	if math.Abs(sum/n-1) > 0.01 || math.Abs(float64(zeros)/n-0.3) > 0.01 {
		t.Errorf("mean %v, %v left out", sum/n, float64(zeros)/n)
	}
}

func TestDivergence(t *testing.T) {
	c := config()
	c.Optimizer, c.LearningRate, c.Hidden, c.Momentum = SGD, 1e20, 8, 0
	d := blobs(100, 10, 3, 1, 1)
	_, err := Train(load(t), c, 3, d, d, goOn)
	if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "1e+20 is too high") {
		t.Errorf("got %v", err)
	}
}

func TestWrongArguments(t *testing.T) {
	lib, good := load(t), blobs(10, 4, 2, 1, 1)
	cases := map[string]struct {
		change       func(*Config)
		train, valid Data
	}{
		"optimizer":     {func(c *Config) { c.Optimizer = "lbfgs" }, good, good},
		"epochs":        {func(c *Config) { c.Epochs = 0 }, good, good},
		"learning rate": {func(c *Config) { c.LearningRate = math.NaN() }, good, good},
		"dropout":       {func(c *Config) { c.Dropout = 1 }, good, good},
		"no data":       {func(*Config) {}, Data{}, good},
		"no validation": {func(*Config) {}, good, Data{}},
		"label":         {func(*Config) {}, Data{good.Rows[:1], []int{2}}, good},
		"ragged":        {func(*Config) {}, Data{[][]float32{{1}, {1, 2}}, []int{0, 1}}, good},
		"widths":        {func(*Config) {}, good, blobs(10, 5, 2, 1, 1)},
	}
	for name, c := range cases {
		cfg := config()
		c.change(&cfg)
		if _, err := Train(lib, cfg, 2, c.train, c.valid, goOn); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// BenchmarkEpoch is the size that the design's prototypes were measured at.
func BenchmarkEpoch(b *testing.B) {
	lib := load(b)
	r := rand.New(rand.NewPCG(1, 1))
	d := Data{}
	for range 10_000 {
		row := make([]float32, 1280)
		for i := range row {
			row[i] = r.Float32()
		}
		d.Rows, d.Labels = append(d.Rows, row), append(d.Labels, r.IntN(133))
	}
	for _, optimizer := range Optimizers() {
		b.Run(optimizer, func(b *testing.B) {
			c := config()
			c.Optimizer, c.Batch = optimizer, 64
			t, err := newTrainer(lib, c, 133, d, Data{d.Rows[:1], d.Labels[:1]})
			if err != nil {
				b.Fatal(err)
			}
			defer t.close()
			before := cpu(b)
			for e := 1; b.Loop(); e++ {
				if _, err := t.epoch(e); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpu(b)-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// cpu is the processor time that the process has used: what stays comparable
// on a machine that has other work too.
func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
