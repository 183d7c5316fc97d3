package train

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musher/musher/internal/train/head"
)

func TestHyperparameterValues(t *testing.T) {
	cases := map[string]struct {
		given map[string]string
		want  func(*Hyperparameters) // changes the defaults into what is expected
	}{
		"none":            {nil, func(*Hyperparameters) {}},
		"plain":           {map[string]string{"epochs": "7"}, func(h *Hyperparameters) { h.Epochs = 7 }},
		"JSON in JSON":    {map[string]string{"mini_batch_size": `"32"`}, func(h *Hyperparameters) { h.BatchSize = 32 }},
		"spaces":          {map[string]string{"epochs": " 7 "}, func(h *Hyperparameters) { h.Epochs = 7 }},
		"integral float":  {map[string]string{"epochs": "7.0"}, func(h *Hyperparameters) { h.Epochs = 7 }},
		"alias":           {map[string]string{"batch_size": "16"}, func(h *Hyperparameters) { h.BatchSize = 16 }},
		"tuning's own":    {map[string]string{"_tuning_objective_metric": "validation:accuracy", "sagemaker_region": `"us-east-1"`}, func(*Hyperparameters) {}},
		"exponent":        {map[string]string{"learning_rate": "1e-3"}, func(h *Hyperparameters) { h.LearningRate = 0.001 }},
		"layers":          {map[string]string{"num_layers": "50"}, func(h *Hyperparameters) { h.Backbone = "resnet50" }},
		"layers agree":    {map[string]string{"num_layers": "18", "backbone": "resnet18"}, func(h *Hyperparameters) { h.Backbone = "resnet18" }},
		"steps":           {map[string]string{"lr_scheduler_step": "10, 20"}, func(h *Hyperparameters) { h.Schedule, h.StepEpochs = ScheduleStep, []int{10, 20} }},
		"rates follow":    {map[string]string{"optimizer": "adamw"}, func(h *Hyperparameters) { h.Optimizer, h.LearningRate, h.WeightDecay = "adamw", 0.003, 1 }},
		"supported fixed": {map[string]string{"use_pretrained_model": "1", "augmentation_type": "none", "multi_label": "0", "precision_dtype": "float32", "use_weighted_loss": "0"}, func(*Hyperparameters) {}},
		"shape":           {map[string]string{"image_shape": "3,224,224", "resize": "256"}, func(h *Hyperparameters) { h.ImageShape, h.Resize = []int{3, 224, 224}, 256 }},
		"largest seed":    {map[string]string{"seed": "18446744073709551615"}, func(h *Hyperparameters) { h.Seed = 1<<64 - 1 }},
		"data":            {map[string]string{"num_classes": "10", "num_training_samples": "300", "top_k": "5"}, func(h *Hyperparameters) { h.NumClasses, h.NumTrainingSamples, h.TopK = 10, 300, 5 }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.given)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			want.LearningRate, want.WeightDecay = 0.02, 0.03
			c.want(want)
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHyperparametersWithoutEffectAreSaid(t *testing.T) {
	cases := []struct {
		name, value, why string
		with             map[string]string // under which it does have an effect
	}{
		{"momentum", "0.5", "the optimizer is adam", map[string]string{"optimizer": "sgd"}},
		{"beta_1", "0.5", "the optimizer is sgd", map[string]string{"optimizer": "adam"}},
		{"hidden_units", "64", "the head is linear", map[string]string{"head": "mlp"}},
		{"lr_scheduler_factor", "0.5", "lr_scheduler_step is not given", map[string]string{"lr_scheduler_step": "3"}},
		{"early_stopping_patience", "3", "early_stopping is off", map[string]string{"early_stopping": "true"}},
		{"checkpoint_frequency", "1", "written at the end", nil},
		{"kv_store", "dist_sync", "one machine", nil},
		{"gamma", "0.9", "rmsprop", nil},
	}
	for _, c := range cases {
		given := map[string]string{c.name: c.value}
		if c.name == "momentum" {
			given["optimizer"] = "adam"
		}
		h, err := Parse(given)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Remarks) != 1 || !strings.Contains(h.Remarks[0], c.name+" has no effect") || !strings.Contains(h.Remarks[0], c.why) {
			t.Errorf("%s: %q", c.name, h.Remarks)
		}
		if c.with == nil {
			continue
		}
		c.with[c.name] = c.value
		if h, err = Parse(c.with); err != nil || len(h.Remarks) != 0 {
			t.Errorf("%v: %q, %v", c.with, h.Remarks, err)
		}
	}
}

func TestWrongHyperparameters(t *testing.T) {
	cases := []struct {
		given map[string]string
		want  string
	}{
		{map[string]string{"learnin_rate": "1"}, `"learnin_rate" is not known: did you mean learning_rate?`},
		{map[string]string{"Epochs": "1"}, `did you mean epochs?`},
		{map[string]string{"completely_different": "1"}, `there are augmentation_type, `},
		{map[string]string{"epochs": "many"}, `hyperparameter epochs is "many": a whole number from 1 to 10000 is needed`},
		{map[string]string{"epochs": "1.5"}, `a whole number`},
		{map[string]string{"epochs": ""}, `a whole number`},
		{map[string]string{"epochs": "0"}, `it must be from 1 to 10000`},
		{map[string]string{"epochs": "1e300"}, `a whole number`},
		{map[string]string{"learning_rate": "fast"}, `hyperparameter learning_rate is "fast": a number is needed (above 0, to 100)`},
		{map[string]string{"learning_rate": "0"}, `out of range (above 0, to 100)`},
		{map[string]string{"learning_rate": "NaN"}, `a number is needed`},
		{map[string]string{"learning_rate": "Inf"}, `out of range`},
		{map[string]string{"dropout": "1"}, `out of range (0 to 0.99)`},
		{map[string]string{"momentum": "-0.1"}, `out of range`},
		{map[string]string{"optimizer": "rmsprop"}, `it must be one of sgd, nag, adam, adamw`},
		{map[string]string{"head": "cnn"}, `it must be one of linear, mlp`},
		{map[string]string{"backbone": "vgg16"}, `efficientnet-lite0, `},
		{map[string]string{"num_layers": "152"}, `only 18 | 34 | 50 is supported`},
		{map[string]string{"num_layers": "18", "backbone": "resnet50"}, `disagree`},
		{map[string]string{"use_pretrained_model": "0"}, `training the backbone itself is not supported`},
		{map[string]string{"augmentation_type": "crop_color"}, `sees each photo once`},
		{map[string]string{"multi_label": "1"}, `several labels`},
		{map[string]string{"precision_dtype": "float16"}, `other precisions`},
		{map[string]string{"early_stopping": "perhaps"}, `true or false`},
		{map[string]string{"image_shape": "1,28,28"}, `three channels and a square`},
		{map[string]string{"image_shape": "224"}, `three channels and a square`},
		{map[string]string{"lr_scheduler_step": "ten"}, `whole numbers from 1 to 10000`},
		{map[string]string{"lr_schedule": "step"}, `name the epochs in lr_scheduler_step`},
		{map[string]string{"lr_schedule": "cosine", "lr_scheduler_step": "3"}, `disagree`},
		{map[string]string{"batch_size": "1", "mini_batch_size": "1"}, `two names of one`},
		{map[string]string{"seed": "-1"}, `a whole number from 0`},
		{map[string]string{"num_classes": "1"}, `it must be from 2`},
	}
	for _, c := range cases {
		_, err := Parse(c.given)
		var user *UserError
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &user) {
			t.Errorf("%v: got %v, want …%s…", c.given, err, c.want)
		}
	}
}

// TestTheTableIsWhole says of every hyperparameter that its default is a value
// that it accepts, and that no two share a name.
func TestTheTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Parameters() {
		if seen[p.Name] {
			t.Errorf("%s stands twice", p.Name)
		}
		seen[p.Name] = true
		if p.Default == "" || p.Name == "learning_rate" || p.Name == "weight_decay" {
			continue
		}
		if _, err := Parse(map[string]string{p.Name: p.Default}); err != nil {
			t.Error(err)
		}
	}
	for alias, name := range aliases {
		if !seen[name] || seen[alias] {
			t.Errorf("alias %s of %s", alias, name)
		}
	}
}

func TestEffectiveValuesParseToTheSame(t *testing.T) {
	h, err := Parse(map[string]string{"optimizer": "adamw", "head": "mlp", "dropout": "0.5", "lr_scheduler_step": "3,6"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(h.Effective())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(h.config(), again.config()); d != "" {
		t.Error(d)
	}
	if _, ok := h.Effective()["momentum"]; ok {
		t.Error("a value that has no effect is among the effective ones")
	}
}

func TestConfig(t *testing.T) {
	h, err := Parse(map[string]string{"early_stopping": "1", "early_stopping_patience": "2", "lr_scheduler_step": "3"})
	if err != nil {
		t.Fatal(err)
	}
	c := h.config()
	if d := cmp.Diff(&head.EarlyStopping{MinEpochs: 10, Patience: 2}, c.EarlyStopping); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(head.Schedule{Factor: 0.1, Epochs: []int{3}}, c.Schedule); d != "" {
		t.Error(d)
	}
	if c.Hidden != 0 {
		t.Errorf("a linear head has %d hidden units", c.Hidden)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("epochs", "7", "learning_rate", `"0.1"`)
	f.Add("lr_scheduler_step", "1,2,3", "image_shape", "3,8,8")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		h, err := Parse(map[string]string{name1: value1, name2: value2})
		if err != nil {
			return
		}
		if _, err := Parse(h.Effective()); err != nil {
			t.Errorf("%q=%q %q=%q give %v: %v", name1, value1, name2, value2, h.Effective(), err)
		}
	})
}
