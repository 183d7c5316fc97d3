// Command hpo measures the samplers of internal/hpo on test functions: how far
// the best of 30 and of 60 trials is from the minimum, and what a suggestion
// costs.
//
//	go run ./bench/hpo                        # the Bayesian sampler, one trial at a time
//	go run ./bench/hpo -parallel 4            # four trials always running
//	go run ./bench/hpo -peer python3          # beside it Optuna's samplers, same functions and seeds
//	go run ./bench/hpo -curves                # Hyperband, ASHA and early stopping: epochs to Random's best loss
//
// Figures are medians over seeds of the simple regret: the value, without noise,
// of the trial that looked best, less the minimum. Each seed moves and turns the
// functions whose optimum lies at the centre of their box. The digits row needs
// -surface, or MUSHER_SHARED.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/musher/musher/internal/hpo"
)

type options struct {
	only     *regexp.Regexp
	strategy string
	seeds    int
	first    int
	trials   int
	parallel int
	jobs     int
	surface  string
	python   string
	samplers []string
	curves   bool
}

func main() {
	o, err := parseFlags()
	if err == nil {
		err = bench(o)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func parseFlags() (options, error) {
	var o options
	only := flag.String("only", "", "functions to run: a regular expression")
	samplers := flag.String("samplers", "TPE,GP", "samplers of Optuna to run, with -peer: Random, TPE, CMA-ES, GP")
	flag.StringVar(&o.strategy, "strategy", hpo.Bayesian, "Bayesian or Random")
	flag.IntVar(&o.seeds, "seeds", 20, "runs per function")
	flag.IntVar(&o.first, "first", 0, "first seed")
	flag.IntVar(&o.trials, "trials", 60, "trials of a run; the first column of regrets is at half of it")
	flag.IntVar(&o.parallel, "parallel", 1, "trials that run at a time")
	flag.IntVar(&o.jobs, "jobs", 1, "runs at a time")
	flag.StringVar(&o.surface, "surface", "", "digits_surface.json; default: below $MUSHER_SHARED, where that is set")
	flag.StringVar(&o.python, "peer", "", "a Python with Optuna (and PyTorch, for GP), to run that as well")
	flag.BoolVar(&o.curves, "curves", false, "measure the rules that stop trials, on made-up learning curves")
	flag.Parse()
	o.samplers = strings.Split(*samplers, ",")
	if shared := os.Getenv("MUSHER_SHARED"); o.surface == "" && shared != "" {
		o.surface = filepath.Join(shared, "bench", "hpo", "digits_surface.json")
	}
	if o.seeds < 1 || o.trials < 2 || o.parallel < 1 || o.jobs < 1 {
		return o, fmt.Errorf("-seeds, -parallel and -jobs must be at least 1, -trials at least 2")
	}
	var err error
	o.only, err = regexp.Compile(*only)
	return o, err
}

func bench(o options) error {
	if o.curves {
		return benchCurves(o.seeds, o.first)
	}
	functions, err := selected(o)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "function\tsampler\tat %d\tat %d\tupper quartile\tCPU ms each\t\n", o.trials/2, o.trials)
	for _, f := range functions {
		own := func(seed int) (result, error) { return runOwn(f, o.strategy, seed, o.trials, o.parallel) }
		name := o.strategy
		if o.parallel > 1 {
			name = fmt.Sprintf("%s ×%d", name, o.parallel)
		}
		if err := row(w, o, f, name, own); err != nil {
			return err
		}
		if o.python == "" {
			continue
		}
		for _, sampler := range o.samplers {
			peer := func(seed int) (result, error) { return runPeer(o.python, f, sampler, seed, o.trials, o.parallel) }
			if err := row(w, o, f, "Optuna "+sampler, peer); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

func selected(o options) ([]function, error) {
	all := textbook()
	if o.surface != "" {
		d, err := digits(o.surface)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	} else {
		fmt.Println("no digits row: neither -surface nor MUSHER_SHARED is set")
	}
	all = append(all, others()...)
	return slices.DeleteFunc(all, func(f function) bool { return !o.only.MatchString(f.name) }), nil
}

// row runs all seeds of one sampler on one function and prints the figures.
func row(w *tabwriter.Writer, o options, f function, sampler string, run func(seed int) (result, error)) error {
	results := make([]result, o.seeds)
	errs := make([]error, o.seeds)
	var wg sync.WaitGroup
	slots := make(chan struct{}, o.jobs)
	for i := range o.seeds {
		slots <- struct{}{}
		wg.Go(func() {
			results[i], errs[i] = run(o.first + i)
			<-slots
		})
	}
	wg.Wait()
	var cpu time.Duration
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("%s, %s, seed %d: %w", f.name, sampler, o.first+i, err)
		}
		cpu += results[i].cpu
	}
	half, whole := sortedAt(results, o.trials/2), sortedAt(results, o.trials)
	fmt.Fprintf(w, "%s\t%s\t%.2g\t%.2g\t%.2g\t%.2f\t\n", f.name, sampler, median(half), median(whole),
		whole[len(whole)*3/4], cpu.Seconds()*1000/float64(o.seeds*o.trials))
	if o.python != "" {
		return w.Flush() // a peer takes minutes: show what is known
	}
	return nil
}

func sortedAt(results []result, trials int) []float64 {
	regrets := make([]float64, len(results))
	for i, r := range results {
		regrets[i] = r.regret[trials-1]
	}
	slices.Sort(regrets)
	return regrets
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
