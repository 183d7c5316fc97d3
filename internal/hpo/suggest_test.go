package hpo

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lossSpace has a parameter of every kind and scaling.
var lossSpace = Space{
	{Name: "rate", Kind: Continuous, Min: 1e-5, Max: 1, Scaling: Logarithmic},
	{Name: "momentum", Kind: Continuous, Min: 0, Max: 0.999, Scaling: ReverseLogarithmic},
	{Name: "dropout", Kind: Continuous, Min: 0, Max: 0.9, Scaling: Linear},
	{Name: "layers", Kind: Integer, Min: 1, Max: 6},
	{Name: "width", Kind: Integer, Min: 8, Max: 2048},
	{Name: "batch", Kind: Categorical, Values: []string{"16", "32", "64", "128"}},
	{Name: "optimizer", Kind: Categorical, Values: []string{"sgd", "adam"}},
}

// loss is a smooth function over lossSpace, smallest at rate 0.01, width 200, adam.
func loss(v map[string]string) float64 {
	num := func(name string) float64 { x, _ := strconv.ParseFloat(v[name], 64); return x }
	r, w := math.Log10(num("rate"))+2, math.Log2(num("width")/200)
	y := r*r + 0.1*w*w + num("dropout") + 0.2*math.Abs(num("layers")-2) + math.Abs(math.Log2(num("batch")/64))/5 - math.Log10(1-num("momentum"))/10
	if v["optimizer"] == "sgd" {
		y++
	}
	return y
}

func mustNew(t testing.TB, strategy string, space Space, goal Goal, seed int64) Suggester {
	t.Helper()
	s, err := New(strategy, space, goal, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSuggest(t testing.TB, s Suggester, history []Trial, n int) []map[string]string {
	t.Helper()
	out, err := s.Suggest(history, n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// run makes a history of n trials, one after another.
func run(t testing.TB, s Suggester, f func(map[string]string) float64, n int) []Trial {
	var history []Trial
	for range n {
		v := mustSuggest(t, s, history, 1)[0]
		history = append(history, Trial{Values: v, Objective: f(v), State: Done})
	}
	return history
}

// messy is a history of n random points whose states are of all kinds.
func messy(t testing.TB, space Space, seed int64, n int, f func(map[string]string) float64) []Trial {
	rng := rand.New(rand.NewPCG(uint64(seed), 1))
	var history []Trial
	for _, v := range mustSuggest(t, mustNew(t, Random, space, Minimize, seed), nil, n) {
		trial := Trial{Values: v, Objective: f(v), State: Done}
		switch rng.IntN(6) {
		case 0:
			trial.State = Pending
		case 1:
			trial.State = Failed
		case 2:
			trial.Objective = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[rng.IntN(3)]
		}
		history = append(history, trial)
	}
	return history
}

// randomSpace is a valid space of up to 8 parameters.
func randomSpace(rng *rand.Rand) Space {
	var s Space
	for i := range 1 + rng.IntN(8) {
		p := Param{Name: fmt.Sprint("p", i), Kind: []Kind{Continuous, Integer, Categorical}[rng.IntN(3)]}
		p.Min = float64(rng.IntN(20) - 5)
		p.Max = p.Min + float64(rng.IntN(1000))
		switch p.Scaling = []Scaling{"", Auto, Linear, Logarithmic, ReverseLogarithmic}[rng.IntN(5)]; {
		case p.Scaling == Logarithmic:
			p.Min, p.Max = p.Min+6, p.Max+6
		case p.Scaling == ReverseLogarithmic && p.Kind == Integer:
			p.Scaling = Auto
		case p.Scaling == ReverseLogarithmic:
			p.Min, p.Max = 0, 1-math.Pow(10, -5*rng.Float64())
		}
		if p.Kind == Categorical {
			for k := range 1 + rng.IntN(6) {
				p.Values = append(p.Values, fmt.Sprint(1<<k))
			}
		}
		s = append(s, p)
	}
	return s
}

// check fails when values are not exactly one text per parameter, in its range.
func check(t *testing.T, space Space, values map[string]string) {
	t.Helper()
	if len(values) != len(space) {
		t.Fatalf("%v has %d values, want %d", values, len(values), len(space))
	}
	for _, p := range space {
		text := values[p.Name]
		v, err := strconv.ParseFloat(text, 64)
		switch {
		case p.Kind == Categorical && slices.Contains(p.Values, text):
		case p.Kind == Categorical:
			t.Fatalf("%s = %q is not one of %q", p.Name, text, p.Values)
		case err != nil || v < p.Min || v > p.Max:
			t.Fatalf("%s = %q is not within %v … %v", p.Name, text, p.Min, p.Max)
		case p.Kind == Integer && strings.ContainsAny(text, ".eE"):
			t.Fatalf("%s = %q is not written as an integer", p.Name, text)
		}
	}
}

func TestSuggestionsAreWithinTheSpace(t *testing.T) {
	for seed := range int64(25) {
		rng := rand.New(rand.NewPCG(uint64(seed), 0))
		space := randomSpace(rng)
		noise := func(map[string]string) float64 { return math.Exp(10 * rng.NormFloat64()) }
		history := messy(t, space, seed, rng.IntN(25), noise)
		for _, strategy := range []string{Random, Bayesian} {
			for _, v := range mustSuggest(t, mustNew(t, strategy, space, Maximize, seed), history, 3) {
				check(t, space, v)
			}
		}
	}
}

// What is suggested depends on seed and history only: not on the Suggester's
// past, nor on how many are asked for at once.
func TestSuggestionsDependOnHistoryAlone(t *testing.T) {
	for _, strategy := range []string{Random, Bayesian} {
		t.Run(strategy, func(t *testing.T) {
			old := mustNew(t, strategy, lossSpace, Minimize, 7)
			history := run(t, old, loss, 25)
			history = append(history, messy(t, lossSpace, 3, 12, loss)...)
			want := mustSuggest(t, old, history, 4)

			if diff := cmp.Diff(want, mustSuggest(t, old, history, 4)); diff != "" {
				t.Errorf("asked again (-first +again):\n%s", diff)
			}
			restarted := mustNew(t, strategy, lossSpace, Minimize, 7)
			if diff := cmp.Diff(want, mustSuggest(t, restarted, history, 4)); diff != "" {
				t.Errorf("after a restart (-before +after):\n%s", diff)
			}
			var singly []map[string]string
			for range want {
				v := mustSuggest(t, restarted, history, 1)[0]
				singly = append(singly, v)
				history = append(history, Trial{Values: v})
			}
			if diff := cmp.Diff(want, singly); diff != "" {
				t.Errorf("one by one (-at once +one by one):\n%s", diff)
			}
		})
	}
}

func TestContinuousRunEqualsRestarts(t *testing.T) {
	old := mustNew(t, Bayesian, lossSpace, Minimize, 1)
	for n, trial := range run(t, old, loss, 20) {
		history := run(t, old, loss, n)
		if diff := cmp.Diff(trial.Values, mustSuggest(t, mustNew(t, Bayesian, lossSpace, Minimize, 1), history, 1)[0]); diff != "" {
			t.Fatalf("trial %d (-continuous +restarted):\n%s", n, diff)
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	for _, strategy := range []string{Random, Bayesian} {
		a := mustSuggest(t, mustNew(t, strategy, lossSpace, Minimize, 1), nil, 1)
		b := mustSuggest(t, mustNew(t, strategy, lossSpace, Minimize, 2), nil, 1)
		if cmp.Equal(a, b) {
			t.Errorf("%s: seeds 1 and 2 begin alike: %v", strategy, a)
		}
	}
}

func TestRandomCoversEveryScaleEvenly(t *testing.T) {
	const n = 4000
	out := mustSuggest(t, mustNew(t, Random, lossSpace, Minimize, 1), nil, n)
	for _, a := range newAxes(lossSpace) {
		low := 0
		for _, v := range out {
			pos, err := a.parse(v[a.Name])
			if err != nil {
				t.Fatal(err)
			}
			if a.Kind == Categorical {
				pos /= float64(len(a.Values))
			}
			if pos < 0.5 {
				low++
			}
		}
		// Integers near the middle make the halves unequal by a part of one step.
		if share := float64(low) / n; math.Abs(share-0.5) > 0.04 && a.Name != "layers" {
			t.Errorf("%s: %.3f of the draws lie in the lower half of its scale", a.Name, share)
		}
	}
}

func TestGrid(t *testing.T) {
	space := Space{
		{Name: "a", Kind: Categorical, Values: []string{"1", "2"}},
		{Name: "b", Kind: Categorical, Values: []string{"x", "y", "z"}}}
	g := mustNew(t, Grid, space, Minimize, 0)
	var order []string
	var history []Trial
	for _, n := range []int{1, 2, 10} {
		for _, v := range mustSuggest(t, g, history, n) {
			order = append(order, v["a"]+v["b"])
			history = append(history, Trial{Values: v, State: State(len(history) % 3)})
		}
	}
	if diff := cmp.Diff([]string{"1x", "1y", "1z", "2x", "2y", "2z"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if out, err := g.Suggest(history, 1); !errors.Is(err, ErrExhausted) || len(out) != 0 {
		t.Errorf("after the last: got %v, %v, want ErrExhausted", out, err)
	}
	slices.Reverse(history)
	if v := mustSuggest(t, g, history[:5], 3); len(v) != 1 || v[0]["a"]+v[0]["b"] != "1x" {
		t.Errorf("of a history without the first: got %v, want 1x", v)
	}
}

func TestNewRefuses(t *testing.T) {
	colours := Space{{Name: "a", Kind: Categorical, Values: []string{"x"}}}
	tests := []struct {
		strategy string
		space    Space
		goal     Goal
		want     string
	}{
		{"Astrology", colours, Minimize, `"Astrology"`},
		{Random, colours, "Best", `"Best"`},
		{Random, nil, Minimize, "no hyperparameter"},
		{Grid, lossSpace, Minimize, `"rate" is Continuous`},
	}
	for _, tt := range tests {
		if _, err := New(tt.strategy, tt.space, tt.goal, 0); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.strategy, err, tt.want)
		}
	}
}

func TestBadHistoryIsNamed(t *testing.T) {
	space := Space{{Name: "a", Kind: Categorical, Values: []string{"x", "y"}}}
	history := []Trial{{Values: map[string]string{"a": "x"}}, {Values: map[string]string{"a": "z"}}}
	for _, strategy := range []string{Bayesian, Grid} {
		_, err := mustNew(t, strategy, space, Minimize, 0).Suggest(history, 1)
		if err == nil || !strings.Contains(err.Error(), "trial 1") || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%s: got %v, want trial 1 and \"a\" named", strategy, err)
		}
	}
}

func TestStaticHyperparametersAreIgnored(t *testing.T) {
	s := mustNew(t, Bayesian, lossSpace, Minimize, 5)
	history := run(t, s, loss, 12)
	want := mustSuggest(t, s, history, 1)
	for i := range history {
		history[i].Values = maps.Clone(history[i].Values)
		history[i].Values["_tuning_objective_metric"] = "validation:loss"
	}
	if diff := cmp.Diff(want, mustSuggest(t, s, history, 1)); diff != "" {
		t.Errorf("(-without +with):\n%s", diff)
	}
}

// Bayesian must be far better than chance, in both directions.
func TestBayesianFindsTheMinimum(t *testing.T) {
	best := func(strategy string, goal Goal, seed int64) float64 {
		sign := map[Goal]float64{Minimize: 1, Maximize: -1}[goal]
		s := mustNew(t, strategy, lossSpace, goal, seed)
		low := math.Inf(1)
		for _, trial := range run(t, s, func(v map[string]string) float64 { return sign * loss(v) }, 35) {
			low = min(low, sign*trial.Objective)
		}
		return low
	}
	for _, goal := range []Goal{Minimize, Maximize} {
		worst, luck := 0.0, math.Inf(1)
		for seed := range int64(4) {
			worst = max(worst, best(Bayesian, goal, seed))
			luck = min(luck, best(Random, goal, seed))
		}
		if worst > luck {
			t.Errorf("%s: the worst of 4 Bayesian runs (%.3f) is behind the best of 4 random ones (%.3f)", goal, worst, luck)
		}
	}
}

// A monotone change of the objective's unit must not matter.
func TestBayesianIgnoresUnits(t *testing.T) {
	s := mustNew(t, Bayesian, lossSpace, Minimize, 2)
	plain, scaled := run(t, s, loss, 14), run(t, s, func(v map[string]string) float64 { return 1024*loss(v) + 4096 }, 14)
	for i := range plain {
		for name, a := range plain[i].Values {
			b := scaled[i].Values[name]
			x, errX := strconv.ParseFloat(a, 64)
			y, errY := strconv.ParseFloat(b, 64)
			if a != b && (errX != nil || errY != nil || math.Abs(x-y) > 1e-3*math.Abs(x)) {
				t.Fatalf("trial %d: %s is %s or, with another unit, %s", i, name, a, b)
			}
		}
	}
}

func TestBayesianTriesEveryPointOfASmallSpaceOnce(t *testing.T) {
	space := Space{
		{Name: "a", Kind: Integer, Min: 1, Max: 4},
		{Name: "b", Kind: Categorical, Values: []string{"x", "y", "z"}}}
	s := mustNew(t, Bayesian, space, Minimize, 3)
	seen := map[string]bool{}
	for i, trial := range run(t, s, func(v map[string]string) float64 { return float64(len(v["a"])) }, 14) {
		name := trial.Values["a"] + trial.Values["b"]
		if seen[name] && i < 12 {
			t.Errorf("trial %d repeats %s though others are untried", i, name)
		}
		seen[name] = true
	}
	if len(seen) != 12 {
		t.Errorf("%d of 12 points were tried", len(seen))
	}
}

// Half the space always fails, and the objective falls towards it. The best of
// the other half is found, and not at the price of failure upon failure.
func TestBayesianAvoidsFailures(t *testing.T) {
	space := Space{
		{Name: "x", Kind: Continuous, Max: 1, Scaling: Linear},
		{Name: "y", Kind: Continuous, Max: 1, Scaling: Linear}}
	for name, failed := range map[string]Trial{
		"failed":    {State: Failed},
		"NaN":       {State: Done, Objective: math.NaN()},
		"minus Inf": {State: Done, Objective: math.Inf(-1)},
	} {
		failures := 0
		for seed := range int64(3) {
			s := mustNew(t, Bayesian, space, Minimize, seed)
			best := math.Inf(1)
			var history []Trial
			for range 25 {
				trial := failed
				trial.Values = mustSuggest(t, s, history, 1)[0]
				x, _ := strconv.ParseFloat(trial.Values["x"], 64)
				y, _ := strconv.ParseFloat(trial.Values["y"], 64)
				if x < 0.5 {
					trial.State, trial.Objective = Done, (x-0.6)*(x-0.6)+(y-0.3)*(y-0.3)
					best = min(best, trial.Objective)
				} else {
					failures++
				}
				history = append(history, trial)
			}
			if best > 0.012 {
				t.Errorf("%s, seed %d: the best objective is %.4f; 0.0100 can be had", name, seed, best)
			}
		}
		t.Logf("%s: %d of 75 trials failed", name, failures)
		if failures > 45 {
			t.Errorf("%s: %d of 75 trials went where half the space always fails", name, failures)
		}
	}
}

func TestBayesianWithNothingToLearnFrom(t *testing.T) {
	for name, f := range map[string]func(int) Trial{
		"all failed":  func(int) Trial { return Trial{State: Failed} },
		"all pending": func(int) Trial { return Trial{} },
		"all equal":   func(int) Trial { return Trial{State: Done, Objective: 3} },
		"all huge":    func(i int) Trial { return Trial{State: Done, Objective: float64(1-i%2*2) * math.MaxFloat64} },
		"one result": func(i int) Trial {
			return Trial{State: map[bool]State{true: Done, false: Failed}[i == 0], Objective: 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustNew(t, Bayesian, lossSpace, Minimize, 6)
			var history []Trial
			seen := map[string]bool{}
			for i := range 15 {
				v := mustSuggest(t, s, history, 1)[0]
				check(t, lossSpace, v)
				seen[fmt.Sprint(v)] = true
				trial := f(i)
				trial.Values = v
				history = append(history, trial)
			}
			if len(seen) != 15 {
				t.Errorf("only %d of 15 suggestions differ", len(seen))
			}
		})
	}
}

// Four at a time must find nearly what one at a time finds.
func TestParallelSuggestionsSpread(t *testing.T) {
	s := mustNew(t, Bayesian, lossSpace, Minimize, 8)
	out := mustSuggest(t, s, run(t, s, loss, 20), 4)
	axes := newAxes(lossSpace)
	for i := range out {
		for j := range i {
			p, _ := parse(axes, out[i])
			q, _ := parse(axes, out[j])
			apart := 0.0
			for k := range p {
				apart = max(apart, math.Abs(p[k]-q[k]))
			}
			if apart < 1e-3 {
				t.Errorf("suggestions %d and %d are all but one: %v %v", j, i, out[j], out[i])
			}
		}
	}
}

func BenchmarkSuggest(b *testing.B) {
	for _, n := range []int{10, 30, 60, 100, 300, 750} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var history []Trial
			for _, v := range mustSuggest(b, mustNew(b, Random, lossSpace, Minimize, 1), nil, n) {
				history = append(history, Trial{Values: v, Objective: loss(v), State: Done})
			}
			s := mustNew(b, Bayesian, lossSpace, Minimize, 1)
			b.ResetTimer()
			for b.Loop() {
				mustSuggest(b, s, history, 1)
			}
		})
	}
}
