package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/musher/musher/internal/progress"
)

// Result is what came of a run.
type Result struct {
	Data        string     `json:"data"`
	Classes     int        `json:"classes"`
	Photos      [3]int     `json:"photos"` // to train, to validate, to test
	Uploaded    int64      `json:"uploaded"`
	TrainingJob string     `json:"training_job"`
	TuningJob   string     `json:"tuning_job"`
	Trials      []Trial    `json:"trials"`
	Endpoint    string     `json:"endpoint"`
	Example     Example    `json:"example"`
	Steps       []StepTime `json:"steps"`

	// Of the best trial's model, over all test photos: asked through the
	// endpoint, and as the training job had measured it.
	TestPhotos      int      `json:"test_photos"`
	TestRight       int      `json:"test_right"`
	TestAccuracy    float64  `json:"test_accuracy"`
	JobTestAccuracy *float64 `json:"job_test_accuracy,omitempty"`
}

// Trial is a training job of the tuning job.
type Trial struct {
	Job             string            `json:"job"`
	Status          string            `json:"status"`
	Hyperparameters map[string]string `json:"hyperparameters"`
	Accuracy        float64           `json:"validation_accuracy"`
	Seconds         float64           `json:"seconds"`
	Best            bool              `json:"best"`
	Reason          string            `json:"reason,omitempty"` // why it failed
}

// StepTime is how long a step took, in seconds, and what it says of itself.
type StepTime struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"seconds"`
	Summary string  `json:"summary,omitempty"`
}

// Example is what the endpoint says of one held-out photo.
type Example struct {
	Photo     string  `json:"photo"`
	Class     string  `json:"class"`
	Labels    []Label `json:"labels"`
	SameByURL bool    `json:"same_by_url"` // the answer to the photo's URL is the one to its bytes
}

// Label is a class and its probability.
type Label struct {
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
}

func newResult(c Config) *Result {
	r := &Result{Data: c.Photos.From, Classes: len(c.Photos.Classes), Steps: c.Before}
	for i, part := range []string{train, validation, test} {
		r.Photos[i] = len(c.Photos.Part(part))
	}
	return r
}

func (r *Result) best() *Trial {
	for i := range r.Trials {
		if r.Trials[i].Best {
			return &r.Trials[i]
		}
	}
	return nil
}

// Write prints the result as tables. The first error of writing is returned.
func (r *Result) Write(w io.Writer) error {
	p := &printer{w: w}
	r.writeTrials(p)
	r.writeExample(p)
	r.writeSteps(p)
	return p.err
}

// printer remembers that writing failed.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.w.Write(b)
	p.err = err
	return n, err
}

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// writeTrials writes a table of at most 80 columns: that is why its heading has
// two rows.
func (r *Result) writeTrials(p *printer) {
	p.line("Trials of %s:", r.TuningJob)
	t := tabwriter.NewWriter(p, 0, 0, 2, ' ', tabwriter.AlignRight)
	var first, second strings.Builder
	for _, name := range append(append([]string{}, parameters...), "validation_accuracy") {
		cut := strings.LastIndex(name, "_")
		fmt.Fprintf(&first, "%s\t", strings.ReplaceAll(name[:cut], "_", " "))
		fmt.Fprintf(&second, "%s\t", name[cut+1:])
	}
	fmt.Fprintf(t, "\t%s\ntrial\t%sseconds\t\n", first.String(), second.String())
	for i, trial := range r.Trials {
		fmt.Fprintf(t, "%d\t", i+1)
		for _, name := range parameters {
			fmt.Fprintf(t, "%s\t", short(trial.Hyperparameters[name]))
		}
		score := trial.Status
		if trial.Status == "Completed" {
			score = fmt.Sprintf("%.4f", trial.Accuracy)
		}
		fmt.Fprintf(t, "%s\t%.1f\t", score, trial.Seconds)
		if trial.Best {
			fmt.Fprint(t, " best")
		}
		fmt.Fprintln(t)
	}
	t.Flush() //nolint:errcheck // the printer keeps it
	p.line("")
	p.line("Test accuracy of the best trial's model: %.4f", r.TestAccuracy)
	p.line("(%d of %d photos right, asked through the endpoint)", r.TestRight, r.TestPhotos)
}

// short writes a number with three digits that count.
func short(text string) string {
	v, err := strconv.ParseFloat(text, 64)
	if _, whole := strconv.Atoi(text); err != nil || whole == nil {
		return text
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func (r *Result) writeExample(p *printer) {
	e := r.Example
	way := "sent as bytes and as a URL: the same answer"
	if !e.SameByURL {
		way = "sent as bytes; ITS URL WAS ANSWERED DIFFERENTLY"
	}
	p.line("")
	p.line("%s,", e.Photo)
	p.line("%s:", way)
	wide := 0
	for _, l := range e.Labels {
		wide = max(wide, len(l.Label))
	}
	for _, l := range e.Labels {
		const columns = 30
		bar := strings.Repeat("█", int(l.Probability*columns+0.5))
		mark := " "
		if l.Label == e.Class {
			mark = "✓"
		}
		p.line("%s", strings.TrimRight(fmt.Sprintf("  %s %-*s  %5.1f %%  %s", mark, wide, l.Label, 100*l.Probability, bar), " "))
	}
}

func (r *Result) writeSteps(p *printer) {
	total := 0.0
	p.line("")
	p.line("Time that the steps took:")
	for _, s := range r.Steps {
		p.line("%10s  %-9s %s", progress.Seconds(seconds(s.Seconds)), s.Step, s.Summary)
		total += s.Seconds
	}
	p.line("%10s  in all", progress.Seconds(seconds(total)))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
