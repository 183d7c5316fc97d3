package tuning

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/musher/musher/internal/hpo"
	"github.com/musher/musher/internal/svc/sagemaker"
)

const (
	// hopeless is how many trials must have ended without an objective before
	// the job gives up.
	hopeless = 5
	// significant is the share of the best objective by which a trial must
	// beat it to count as better.
	significant = 0.01
	// settled is the smallest number of trials without an improvement that
	// shows convergence, for spaces of one or two hyperparameters.
	settled = 10
)

// verdict is how a job ends.
type verdict struct{ status, why string }

// judge says whether a job is to end now, whatever still runs.
func judge(job *Job, trials []*Trial) (v verdict, end bool) {
	cfg := job.Request.HyperParameterTuningJobConfig
	criteria := cfg.TuningJobCompletionCriteria
	if criteria == nil {
		criteria = &sagemaker.TuningJobCompletionCriteria{}
	}
	limit, patience := cfg.ResourceLimits.MaxRuntimeInSeconds, (*int64)(nil)
	if c := criteria.BestObjectiveNotImproving; c != nil {
		patience = c.MaxNumberOfTrainingJobsNotImproving
	}
	converge := criteria.ConvergenceDetected != nil && sagemaker.Or(criteria.ConvergenceDetected.CompleteOnConvergence, "Disabled") == "Enabled"
	switch ended := count(trials, func(t *Trial) bool { return !t.Running() }); {
	case limit != nil && time.Since(job.Created) > time.Duration(*limit)*time.Second:
		return verdict{status: stopped}, true
	case ended >= hopeless && best(job, trials) == nil:
		return verdict{failed, fruitless(trials)}, true
	case reached(job, trials, criteria.TargetObjectiveMetricValue),
		patience != nil && notImproving(job, trials) >= *patience,
		converge && converged(job, trials):
		return verdict{status: completed}, true
	}
	return verdict{}, false
}

// outcome is the end of a job whose trials have all ended.
func outcome(job *Job, trials []*Trial) verdict {
	if best(job, trials) == nil {
		return verdict{failed, fruitless(trials)}
	}
	return verdict{status: completed}
}

// fruitless says why no trial has an objective: in the service's words, and
// what the first one says about it.
func fruitless(trials []*Trial) string {
	var ended, wordless []*Trial // those that trained, but said nothing
	for _, t := range trials {
		if !t.Running() {
			ended = append(ended, t)
			if t.Status != failed {
				wordless = append(wordless, t)
			}
		}
	}
	if len(wordless) == 0 {
		return fmt.Sprintf("No training job succeeded after %d attempts. Please take a look at the training job failures to get more details.", len(ended))
	}
	return sagemaker.Cut(fmt.Sprintf("No objective metrics found after running %d training jobs. Please ensure that the custom algorithm is emitting the objective metric as defined by the regular expression provided. %s: %s",
		len(ended), wordless[0].Name, wordless[0].Failure))
}

// best returns the trial with the best objective, or nil. Ties go to the one
// that was started first. Definitions have objectives of one type; where their
// metrics differ, the values are compared all the same, as the service does.
func best(job *Job, trials []*Trial) (best *Trial) {
	for _, t := range trials {
		if t.Judged() && (best == nil || job.cost(t) < job.cost(best)) {
			best = t
		}
	}
	return best
}

// cost is a trial's objective turned so that less is better.
func (j *Job) cost(t *Trial) float64 {
	if j.definition(t).goal() == hpo.Maximize {
		return -*t.Objective
	}
	return *t.Objective
}

// reached tells whether a trial met the target.
func reached(job *Job, trials []*Trial, target *float64) bool {
	best := best(job, trials)
	if best == nil || target == nil {
		return false
	}
	goal := &Trial{Definition: best.Definition, Objective: target}
	return job.cost(best) <= job.cost(goal)
}

// notImproving counts the trials that have ended since one was last better than
// the best before it by at least one percent. Small steps add up: they are
// measured from where the count began.
func notImproving(job *Job, trials []*Trial) (n int64) {
	trials = slices.DeleteFunc(slices.Clone(trials), func(t *Trial) bool { return !t.Judged() })
	slices.SortStableFunc(trials, func(a, b *Trial) int { return cmp.Or(a.Ended.Compare(b.Ended), cmp.Compare(a.Index, b.Index)) })
	mark := math.Inf(1)
	for _, t := range trials {
		if c := job.cost(t); math.IsInf(mark, 1) || c < mark && mark-c >= significant*math.Abs(mark) {
			mark, n = c, 0
			continue
		}
		n++
	}
	return n
}

// converged is a rule of ours; the service does not tell its own. The last half
// of all trials, and at least 10 or 5 for each hyperparameter, brought no
// improvement of one percent. Were trials drawn independently, the next one
// would beat the best with a chance of one in their number plus one, however
// the objective is distributed; a strategy that learns and found nothing for as
// long is stuck, or done.
func converged(job *Job, trials []*Trial) bool {
	judged := count(trials, (*Trial).Judged)
	params := 0
	for _, d := range definitions(&job.Request) {
		params = max(params, len(kinds(d.ranges)))
	}
	return notImproving(job, trials) >= max(settled, int64(5*params), (judged+1)/2)
}
