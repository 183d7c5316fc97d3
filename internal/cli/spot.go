package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/musher/musher/internal/svc/spot"
)

// spotCommand rehearses what spot instances do.
type spotCommand struct {
	Interrupt spotInterruptCommand `cmd:"" help:"Take the instances of a managed spot training job away, once."`
	Rehearse  spotRehearseCommand  `cmd:"" help:"Take the instances of all such jobs on an instance type away, again and again."`
	Ls        spotLsCommand        `cmd:"" help:"List the rehearsals, and the jobs that have spot instances."`
}

// spotManner is how instances go.
type spotManner struct {
	Grace time.Duration `help:"From the notice (SIGTERM) to the end (SIGKILL)." default:"2m"`
	Away  time.Duration `help:"How long there are no instances afterwards." default:"0s"`
}

// inSeconds gives whole seconds, rounded up: a short grace is not none.
func inSeconds(d time.Duration) *int64 {
	n := int64((d + time.Second - 1) / time.Second)
	return &n
}

type spotInterruptCommand struct {
	place
	spotManner
	Job string `arg:"" help:"Name of the training job."`
}

func (c spotInterruptCommand) Run(ctx context.Context, g *globals) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	_, err = call[spot.InterruptTrainingJobOutput](ctx, server, spot.Model, "InterruptTrainingJob", &spot.InterruptTrainingJobInput{
		TrainingJobName: c.Job, GraceInSeconds: inSeconds(c.Grace), AwayInSeconds: inSeconds(c.Away),
	})
	if err == nil {
		fmt.Fprintf(g.err, "%s loses its instances within %s\n", c.Job, c.Grace)
	}
	return err
}

type spotRehearseCommand struct {
	place
	spotManner
	InstanceType string        `arg:"" help:"As ml.m5.large."`
	Every        time.Duration `help:"So long after the instances came up." xor:"when" required:"" placeholder:"10m"`
	Probability  string        `help:"At random: the share of instances that go within an hour, as 0.1/h." xor:"when" required:"" placeholder:"P/h"`
	Off          bool          `help:"No longer." xor:"when" required:""`
}

func (c spotRehearseCommand) Run(ctx context.Context, g *globals) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	if c.Off {
		_, err := call[spot.DeleteRehearsalOutput](ctx, server, spot.Model, "DeleteRehearsal", &spot.DeleteRehearsalInput{InstanceType: c.InstanceType})
		return err
	}
	rule := &spot.Rehearsal{InstanceType: c.InstanceType, GraceInSeconds: inSeconds(c.Grace), AwayInSeconds: inSeconds(c.Away)}
	if c.Probability != "" {
		var p float64
		if _, err := fmt.Sscanf(c.Probability+"\n", "%g/h\n", &p); err != nil {
			return fmt.Errorf("--probability %q: a share of one and /h is needed, as 0.1/h", c.Probability)
		}
		rule.ProbabilityPerHour = &p
	} else {
		rule.EveryInSeconds = inSeconds(c.Every)
	}
	_, err = call[spot.PutRehearsalOutput](ctx, server, spot.Model, "PutRehearsal", &spot.PutRehearsalInput{Rehearsal: rule})
	return err
}

type spotLsCommand struct{ place }

func (c spotLsCommand) Run(ctx context.Context, g *globals) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	out, err := call[spot.DescribeSpotOutput](ctx, server, spot.Model, "DescribeSpot", &spot.DescribeSpotInput{})
	if err != nil {
		return err
	}
	if g.JSON {
		return writeJSON(g.out, out)
	}
	if len(out.Rehearsals)+len(out.Jobs) == 0 {
		fmt.Fprintln(g.err, "There are no rehearsals, and no jobs on spot instances.")
		return nil
	}
	if err := c.rehearsals(g, out.Rehearsals); err != nil {
		return err
	}
	var rows [][]string
	for _, j := range out.Jobs {
		rows = append(rows, []string{j.TrainingJobName, j.InstanceType, clock(j.Since), fmt.Sprint(j.Interruptions)})
	}
	if len(rows) == 0 {
		return nil
	}
	return table(g.out, []string{"job", "instance type", "since", "interruptions"}, rows)
}

func (spotLsCommand) rehearsals(g *globals, rehearsals []*spot.Rehearsal) error {
	var rows [][]string
	for _, r := range rehearsals {
		when := ""
		if r.EveryInSeconds != nil {
			when = "every " + duration(r.EveryInSeconds)
		} else if r.ProbabilityPerHour != nil {
			when = fmt.Sprintf("%g/h", *r.ProbabilityPerHour)
		}
		rows = append(rows, []string{r.InstanceType, when, duration(r.GraceInSeconds), duration(r.AwayInSeconds)})
	}
	if len(rows) == 0 {
		return nil
	}
	return table(g.out, []string{"rehearsed on", "when", "grace", "away"}, rows)
}

func duration(seconds *int64) string {
	if seconds == nil {
		return ""
	}
	return (time.Duration(*seconds) * time.Second).String()
}
