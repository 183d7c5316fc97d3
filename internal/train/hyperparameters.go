package train

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/musher/musher/internal/train/head"
)

// Hyperparameters are the settings of a training job, as typed values.
type Hyperparameters struct {
	// What is trained.
	Backbone    string
	Head        string // HeadLinear or HeadMLP
	HiddenUnits int
	Resize      int // shorter side before the crop, in pixels; 0: the backbone's own

	// How.
	Epochs         int
	BatchSize      int
	Optimizer      string
	LearningRate   float64
	Momentum       float64
	WeightDecay    float64
	Beta1, Beta2   float64
	Eps            float64
	LabelSmoothing float64
	Dropout        float64
	Schedule       string // ScheduleCosine, ScheduleConstant or ScheduleStep
	StepFactor     float64
	StepEpochs     []int
	Standardize    string
	Seed           uint64

	EarlyStopping          bool
	EarlyStoppingMinEpochs int
	EarlyStoppingPatience  int
	EarlyStoppingTolerance float64

	// What the data must be like; 0 where it was not said.
	NumClasses         int
	NumTrainingSamples int
	ImageShape         []int // channels, height, width
	ValidationFraction float64

	TopK int // 0: not reported

	// Remarks are lines for the log: settings that were given and change nothing.
	Remarks []string
}

// The values of head.
const (
	HeadLinear = "linear"
	HeadMLP    = "mlp"
)

// The values of lr_schedule.
const (
	ScheduleCosine   = "cosine"
	ScheduleConstant = "constant"
	ScheduleStep     = "step"
)

// DefaultBackbone is used when neither backbone nor num_layers names another.
const DefaultBackbone = "efficientnet-lite0"

// Parameter describes one hyperparameter, for documentation and for those who
// check values before a job starts.
type Parameter struct {
	Name, Values, Default, Meaning string
}

// row is a hyperparameter: how its text becomes a value, and when that value
// changes nothing.
type row struct {
	Parameter
	set    func(string) error // the error completes "NAME is VALUE: "
	unused func() string      // why the value changes nothing; "" when it does
}

// defaults is what a job without hyperparameters does.
func defaults() *Hyperparameters {
	return &Hyperparameters{
		Backbone: DefaultBackbone, Head: HeadLinear, HiddenUnits: 256,
		Epochs: 30, BatchSize: 64, Optimizer: head.SGD, Momentum: 0.9,
		Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
		Schedule: ScheduleCosine, StepFactor: 0.1, Standardize: head.Scale, Seed: 1,
		EarlyStoppingMinEpochs: 10, EarlyStoppingPatience: 5,
		ValidationFraction: 0.2,
	}
}

// Parse reads hyperparameters as a job's configuration holds them: text by
// name, where a text may be JSON-encoded once more ("\"64\""), as SDKs do.
// Everything is optional. The error, always the user's, names what is wrong
// and what would be right.
func Parse(values map[string]string) (*Hyperparameters, error) {
	h := defaults()
	table := h.table()
	byName := map[string]row{}
	for _, r := range table {
		byName[r.Name] = r
	}
	given := map[string]string{} // by the name in the table
	for _, name := range slices.Sorted(maps.Keys(values)) {
		known, err := canonical(name, byName)
		if err != nil {
			return nil, err
		}
		if known == "" { // meant for others
			continue
		}
		if _, twice := given[known]; twice {
			return nil, userf("hyperparameters %s and %s are two names of one: give only one of them", known, name)
		}
		given[known] = unquote(values[name])
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := byName[name].set(given[name]); err != nil {
			return nil, userf("hyperparameter %s is %q: %w", name, given[name], err)
		}
	}
	if err := h.settle(given); err != nil {
		return nil, err
	}
	for _, r := range table {
		if _, ok := given[r.Name]; ok && r.unused != nil {
			if why := r.unused(); why != "" {
				h.Remarks = append(h.Remarks, fmt.Sprintf("hyperparameter %s has no effect: %s", r.Name, why))
			}
		}
	}
	return h, nil
}

// Parameters lists every hyperparameter.
func Parameters() []Parameter {
	var out []Parameter
	for _, r := range defaults().table() {
		out = append(out, r.Parameter)
	}
	return out
}

// aliases are other names that people know from neighbouring algorithms.
var aliases = map[string]string{
	"batch_size":             "mini_batch_size",
	"dropout_rate":           "dropout",
	"validation_split_ratio": "validation_fraction",
}

// canonical finds the table's name of a hyperparameter; "" for those that are
// not meant for the algorithm.
func canonical(name string, table map[string]row) (string, error) {
	if _, ok := table[name]; ok {
		return name, nil
	}
	if known, ok := aliases[name]; ok {
		return known, nil
	}
	// What tuning jobs and SDKs add for their own purposes.
	if name == "_tuning_objective_metric" || strings.HasPrefix(name, "sagemaker_") {
		return "", nil
	}
	names := append(slices.Collect(maps.Keys(table)), slices.Collect(maps.Keys(aliases))...)
	if near := nearest(name, names); len(near) > 0 {
		return "", userf("hyperparameter %q is not known: did you mean %s?", name, strings.Join(near, " or "))
	}
	slices.Sort(names)
	return "", userf("hyperparameter %q is not known; there are %s", name, strings.Join(names, ", "))
}

// unquote takes off one layer of JSON, if there is one.
func unquote(text string) string {
	var s string
	if strings.HasPrefix(text, `"`) && json.Unmarshal([]byte(text), &s) == nil {
		return strings.TrimSpace(s)
	}
	return strings.TrimSpace(text)
}

// rates are the defaults that depend on the optimizer. They were chosen by
// validation accuracy and loss on photos of ten breeds of dog, 30 and 300 a
// breed, with EfficientNet-Lite0; features are scaled to a mean square of 1, so
// they should carry over to other backbones.
func rates(optimizer string) (learningRate, weightDecay float64) {
	switch optimizer {
	case head.AdamW:
		return 0.003, 1 // the decay is multiplied by the learning rate
	case head.Adam:
		return 0.003, 0.0001
	default:
		return 0.02, 0.03
	}
}

// settle works out what depends on several hyperparameters.
func (h *Hyperparameters) settle(given map[string]string) error {
	has := func(name string) bool { _, ok := given[name]; return ok }
	learningRate, weightDecay := rates(h.Optimizer)
	if !has("learning_rate") {
		h.LearningRate = learningRate
	}
	if !has("weight_decay") {
		h.WeightDecay = weightDecay
	}
	if has("num_layers") {
		resnet := "resnet" + given["num_layers"]
		if has("backbone") && h.Backbone != resnet {
			return userf("hyperparameters backbone (%s) and num_layers (%s, which means %s) disagree: give only one of them",
				h.Backbone, given["num_layers"], resnet)
		}
		h.Backbone = resnet
	}
	switch {
	case len(h.StepEpochs) > 0 && !has("lr_schedule"):
		h.Schedule = ScheduleStep
	case len(h.StepEpochs) > 0 && h.Schedule != ScheduleStep:
		return userf("hyperparameters lr_scheduler_step (%s) and lr_schedule (%s) disagree: steps need lr_schedule step",
			given["lr_scheduler_step"], h.Schedule)
	case len(h.StepEpochs) == 0 && h.Schedule == ScheduleStep:
		return userf("hyperparameter lr_schedule is step: name the epochs in lr_scheduler_step, such as 10,20")
	}
	return nil
}

// config is what the head's training takes.
func (h *Hyperparameters) config() head.Config {
	c := head.Config{
		Optimizer: h.Optimizer, Epochs: h.Epochs, Batch: h.BatchSize,
		LearningRate: h.LearningRate, Momentum: h.Momentum, Beta1: h.Beta1, Beta2: h.Beta2, Eps: h.Eps,
		WeightDecay: h.WeightDecay, LabelSmoothing: h.LabelSmoothing, Dropout: h.Dropout,
		Standardize: h.Standardize, Seed: h.Seed, TopK: h.TopK,
	}
	if h.Head == HeadMLP {
		c.Hidden = h.HiddenUnits
	}
	switch h.Schedule {
	case ScheduleCosine:
		c.Schedule.Cosine = true
	case ScheduleStep:
		c.Schedule = head.Schedule{Factor: h.StepFactor, Epochs: h.StepEpochs}
	}
	if h.EarlyStopping {
		c.EarlyStopping = &head.EarlyStopping{
			MinEpochs: h.EarlyStoppingMinEpochs, Patience: h.EarlyStoppingPatience, Tolerance: h.EarlyStoppingTolerance,
		}
	}
	return c
}

// Effective gives the values that a job works with, defaults filled in, by
// name; only those that matter for it.
func (h *Hyperparameters) Effective() map[string]string {
	out := map[string]string{}
	for _, r := range h.table() {
		if r.Default != "" && (r.unused == nil || r.unused() == "") {
			out[r.Name] = r.Default
		}
	}
	return out
}

// table is every hyperparameter, bound to the fields of h. The column Default is
// what h holds at the moment.
func (h *Hyperparameters) table() []row {
	sgd := func() string {
		if h.Optimizer == head.SGD || h.Optimizer == head.NAG {
			return ""
		}
		return "the optimizer is " + h.Optimizer
	}
	adam := func() string {
		if sgd() != "" {
			return ""
		}
		return "the optimizer is " + h.Optimizer
	}
	stopping := func() string {
		if h.EarlyStopping {
			return ""
		}
		return "early_stopping is off"
	}
	return []row{
		choice("backbone", &h.Backbone, "the frozen network that the head is trained on",
			"efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "resnet18", "resnet34", "resnet50"),
		choice("head", &h.Head, "softmax regression, or a network with one hidden layer", HeadLinear, HeadMLP),
		integer("hidden_units", &h.HiddenUnits, 1, 16384, "size of the hidden layer").when(func() string {
			if h.Head == HeadMLP {
				return ""
			}
			return "the head is " + h.Head
		}),
		integer("epochs", &h.Epochs, 1, 10000, "passes over the training data"),
		integer("mini_batch_size", &h.BatchSize, 1, 65536, "photos in a step"),
		choice("optimizer", &h.Optimizer, "", head.Optimizers()...),
		number("learning_rate", &h.LearningRate, above(0), 100, "step size; the default depends on the optimizer"),
		number("momentum", &h.Momentum, 0, 0.9999, "").when(sgd),
		number("weight_decay", &h.WeightDecay, 0, 100, "added to the gradient; decoupled with adamw; the default depends on the optimizer"),
		number("beta_1", &h.Beta1, 0, 0.9999, "decay of the mean of gradients").when(adam),
		number("beta_2", &h.Beta2, 0, 0.999999, "decay of the mean of their squares").when(adam),
		number("eps", &h.Eps, above(0), 1, "").when(adam),
		number("label_smoothing", &h.LabelSmoothing, 0, 0.9999, "share of the target that is spread over all classes"),
		number("dropout", &h.Dropout, 0, 0.99, "share of the last layer's inputs that a step leaves out"),
		choice("lr_schedule", &h.Schedule, "how the learning rate moves; step is chosen by giving lr_scheduler_step",
			ScheduleCosine, ScheduleConstant, ScheduleStep),
		number("lr_scheduler_factor", &h.StepFactor, above(0), 1, "what the learning rate is multiplied by at each step").when(func() string {
			if h.Schedule == ScheduleStep {
				return ""
			}
			return "lr_scheduler_step is not given"
		}),
		list("lr_scheduler_step", &h.StepEpochs, "epochs after which the learning rate steps, such as 10,20"),
		choice("standardize", &h.Standardize, "divide all features by one number, bring each to mean 0 and deviation 1, or leave them", head.Standardizations()...),
		unsigned("seed", &h.Seed, "of the split, the shuffling, the first weights and dropout"),
		boolean("early_stopping", &h.EarlyStopping, "stop when validation accuracy no longer rises, and keep the best epoch; else the last epoch is kept"),
		integer("early_stopping_min_epochs", &h.EarlyStoppingMinEpochs, 1, 10000, "").when(stopping),
		integer("early_stopping_patience", &h.EarlyStoppingPatience, 1, 10000, "epochs without improvement that are waited for").when(stopping),
		number("early_stopping_tolerance", &h.EarlyStoppingTolerance, 0, 1, "an improvement is a relative one by more than this").when(stopping),
		number("validation_fraction", &h.ValidationFraction, above(0), 0.9, "share of each class that is held out where no validation data is given"),
		integer("num_classes", &h.NumClasses, 2, 1<<20, "checked against the data"),
		integer("num_training_samples", &h.NumTrainingSamples, 1, 1<<30, "compared with the data"),
		integer("top_k", &h.TopK, 2, 1<<20, "also report validation:top_k_accuracy"),
		shape("image_shape", &h.ImageShape),
		integer("resize", &h.Resize, 1, 4096, "shorter side of the photo before the crop, in pixels; default: the backbone's own"),
		fixed("num_layers", "18 | 34 | 50", "the backbone resnet18, resnet34 or resnet50", oneOf("18", "34", "50")),
		fixed("use_pretrained_model", "1", "training the backbone itself is not supported", oneOf("1", "true")),
		fixed("augmentation_type", "none", "the backbone is frozen and sees each photo once, so photos cannot be varied", oneOf("", "none", "None")),
		fixed("multi_label", "0", "several labels for a photo are not supported", oneOf("0", "false")),
		fixed("use_weighted_loss", "0", "a weighted loss is not supported", oneOf("0", "false")),
		fixed("precision_dtype", "float32", "other precisions are not supported", oneOf("float32")),
		ignored("checkpoint_frequency", "the model is written at the end"),
		ignored("kv_store", "training runs on one machine"),
		ignored("gamma", "it belongs to the optimizer rmsprop, which is not supported"),
	}
}

func (r row) when(unused func() string) row {
	r.unused = unused
	return r
}

// above is the smallest number above x: a range that leaves x itself out.
func above(x float64) float64 { return math.Nextafter(x, math.Inf(1)) }

func integer(name string, to *int, low, high int, meaning string) row {
	values := fmt.Sprintf("%d to %d", low, high)
	def := ""
	if *to != 0 {
		def = strconv.Itoa(*to)
	}
	return row{Parameter: Parameter{name, values, def, meaning}, set: func(text string) error {
		v, err := wholeNumber(text)
		if err != nil {
			return fmt.Errorf("a whole number from %d to %d is needed", low, high)
		}
		if v < int64(low) || v > int64(high) {
			return fmt.Errorf("it must be from %d to %d", low, high)
		}
		*to = int(v)
		return nil
	}}
}

// wholeNumber takes 64, and 64.0 as well: tuning jobs of some SDKs write integers so.
func wholeNumber(text string) (int64, error) {
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		return v, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return int64(f), nil
}

func unsigned(name string, to *uint64, meaning string) row {
	const values = "0 to 2^64 − 1"
	return row{Parameter: Parameter{name, values, strconv.FormatUint(*to, 10), meaning}, set: func(text string) error {
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("a whole number from %s is needed", values)
		}
		*to = v
		return nil
	}}
}

func number(name string, to *float64, low, high float64, meaning string) row {
	values := fmt.Sprintf("%g to %g", low, high)
	if low == above(0) {
		values = fmt.Sprintf("above 0, to %g", high)
	}
	return row{Parameter: Parameter{name, values, strconv.FormatFloat(*to, 'g', -1, 64), meaning}, set: func(text string) error {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) {
			return fmt.Errorf("a number is needed (%s)", values)
		}
		if v < low || v > high {
			return fmt.Errorf("it is out of range (%s)", values)
		}
		*to = v
		return nil
	}}
}

func choice(name string, to *string, meaning string, values ...string) row {
	all := strings.Join(values, " | ")
	return row{Parameter: Parameter{name, all, *to, meaning}, set: func(text string) error {
		if !slices.Contains(values, text) {
			return fmt.Errorf("it must be one of %s", strings.Join(values, ", "))
		}
		*to = text
		return nil
	}}
}

func boolean(name string, to *bool, meaning string) row {
	return row{Parameter: Parameter{name, "true | false", strconv.FormatBool(*to), meaning}, set: func(text string) error {
		v, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("it must be true or false")
		}
		*to = v
		return nil
	}}
}

// list reads whole numbers with commas between.
func list(name string, to *[]int, meaning string) row {
	return row{Parameter: Parameter{name, "whole numbers", join(*to), meaning}, set: func(text string) error {
		var out []int
		for part := range strings.SplitSeq(text, ",") {
			v, err := wholeNumber(strings.TrimSpace(part))
			if err != nil || v < 1 || v > 10000 {
				return fmt.Errorf("whole numbers from 1 to 10000 are needed, with commas between")
			}
			out = append(out, int(v))
		}
		*to = out
		return nil
	}}
}

func shape(name string, to *[]int) row {
	return row{Parameter: Parameter{name, "3,SIDE,SIDE", join(*to), "checked against the backbone"}, set: func(text string) error {
		var out []int
		for part := range strings.SplitSeq(text, ",") {
			v, err := wholeNumber(strings.TrimSpace(part))
			if err != nil || v < 1 || v > 4096 {
				return fmt.Errorf("channels, height and width are needed, such as 3,224,224")
			}
			out = append(out, int(v))
		}
		if len(out) != 3 || out[0] != 3 || out[1] != out[2] {
			return fmt.Errorf("three channels and a square are needed, such as 3,224,224")
		}
		*to = out
		return nil
	}}
}

// fixed is a hyperparameter of which only some values are supported.
func fixed(name, values, why string, ok func(string) bool) row {
	return row{Parameter: Parameter{name, values, "", why}, set: func(text string) error {
		if !ok(text) {
			return fmt.Errorf("only %s is supported (%s)", values, why)
		}
		return nil
	}}
}

func oneOf(values ...string) func(string) bool {
	return func(text string) bool { return slices.Contains(values, text) }
}

// ignored is a hyperparameter that is known and cannot matter here.
func ignored(name, why string) row {
	return row{
		Parameter: Parameter{name, "any", "", why},
		set:       func(string) error { return nil },
		unused:    func() string { return why },
	}
}

func join(v []int) string {
	var parts []string
	for _, n := range v {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}

// nearest finds the names that a mistyped one may have meant.
func nearest(name string, names []string) []string {
	best, most := []string(nil), max(2, len(name)/3)
	for _, n := range slices.Sorted(slices.Values(names)) {
		switch d := distance(strings.ToLower(name), n); {
		case d < most:
			best, most = []string{n}, d
		case d == most:
			best = append(best, n)
		}
	}
	return best
}

// distance is the least number of letters to add, take away or change (Levenshtein).
func distance(a, b string) int {
	before := make([]int, len(b)+1)
	for j := range before {
		before[j] = j
	}
	for i := range a {
		now := make([]int, len(b)+1)
		now[0] = i + 1
		for j := range b {
			change := before[j]
			if a[i] != b[j] {
				change++
			}
			now[j+1] = min(change, before[j+1]+1, now[j]+1)
		}
		before = now
	}
	return before[len(b)]
}
