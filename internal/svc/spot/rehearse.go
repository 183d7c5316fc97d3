package spot

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// tick is how often the rules are looked at.
const tick = time.Second

// Run carries the rehearsals out until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			if err := s.rehearse(ctx, now); err != nil && ctx.Err() == nil {
				s.Log.Warn("spot rehearsals stand still", "error", err)
			}
		}
	}
}

// rehearse interrupts the jobs whose time has come.
func (s *Service) rehearse(ctx context.Context, now time.Time) error {
	rules, err := s.rules(ctx)
	if err != nil || len(rules) == 0 {
		return err
	}
	running, err := s.Jobs.Running(ctx)
	if err != nil {
		return err
	}
	for _, r := range rules {
		for _, j := range running {
			if j.InstanceType != r.InstanceType || !r.due(now.Sub(j.Since), rand.Float64()) {
				continue
			}
			how := Interruption{
				Grace: seconds(r.GraceInSeconds, notice), Away: seconds(r.AwayInSeconds, 0),
				Why: fmt.Sprintf("a rehearsal for %s", r.InstanceType),
			}
			// That the job has ended meanwhile is nobody's fault.
			if err := s.Jobs.Interrupt(ctx, j.Job, how); err != nil {
				s.Log.Debug("a rehearsal left a job alone", "job", j.Job, "error", err)
			}
		}
	}
	return nil
}

// due tells whether instances that have been up for so long go in this tick;
// chance is evenly spread over [0, 1).
func (r *Rehearsal) due(up time.Duration, chance float64) bool {
	if r.EveryInSeconds != nil {
		return up >= time.Duration(*r.EveryInSeconds)*time.Second
	}
	// What is left of an hour's instances is left of each tick's, to the power
	// of the ticks in an hour.
	left := math.Pow(1-*r.ProbabilityPerHour, tick.Hours())
	return chance >= left
}
