package hpo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ran is a trial that has reported.
func ran(s State, reports ...float64) Trial { return Trial{State: s, Reports: reports} }

func TestMedian(t *testing.T) {
	three := []Trial{ran(Done, 9, 7, 5), ran(Done, 8, 6, 4), ran(Done, 4, 2, 0)} // averages at 2: 8, 7, 3
	for name, c := range map[string]struct {
		goal    Goal
		history []Trial
		want    []int
	}{
		"worse than the median of averages": {Minimize, append(three, ran(Pending, 1, 7.5)), []int{3}},
		"as good as the median":             {Minimize, append(three, ran(Pending, 1, 7)), nil},
		"its first report":                  {Minimize, append(three, ran(Pending, 100)), nil},
		"no reports":                        {Minimize, append(three, ran(Pending)), nil},
		"further than enough others":        {Minimize, append(three, ran(Pending, 9, 9, 9, 9)), nil},
		"few others":                        {Minimize, append(three[:2:2], ran(Pending, 9, 9)), nil},
		"others that still run":             {Minimize, append(three[:2:2], ran(Pending, 1, 1), ran(Pending, 9, 9)), nil},
		"others that failed":                {Minimize, append(three[:2:2], ran(Failed, 1, 1), ran(Pending, 9, 9)), nil},
		"upwards":                           {Maximize, append(three, ran(Pending, 9, 6.5), ran(Pending, 1, 7.5)), []int{3}},
		"several":                           {Minimize, append(three, ran(Pending, 9, 9), ran(Pending, 1, 1), ran(Pending, 9, 9, 9)), []int{3, 5}},
		"two in the middle":                 {Minimize, append(three, ran(Done, 5, 5), ran(Pending, 1, 6.1), ran(Pending, 1, 5.9)), []int{4}},
	} {
		if d := cmp.Diff(c.want, Median{c.goal}.Stop(c.history)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func mustHalve(t testing.TB, o HalvingOptions) *Halving {
	t.Helper()
	h, err := NewHalving(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHalving(t *testing.T) {
	for name, c := range map[string]struct {
		options HalvingOptions // Min 1, Max 9, OneBracket
		history []Trial
		want    []int
	}{
		"below the first rung":    {HalvingOptions{Min: 2}, []Trial{ran(Done, 1, 1), ran(Done, 1, 1), ran(Pending, 9)}, nil},
		"two decide nothing":      {HalvingOptions{}, []Trial{ran(Done, 1), ran(Pending, 9)}, nil},
		"one of three goes on":    {HalvingOptions{}, []Trial{ran(Pending, 1), ran(Pending, 2), ran(Pending, 3)}, []int{1, 2}},
		"upwards":                 {HalvingOptions{Goal: Maximize}, []Trial{ran(Pending, 1), ran(Pending, 2), ran(Pending, 3)}, []int{0, 1}},
		"equals go on together":   {HalvingOptions{}, []Trial{ran(Pending, 1), ran(Pending, 1), ran(Pending, 3)}, []int{2}},
		"two of six":              {HalvingOptions{}, []Trial{ran(Pending, 1), ran(Pending, 2), ran(Done, 3), ran(Done, 4), ran(Done, 5), ran(Pending, 6)}, []int{5}},
		"the value at the rung":   {HalvingOptions{}, []Trial{ran(Pending, 1, 9), ran(Done, 2, 0), ran(Done, 3, 0)}, nil},
		"only at its last rung":   {HalvingOptions{}, []Trial{ran(Pending, 9, 9, 9), ran(Done, 1), ran(Done, 1)}, nil},
		"at its second rung":      {HalvingOptions{}, []Trial{ran(Pending, 1, 1, 9), ran(Done, 2, 2, 2), ran(Done, 3, 3, 3)}, []int{0}},
		"the failed do not count": {HalvingOptions{}, []Trial{ran(Failed, 1), ran(Done, 1), ran(Pending, 9)}, nil},
		"nothing at Max":          {HalvingOptions{Max: 3}, []Trial{ran(Pending, 1, 1, 9), ran(Done, 2, 2, 2), ran(Done, 3, 3, 3)}, nil},
		"Max is the end":          {HalvingOptions{Max: 3, RunsLonger: true}, []Trial{ran(Pending, 1, 1, 1), ran(Pending, 1, 1)}, []int{0}},
		"without a report":        {HalvingOptions{}, []Trial{ran(Pending)}, nil},
	} {
		o := c.options
		o.Goal, o.Min, o.Max, o.OneBracket = cmpOr(o.Goal, Minimize), cmpOr(o.Min, 1), cmpOr(o.Max, 9), true
		if d := cmp.Diff(c.want, mustHalve(t, o).Stop(c.history)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func cmpOr[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func TestHalvingIsRefused(t *testing.T) {
	for _, o := range []HalvingOptions{
		{Goal: Minimize, Min: 0, Max: 9}, {Goal: Minimize, Min: 10, Max: 9}, {Goal: Minimize, Min: 1, Max: MaxResource + 1}, {Min: 1, Max: 9},
	} {
		if _, err := NewHalving(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// Hyperband's brackets have the shares that the paper's table gives for R = 81
// and a reduction of 3, whatever the number of trials so far.
func TestBrackets(t *testing.T) {
	h := mustHalve(t, HalvingOptions{Goal: Minimize, Min: 1, Max: 81})
	if d := cmp.Diff([]int{81, 34, 15, 8, 5}, h.shares); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int{1, 3, 9, 27, 81}, h.firsts); d != "" {
		t.Error(d)
	}
	all := h.brackets(2 * 143)
	for n := range all {
		if d := cmp.Diff(all[:n], h.brackets(n), cmpEmpty); d != "" {
			t.Fatalf("the first %d trials change their brackets: %s", n, d)
		}
	}
	filled := make([]int, 5)
	for i, b := range all {
		filled[b]++
		for b, share := range h.shares {
			if exact := float64(share*(i+1)) / 143; math.Abs(float64(filled[b])-exact) > 2 {
				t.Fatalf("after %d trials bracket %d has %d, its share is %.1f", i+1, b, filled[b], exact)
			}
		}
	}
	if d := cmp.Diff([]int{162, 68, 30, 16, 10}, filled); d != "" {
		t.Error(d)
	}
}

var cmpEmpty = cmp.Transformer("", func(v []int) []int { return append([]int{}, v...) })

// simulate runs trials side by side, a report each at a time, and stops those
// that the stopper names. It returns the history.
func simulate(s Stopper, rng *rand.Rand, trials, parallel, epochs int, loss func(trial, epoch int) float64) []Trial {
	var history []Trial
	for {
		var running []int
		for i, t := range history {
			if t.State == Pending {
				running = append(running, i)
			}
		}
		for len(running) < parallel && len(history) < trials {
			running = append(running, len(history))
			history = append(history, Trial{})
		}
		if len(running) == 0 {
			return history
		}
		i := running[rng.IntN(len(running))]
		history[i].Reports = append(history[i].Reports, loss(i, len(history[i].Reports)))
		if len(history[i].Reports) == epochs {
			history[i].State = Done
		}
		for _, i := range s.Stop(history) {
			history[i].State = Done
		}
	}
}

// Properties of every stopper, on any history: it names pending trials in order
// and the same ones again; where curves never cross, the best trial is never
// stopped; no trial is stopped before Min; without a reason to stop, none is.
func TestStoppersOnAnyHistory(t *testing.T) {
	for seed := range uint64(16) {
		rng := rand.New(rand.NewPCG(seed, 3))
		goal := []Goal{Minimize, Maximize}[seed%2]
		sign := map[Goal]float64{Minimize: 1, Maximize: -1}[goal]
		low, epochs := 1+rng.IntN(4), 5+rng.IntN(40)
		quality := rng.Perm(40)
		curve := func(trial, epoch int) float64 {
			return sign * (float64(quality[trial]) + 100/float64(1+epoch))
		}
		best := slices.Index(quality, 0)
		for name, s := range map[string]Stopper{
			"Median":    Median{goal},
			"ASHA":      mustHalve(t, HalvingOptions{Goal: goal, Min: low, Max: epochs, OneBracket: true}),
			"Hyperband": mustHalve(t, HalvingOptions{Goal: goal, Min: low, Max: epochs}),
		} {
			spent := 0
			history := simulate(checked{t, s}, rng, 40, 1+rng.IntN(6), epochs, curve)
			for i, trial := range history {
				spent += len(trial.Reports)
				if name != "Median" && len(trial.Reports) < low {
					t.Errorf("%s: trial %d ended after %d of %d reports", name, i, len(trial.Reports), low)
				}
			}
			if name != "Median" && len(history[best].Reports) != epochs {
				t.Errorf("%s stopped the best trial after %d of %d reports", name, len(history[best].Reports), epochs)
			}
			if name != "Median" && spent >= 40*epochs {
				t.Errorf("%s stopped nothing", name)
			}
			flat := simulate(s, rng, 40, 4, epochs, func(int, int) float64 { return 1 })
			for i, trial := range flat {
				if len(trial.Reports) != epochs {
					t.Errorf("%s stopped trial %d of equals", name, i)
				}
			}
		}
	}
}

// checked looks at each answer of a stopper.
type checked struct {
	t *testing.T
	Stopper
}

func (c checked) Stop(history []Trial) []int {
	stop := c.Stopper.Stop(history)
	if !slices.IsSorted(stop) || !slices.Equal(stop, c.Stopper.Stop(history)) {
		c.t.Fatalf("the answer is %v, then %v", stop, c.Stopper.Stop(history))
	}
	for _, i := range stop {
		if history[i].State != Pending {
			c.t.Fatalf("trial %d is stopped, which has ended", i)
		}
	}
	return stop
}

func TestHyperbandDrawsAsRandom(t *testing.T) {
	want := mustSuggest(t, mustNew(t, Random, lossSpace, Minimize, 5), nil, 4)
	for _, strategy := range []string{Hyperband, ASHA} {
		if d := cmp.Diff(want, mustSuggest(t, mustNew(t, strategy, lossSpace, Minimize, 5), nil, 4)); d != "" {
			t.Errorf("%s: %s", strategy, d)
		}
	}
}
