package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/musher/musher/internal/svc/sagemaker"
)

// tuneCommand is about tuning jobs.
type tuneCommand struct {
	Ls       tuneLsCommand       `cmd:"" help:"List tuning jobs."`
	Describe tuneDescribeCommand `cmd:"" help:"Show a tuning job and its trials, and why some have no objective."`
	Watch    tuneWatchCommand    `cmd:"" help:"Print what happens to the trials of a tuning job until it ends."`
}

type tuneLsCommand struct{ place }

func (c tuneLsCommand) Run(ctx context.Context, g *globals) error {
	return lsCommand{place: c.place, What: "tuning"}.Run(ctx, g)
}

type tuneDescribeCommand struct {
	place
	Name string `arg:"" help:"Name of a tuning job."`
}

func (c tuneDescribeCommand) Run(ctx context.Context, g *globals) error {
	return describeCommand{place: c.place, Name: "tuning/" + c.Name}.Run(ctx, g)
}

func findTuning(ctx context.Context, c *client, name string) (thing, error) {
	d, err := call[sagemaker.DescribeHyperParameterTuningJobOutput](ctx, c, sagemaker.Model, "DescribeHyperParameterTuningJob", &sagemaker.DescribeHyperParameterTuningJobInput{HyperParameterTuningJobName: name})
	return thing{d, func(ctx context.Context, c *client, w io.Writer) error { return writeTuning(ctx, c, w, d) }}, err
}

func writeTuning(ctx context.Context, c *client, w io.Writer, d *sagemaker.DescribeHyperParameterTuningJobOutput) error {
	trials, err := listTrials(ctx, c, d.HyperParameterTuningJobName)
	if err != nil {
		return err
	}
	if err := facts(w, tuningFacts(d)); err != nil || len(trials) == 0 {
		return err
	}
	fmt.Fprintln(w)
	if err := writeTrials(w, trials, bestName(d)); err != nil {
		return err
	}
	return writeReasons(w, trials)
}

func tuningFacts(d *sagemaker.DescribeHyperParameterTuningJobOutput) [][2]string {
	n, cfg := d.TrainingJobStatusCounters, d.HyperParameterTuningJobConfig
	strategy := cfg.Strategy
	if orEmpty(cfg.TrainingJobEarlyStoppingType) == "Auto" {
		strategy += ", with early stopping"
	}
	rows := [][2]string{
		{"tuning job", d.HyperParameterTuningJobName}, {"status", d.HyperParameterTuningJobStatus},
		{"reason", orEmpty(d.FailureReason)}, {"created", clock(d.CreationTime)}, {"strategy", strategy},
		{"trials", fmt.Sprintf("%d done, %d running, %d failed, %d stopped", orEmpty(n.Completed), orEmpty(n.InProgress), orEmpty(n.NonRetryableError), orEmpty(n.Stopped))},
		{"best", bestName(d)},
	}
	if o := d.OverallBestTrainingJob; o != nil && o.TrainingJobName != bestName(d) {
		rows = append(rows, [2]string{"best with parents", o.TrainingJobName})
	}
	if details := d.TuningJobCompletionDetails; details != nil {
		if vain := orEmpty(details.NumberOfTrainingJobsObjectiveNotImproving); vain > 0 {
			rows = append(rows, [2]string{"no improvement", fmt.Sprintf("in the last %d trials", vain)})
		}
		rows = append(rows, [2]string{"converged", clockOf(details.ConvergenceDetectedTime)})
	}
	return rows
}

func bestName(d *sagemaker.DescribeHyperParameterTuningJobOutput) string {
	if d.BestTrainingJob == nil {
		return ""
	}
	return d.BestTrainingJob.TrainingJobName
}

func listTrials(ctx context.Context, c *client, tuning string) (trials []*sagemaker.HyperParameterTrainingJobSummary, err error) {
	in := &sagemaker.ListTrainingJobsForHyperParameterTuningJobInput{
		HyperParameterTuningJobName: tuning, SortBy: new("CreationTime"), SortOrder: new("Ascending"),
	}
	for {
		out, err := call[sagemaker.ListTrainingJobsForHyperParameterTuningJobOutput](ctx, c, sagemaker.Model, "ListTrainingJobsForHyperParameterTuningJob", in)
		if err != nil {
			return nil, err
		}
		trials = append(trials, out.TrainingJobSummaries...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return trials, nil
		}
	}
}

// writeTrials is the table of trials: all hyperparameters that any has, the
// objective, and which one is the best.
func writeTrials(w io.Writer, trials []*sagemaker.HyperParameterTrainingJobSummary, best string) error {
	names, metric, named := map[string]bool{}, "", false
	for _, t := range trials {
		for name := range t.TunedHyperParameters {
			names[name] = true
		}
		named = named || t.TrainingJobDefinitionName != nil
		if m := t.FinalHyperParameterTuningJobObjectiveMetric; m != nil && metric != "" && metric != m.MetricName {
			metric = "objective" // definitions differ in theirs
		} else if m != nil {
			metric = m.MetricName
		}
	}
	tuned := slices.Sorted(maps.Keys(names))
	heading := []string{"trial", "status"}
	if named {
		heading = append(heading, "definition")
	}
	heading = append(append(heading, tuned...), cmp.Or(metric, "objective"))
	var rows [][]string
	for _, t := range trials {
		row := []string{t.TrainingJobName, t.TrainingJobStatus}
		if named {
			row = append(row, orEmpty(t.TrainingJobDefinitionName))
		}
		for _, name := range tuned {
			row = append(row, cmp.Or(shortNumber(t.TunedHyperParameters[name]), "-"))
		}
		score := objective(t)
		if t.TrainingJobName == best {
			score += "  best"
		}
		rows = append(rows, append(row, score))
	}
	return table(w, heading, rows)
}

func objective(t *sagemaker.HyperParameterTrainingJobSummary) string {
	if m := t.FinalHyperParameterTuningJobObjectiveMetric; m != nil {
		return fmt.Sprintf("%.4f", m.Value)
	}
	return "-"
}

// mostReasons is how many trials are explained: the others usually have the
// same to say.
const mostReasons = 5

// writeReasons says why trials have no objective, or have failed.
func writeReasons(w io.Writer, trials []*sagemaker.HyperParameterTrainingJobSummary) error {
	told, more := 0, 0
	for _, t := range trials {
		switch {
		case t.FailureReason == nil:
		case told == mostReasons:
			more++
		default:
			told++
			fmt.Fprintf(w, "\n%s: %s\n", t.TrainingJobName, indent(*t.FailureReason))
		}
	}
	if more > 0 {
		fmt.Fprintf(w, "\nand %d more\n", more)
	}
	return nil
}

// indent sets the further lines of a text off.
func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n    ") }

// shortNumber writes a fraction with four digits that count.
func shortNumber(text string) string {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !strings.ContainsAny(text, ".e") {
		return text
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

type tuneWatchCommand struct {
	place
	Name string `arg:"" help:"Name of a tuning job."`
}

// watchLook is how often a tuning job is looked at.
const watchLook = time.Second

func (c tuneWatchCommand) Run(ctx context.Context, g *globals) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	seen := watched{}
	for {
		d, err := call[sagemaker.DescribeHyperParameterTuningJobOutput](ctx, server, sagemaker.Model, "DescribeHyperParameterTuningJob", &sagemaker.DescribeHyperParameterTuningJobInput{HyperParameterTuningJobName: c.Name})
		if missing(err) {
			return withHint(fmt.Errorf("no tuning job is called %s", c.Name), "`musher tune ls` lists them")
		}
		if err != nil {
			return err
		}
		// First the job, then its trials: so their last words are read.
		trials, err := listTrials(ctx, server, c.Name)
		if err != nil {
			return err
		}
		for _, e := range seen.look(trials) {
			if err := e.write(g); err != nil {
				return err
			}
		}
		switch d.HyperParameterTuningJobStatus {
		case "Completed", "Stopped":
			return event{Time: time.Now(), Trial: bestName(d), Status: d.HyperParameterTuningJobStatus, What: "best"}.write(g)
		case "Failed":
			return errors.New(orEmpty(d.FailureReason))
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how one stops to watch
		case <-time.After(watchLook):
		}
	}
}

// event is a change of a trial, or the end of the job.
type event struct {
	Time      time.Time         `json:"time"`
	Trial     string            `json:"trial,omitempty"`
	Status    string            `json:"status"`
	What      string            `json:"what"` // started, objective, reason, ended; best: the job has ended
	Values    map[string]string `json:"values,omitempty"`
	Objective *float64          `json:"objective,omitempty"`
	Reason    string            `json:"reason,omitempty"`
}

// watched remembers what was told of each trial.
type watched map[string]*toldTrial

type toldTrial struct {
	ended, reason bool
	objective     float64
	any           bool // an objective was told
}

// look tells what is new about the trials.
func (seen watched) look(trials []*sagemaker.HyperParameterTrainingJobSummary) (news []event) {
	for _, t := range trials {
		say := func(what string) *event {
			news = append(news, event{Time: time.Now(), Trial: t.TrainingJobName, Status: t.TrainingJobStatus, What: what})
			return &news[len(news)-1]
		}
		s := seen[t.TrainingJobName]
		if s == nil {
			s = &toldTrial{}
			seen[t.TrainingJobName] = s
			say("started").Values = t.TunedHyperParameters
		}
		ended := t.TrainingJobStatus != "InProgress" && t.TrainingJobStatus != "Stopping"
		m := t.FinalHyperParameterTuningJobObjectiveMetric
		if m != nil && !ended && (!s.any || s.objective != m.Value) {
			s.any, s.objective = true, m.Value
			say("objective").Objective = &m.Value
		}
		if t.FailureReason != nil && !ended && !s.reason {
			s.reason = true
			say("reason").Reason = *t.FailureReason
		}
		if ended && !s.ended {
			s.ended = true
			e := say("ended")
			e.Reason = orEmpty(t.FailureReason)
			if m != nil {
				e.Objective = &m.Value
			}
		}
	}
	return news
}

func (e event) write(g *globals) error {
	if g.JSON {
		return json.NewEncoder(g.out).Encode(e)
	}
	_, err := fmt.Fprintln(g.out, e)
	return err
}

// String is the line that people read.
func (e event) String() string {
	words := []string{e.Time.Local().Format("15:04:05")}
	switch e.What {
	case "started":
		words = append(words, e.Trial, "started")
		for _, name := range slices.Sorted(maps.Keys(e.Values)) {
			words = append(words, name+"="+shortNumber(e.Values[name]))
		}
	case "best":
		words = append(words, e.Status)
		if e.Trial != "" {
			words = append(words, "best: "+e.Trial)
		}
	default:
		words = append(words, e.Trial, e.Status)
	}
	if e.Objective != nil {
		words = append(words, fmt.Sprintf("%.4f", *e.Objective))
	}
	if e.Reason != "" {
		words = append(words, indent(e.Reason))
	}
	return strings.Join(words, "  ")
}
