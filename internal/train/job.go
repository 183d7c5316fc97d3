package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/musher/musher/internal/onnx/ort"
	"github.com/musher/musher/internal/train/dataset"
	"github.com/musher/musher/internal/train/features"
	"github.com/musher/musher/internal/train/head"
)

// Job is a training job.
type Job struct {
	Dir      string // the job's folder
	Cache    string // folder of the feature cache, shared by jobs
	Library  *ort.Library
	Backbone Resolver
	Out      io.Writer // progress, metrics, remarks
	// Stop, when closed, ends training after the epoch under way; the model so far
	// is saved. May be nil.
	Stop    <-chan struct{}
	Workers int // goroutines that compute features; 0: one for each core
}

// Run does a training job. Errors are of type *UserError where the job's owner
// can mend them; of any error the reason is in output/failure as well. Ending
// ctx gives the job up.
func Run(ctx context.Context, job Job) error {
	r := &run{Job: job}
	err := r.run(ctx)
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("the disk is full: %w", err)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if failed := r.writeFailure(err.Error()); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// run is a job under way.
type run struct {
	Job
	h        *Hyperparameters
	backbone *backbone
	loader   loader
	data     *dataset.Set

	train, valid, test head.Data
	probe              probe
}

// probe is a photo through which the finished model is checked.
type probe struct {
	path     string
	features []float32
}

func (r *run) run(ctx context.Context) error {
	elsewhere, err := r.configure(ctx)
	if err != nil || elsewhere {
		return err
	}
	if err := r.readFeatures(ctx); err != nil {
		if r.stopped() && errors.Is(err, context.Canceled) && ctx.Err() == nil {
			r.say("stopped before the first epoch: there is no model")
			return nil
		}
		return err
	}
	result, err := r.trainHead()
	if err != nil {
		return err
	}
	metrics, err := r.evaluate(result)
	if err != nil {
		return err
	}
	return r.writeModel(ctx, result.Head, metrics)
}

// configure reads the job's configuration and lists its data. It says true when
// the work is another host's.
func (r *run) configure(ctx context.Context) (elsewhere bool, err error) {
	var values map[string]string
	if err := r.readConfig("hyperparameters", &values); err != nil {
		return false, err
	}
	if r.h, err = Parse(values); err != nil {
		return false, err
	}
	for _, remark := range r.h.Remarks {
		r.say("%s", remark)
	}
	if elsewhere, err = r.otherHost(); err != nil || elsewhere {
		return elsewhere, err
	}
	channels, err := r.channels()
	if err != nil {
		return false, err
	}
	if err := r.openData(channels); err != nil {
		return false, err
	}
	return false, r.openBackbone(ctx)
}

// otherHost says whether this is one of several hosts, and not the first. The
// head is small: the first host trains it alone.
func (r *run) otherHost() (bool, error) {
	var c struct {
		CurrentHost string   `json:"current_host"`
		Hosts       []string `json:"hosts"`
	}
	if err := r.readConfig("resourceconfig", &c); err != nil || len(c.Hosts) < 2 {
		return false, err
	}
	if c.CurrentHost != c.Hosts[0] {
		r.say("training runs on %s alone; %s has nothing to do", c.Hosts[0], c.CurrentHost)
		return true, nil
	}
	r.say("training runs on %s alone, the first of %d hosts", c.CurrentHost, len(c.Hosts))
	return false, nil
}

// channels gives the folders of the job's channels by name: those of the
// configuration, or else whatever folders there are.
func (r *run) channels() (map[string]string, error) {
	var config map[string]struct {
		ContentType       string
		TrainingInputMode string
	}
	if err := r.readConfig("inputdataconfig", &config); err != nil {
		return nil, err
	}
	base := filepath.Join(r.Dir, "input", "data")
	channels := map[string]string{}
	for name, c := range config {
		if strings.Contains(c.ContentType, "recordio") {
			return nil, userf("channel %s has content type %s: RecordIO is not supported; give folders of photos", name, c.ContentType)
		}
		if c.TrainingInputMode == "Pipe" {
			return nil, userf("channel %s has input mode Pipe, which is not supported: use File", name)
		}
		channels[name] = filepath.Join(base, name)
	}
	if config != nil {
		return channels, nil
	}
	entries, err := os.ReadDir(base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		channels[e.Name()] = filepath.Join(base, e.Name())
	}
	return channels, nil
}

// readConfig reads input/config/NAME.json; a file that is not there changes nothing.
func (r *run) readConfig(name string, to any) error {
	path := filepath.Join(r.Dir, "input", "config", name+".json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return userf("%s.json cannot be read: %w", name, err)
	}
	return nil
}

func (r *run) openData(channels map[string]string) error {
	data, err := dataset.Open(channels, dataset.Split{Fraction: r.h.ValidationFraction, Seed: r.h.Seed})
	var wrong *dataset.Error
	if errors.As(err, &wrong) {
		return &UserError{err}
	}
	if err != nil {
		return err
	}
	for _, remark := range data.Remarks {
		r.say("%s", remark)
	}
	if n := r.h.NumClasses; n != 0 && n != len(data.Classes) {
		return userf("hyperparameter num_classes is %d, but the data has %d classes", n, len(data.Classes))
	}
	if n := r.h.NumTrainingSamples; n != 0 && n != len(data.Train) {
		r.say("hyperparameter num_training_samples is %d; the data has %d training photos, and all are used", n, len(data.Train))
	}
	if k := r.h.TopK; k > len(data.Classes) {
		return userf("hyperparameter top_k is %d, but the data has %d classes", k, len(data.Classes))
	}
	r.say("data: %d classes; %d training, %d validation, %d test photos", len(data.Classes), len(data.Train), len(data.Valid), len(data.Test))
	r.data = data
	return nil
}

func (r *run) openBackbone(ctx context.Context) error {
	b, err := r.Job.Backbone(ctx, r.h.Backbone)
	if err != nil {
		return fmt.Errorf("backbone %s: %w", r.h.Backbone, err)
	}
	if side := b.Preprocess.Crop; len(r.h.ImageShape) > 0 && r.h.ImageShape[1] != side {
		return userf("hyperparameter image_shape is %s, but backbone %s takes 3,%d,%d", join(r.h.ImageShape), r.h.Backbone, side, side)
	}
	if r.h.Resize != 0 {
		if r.h.Resize < b.Preprocess.Crop {
			return userf("hyperparameter resize is %d; backbone %s crops %d pixels, so it must be at least that", r.h.Resize, r.h.Backbone, b.Preprocess.Crop)
		}
		b.Preprocess.Resize = r.h.Resize
	}
	if r.backbone, err = newBackbone(b); err != nil {
		return err
	}
	r.loader, err = newLoader(r.backbone.Preprocess)
	r.say("backbone %s: photos of %d x %d pixels, %d features; JPEG decoder %s", r.h.Backbone, r.backbone.side, r.backbone.side, r.backbone.dim, r.loader.decoder.JPEG())
	return err
}

// readFeatures brings in the features of all photos and drops the unreadable ones.
func (r *run) readFeatures(ctx context.Context) error {
	ctx, cancel := r.untilStop(ctx)
	defer cancel()
	all := append(append(append([]dataset.Photo{}, r.data.Train...), r.data.Valid...), r.data.Test...)
	paths := make([]string, len(all))
	for i, p := range all {
		paths[i] = p.Path
	}
	set, err := features.New(features.Config{
		Cache: filepath.Join(r.Cache, "features"), Loader: r.loader, Workers: r.Workers, Progress: r.progress(),
		Backbone: features.Backbone{
			SHA256: r.backbone.SHA256, Dim: r.backbone.dim,
			Open: func() (features.Network, error) { return r.backbone.open(r.Library) },
		},
	}).Features(ctx, paths)
	if err != nil {
		return fmt.Errorf("features: %w", err)
	}
	if set.Computed > 0 {
		r.say("features: %d of %d photos computed in %.1f s (%.0f photos/s)", set.Computed, len(all), set.Elapsed.Seconds(), float64(set.Computed)/set.Elapsed.Seconds())
	} else {
		r.say("features: all %d photos known from before", len(all))
	}
	if err := r.checkBad(all, set.Bad); err != nil {
		return err
	}
	r.takeFeatures(all, set)
	return r.checkClasses()
}

// progress prints at most one line for each step of a hundredth.
func (r *run) progress() func(features.Progress) {
	waiting := false
	last := -1
	return func(p features.Progress) {
		if p.Waiting && !waiting {
			waiting = true
			r.say("another job computes features with this backbone; waiting for it")
		}
		if step := 100 * p.Done / max(p.Total, 1); step != last {
			last = step
			r.say("progress features %d/%d", p.Done, p.Total)
		}
	}
}

// badShare is the share of photos that may be unreadable.
const badShare = 0.01

func (r *run) checkBad(all []dataset.Photo, bad []features.Bad) error {
	if len(bad) == 0 {
		return nil
	}
	const most = 5
	var lines []string
	for _, b := range bad[:min(most, len(bad))] {
		lines = append(lines, fmt.Sprintf("%s (%v)", r.name(all[b.Index].Path), b.Err))
	}
	names := strings.Join(lines, "; ")
	if len(bad) > most {
		names += fmt.Sprintf("; and %d more", len(bad)-most)
	}
	if float64(len(bad)) > badShare*float64(len(all)) {
		return userf("%d of %d photos cannot be read: %s", len(bad), len(all), names)
	}
	r.say("warning: %d of %d photos cannot be read and are left out: %s", len(bad), len(all), names)
	return nil
}

// name is a photo's path as its owner knows it, from the channel on. A channel
// may be a link to a folder elsewhere, so its resolved path is looked at too.
func (r *run) name(photo string) string {
	data := filepath.Join(r.Dir, "input", "data")
	channels, err := os.ReadDir(data)
	if err != nil {
		return photo
	}
	for _, c := range channels {
		link := filepath.Join(data, c.Name())
		for _, dir := range []string{link, resolved(link)} {
			if rest, ok := strings.CutPrefix(photo, dir+string(filepath.Separator)); ok {
				return filepath.Join(c.Name(), rest)
			}
		}
	}
	return photo
}

func resolved(link string) string {
	path, err := filepath.EvalSymlinks(link)
	if err != nil {
		return link
	}
	return path
}

// takeFeatures sorts the features into the parts of the data.
func (r *run) takeFeatures(all []dataset.Photo, set *features.Set) {
	trained := map[features.ID]bool{}
	both := 0
	for i, p := range all {
		row := set.Rows[i]
		if row == nil {
			continue
		}
		part := &r.test
		switch {
		case i < len(r.data.Train):
			part = &r.train
			trained[set.IDs[i]] = true
			if r.probe.features == nil {
				r.probe = probe{p.Path, row}
			}
		case i < len(r.data.Train)+len(r.data.Valid):
			part = &r.valid
			fallthrough
		default:
			if trained[set.IDs[i]] {
				both++
			}
		}
		part.Rows, part.Labels = append(part.Rows, row), append(part.Labels, p.Label)
	}
	if both > 0 {
		r.say("warning: %d validation and test photos are also training photos; their accuracy says little", both)
	}
}

// checkClasses looks for classes that unreadable photos have emptied.
func (r *run) checkClasses() error {
	count := make([]int, len(r.data.Classes))
	for _, l := range r.train.Labels {
		count[l]++
	}
	for l, n := range count {
		if n == 0 {
			return userf("class %s has no readable training photo", r.data.Classes[l])
		}
	}
	if len(r.valid.Rows) == 0 {
		return userf("there is no readable validation photo")
	}
	return nil
}

func (r *run) trainHead() (*head.Result, error) {
	result, err := head.Train(r.Library, r.h.config(), len(r.data.Classes), r.train, r.valid, func(e head.Epoch) bool {
		r.say("epoch=%d %s", e.N, r.metricsLine(e))
		return !r.stopped()
	})
	if errors.Is(err, head.ErrDiverged) {
		return nil, &UserError{err}
	}
	if err != nil {
		return nil, err
	}
	last := result.Epochs[len(result.Epochs)-1]
	switch {
	case r.stopped():
		r.say("stopped after epoch %d; the model so far is saved", last.N)
	case result.Stopped:
		r.say("stopped early after epoch %d", last.N)
	}
	if result.Kept.N != last.N {
		r.say("kept epoch=%d %s", result.Kept.N, r.metricsLine(result.Kept))
	}
	return result, nil
}

func (r *run) metricsLine(e head.Epoch) string {
	line := fmt.Sprintf("train:loss=%.6f validation:loss=%.6f validation:accuracy=%.6f", e.TrainLoss, e.Valid.Loss, e.Valid.Accuracy)
	if r.h.TopK > 0 {
		line += fmt.Sprintf(" validation:top_k_accuracy=%.6f", e.Valid.TopK)
	}
	return line
}

// evaluate gathers the kept epoch's metrics, and the test part's if there is one.
func (r *run) evaluate(result *head.Result) (map[string]float64, error) {
	metrics := map[string]float64{
		"train:loss":          result.Kept.TrainLoss,
		"validation:loss":     result.Kept.Valid.Loss,
		"validation:accuracy": result.Kept.Valid.Accuracy,
	}
	if r.h.TopK > 0 {
		metrics["validation:top_k_accuracy"] = result.Kept.Valid.TopK
	}
	if len(r.test.Rows) == 0 {
		return metrics, nil
	}
	score, err := result.Head.Evaluate(r.Library, r.test, r.h.TopK)
	if err != nil {
		return nil, err
	}
	metrics["test:loss"], metrics["test:accuracy"] = score.Loss, score.Accuracy
	r.say("test:loss=%.6f test:accuracy=%.6f", score.Loss, score.Accuracy)
	return metrics, nil
}

func (r *run) stopped() bool {
	select {
	case <-r.Stop: // never, when there is no channel
		return true
	default:
		return false
	}
}

// untilStop gives a context that also ends when the job is to stop.
func (r *run) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-r.Stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// say prints a line. A log that cannot be written is no reason to stop training.
func (r *run) say(format string, args ...any) { fmt.Fprintf(r.Out, format+"\n", args...) }

// maxFailure is how much of output/failure is read.
const maxFailure = 1024

func (r *run) writeFailure(why string) error {
	if len(why) > maxFailure {
		why = why[:maxFailure]
		for !utf8.ValidString(why) {
			why = why[:len(why)-1]
		}
	}
	dir := filepath.Join(r.Dir, "output")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the reason of failure: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "failure"), []byte(why), 0o644); err != nil {
		return fmt.Errorf("write the reason of failure: %w", err)
	}
	return nil
}
