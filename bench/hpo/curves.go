package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/musher/musher/internal/hpo"
)

// How the curves are run: each tick, every running trial reports once.
const (
	curveEpochs   = 81
	curveTrials   = 60 // of Random, which sets the target
	curveParallel = 4
	curveNoise    = 0.003
)

// rule is a way to stop trials.
type rule struct {
	name string
	stop hpo.Stopper // nil: none
}

func rules() ([]rule, error) {
	options := hpo.HalvingOptions{Goal: hpo.Minimize, Min: 1, Max: curveEpochs}
	hyperband, err := hpo.NewHalving(options)
	if err != nil {
		return nil, err
	}
	options.OneBracket = true
	asha, err := hpo.NewHalving(options)
	if err != nil {
		return nil, err
	}
	return []rule{{"Random", nil}, {"Random, early stopping", hpo.Median{Goal: hpo.Minimize}}, {"Hyperband", hyperband}, {"ASHA", asha}}, nil
}

// benchCurves prints how many epochs each rule needs until its best trial is as
// good as the best of Random's 60 whole ones.
func benchCurves(seeds, first int) error {
	all, err := rules()
	if err != nil {
		return err
	}
	epochs := make([][]float64, len(all))
	for seed := range seeds {
		target, err := randomBest(first + seed)
		if err != nil {
			return err
		}
		for i, r := range all {
			n, err := epochsTo(target, r.stop, first+seed)
			if err != nil {
				return err
			}
			epochs[i] = append(epochs[i], float64(n))
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "rule\tepochs, median\tquartiles\tof Random\t\n")
	slices.Sort(epochs[0])
	for i, r := range all {
		slices.Sort(epochs[i])
		n := len(epochs[i])
		fmt.Fprintf(w, "%s\t%.0f\t%.0f … %.0f\t%.2f\t\n", r.name, median(epochs[i]), epochs[i][n/4], epochs[i][n*3/4], median(epochs[i])/median(epochs[0]))
	}
	return w.Flush()
}

// learner is a made-up training: over mixedSpace, whose function is the loss
// that a trial ends near. How fast it gets there depends on the values as well,
// and the fast ones are not the good ones: curves cross.
type learner struct {
	floor func(map[string]string) float64
	noise *rand.Rand
}

func newLearner(seed int) learner {
	rng := rand.New(rand.NewPCG(uint64(seed), 78))
	return learner{mixed(rng), rng}
}

// loss is what a trial reports after an epoch, counted from 1; exact leaves out
// the noise.
func (l learner) loss(values map[string]string, epoch int) (reported, exact float64) {
	slow := 3 + 2*math.Log10(number(values, "hidden")) - math.Log10(number(values, "learning_rate"))
	exact = l.floor(values) + 2*math.Exp(-float64(epoch)/slow)
	return exact + curveNoise*l.noise.NormFloat64(), exact
}

// randomBest is the lowest loss of Random's trials, each run to its end.
func randomBest(seed int) (float64, error) {
	l := newLearner(seed)
	random, err := hpo.New(hpo.Random, mixedSpace, hpo.Minimize, int64(seed))
	if err != nil {
		return 0, err
	}
	trials, err := random.Suggest(nil, curveTrials)
	best := math.Inf(1)
	for _, values := range trials {
		_, exact := l.loss(values, curveEpochs)
		best = min(best, exact)
	}
	return best, err
}

// epochsTo runs trials until one is as good as the target, and counts epochs.
func epochsTo(target float64, stop hpo.Stopper, seed int) (epochs int, err error) {
	l := newLearner(seed)
	random, err := hpo.New(hpo.Random, mixedSpace, hpo.Minimize, int64(seed))
	if err != nil {
		return 0, err
	}
	var history []hpo.Trial
	for {
		running := 0
		for i := range history {
			if history[i].State == hpo.Pending {
				running++
			}
		}
		more, err := random.Suggest(history, curveParallel-running)
		if err != nil {
			return 0, err
		}
		for _, values := range more {
			history = append(history, hpo.Trial{Values: values})
		}
		for i := range history {
			t := &history[i]
			if t.State != hpo.Pending {
				continue
			}
			reported, exact := l.loss(t.Values, len(t.Reports)+1)
			t.Reports = append(t.Reports, reported)
			if epochs++; exact <= target {
				return epochs, nil
			}
			if len(t.Reports) == curveEpochs {
				t.State = hpo.Done
			}
		}
		if stop == nil {
			continue
		}
		for _, i := range stop.Stop(history) {
			history[i].State = hpo.Done
		}
	}
}
