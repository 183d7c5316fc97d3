// Package hpo decides which hyperparameters to try next.
//
// It is pure: a Space and the trials so far go in, the next trials come out, and
// which of the running ones shall stop. Nothing runs here, nothing is stored, and
// no clock is read.
//
//	s, err := hpo.New(hpo.Bayesian, space, hpo.Minimize, seed)
//	next, err := s.Suggest(history, 3) // three to run side by side
//
// A trial lives in the caller. Here it only has a State:
//
//	Suggest ──▶ Pending ──▶ Done    (objective known; NaN and ±Inf count as Failed)
//	                    └─▶ Failed  (no objective)
//
// The history is passed whole each time, in the order in which the trials were
// suggested, and it is all that an answer depends on besides what New was
// given. So a server that restarts continues exactly as it would have, and
// trials may end in any order.
//
// # Spaces
//
// A Space follows SageMaker's rules (Space.Validate). Each numeric parameter is
// searched on its scale; Auto is a logarithm from two decades on. An integer owns
// the interval that rounds to it, on its scale. Values are texts as a training
// job gets them: integers without a point, floats as short as reads back equal.
//
// # Random and Grid
//
// Trial number i of Random has a random stream of its own, made from the seed
// and i. Grid counts through the combinations, the last parameter fastest, and
// leaves out those in the history.
//
// # Bayesian
//
// The first 4 + params/2 trials are points of a scrambled Sobol sequence (Owen,
// "Randomly permuted (t,m,s)-nets", 1995), which cover the space evenly without
// favouring any place of it; its centre least of all. From then on:
//
// Surrogate. A Gaussian process with a Matérn-5/2 covariance, a lengthscale per
// parameter, a constant mean and noise. Lengthscales, signal and noise have
// log-normal priors and are fitted by their posterior density, with analytic
// gradients and a box-bounded quasi-Newton method. Integers enter as the rounded
// value, so the process never sees a difference that the training job does not.
// Categories differ by a fitted distance, the same for each pair (Hamming);
// those that are numbers, as batch sizes often are, have a place on a number
// line besides.
//
// Warp. Losses are worse by orders of magnitude in bad corners, and a process
// that must follow those sees nothing of the differences among good trials. So
// the objective goes through log(y - best + c), with c from strong to none, and
// the evidence, that is the density of the observations themselves, chooses c
// (Snelson, Rasmussen and Ghahramani, "Warped Gaussian processes", 2003). On
// valleys like Rosenbrock's the regret falls by a factor of 30 by this, and
// quadratic bowls are left as they are. Where most settings are equally useless
// and a few are not, as on Ackley's plateau, the evidence may choose the same
// from the other end, -log(worst - y + c).
//
// Committee. The most probable hyperparameters are overconfident when trials are
// few. Four more sets are drawn from a normal approximation of their posterior,
// and expected improvement is averaged over the five processes (Snoek,
// Larochelle and Adams, "Practical Bayesian optimization of machine learning
// algorithms", 2012, who draw by slice sampling).
//
// Acquisition. Expected improvement on the lowest posterior mean, by its
// logarithm, which has a usable gradient where the improvement itself is zero in
// floating point (Ament et al., "Unexpected improvements to expected
// improvement", 2023). It is evaluated at a fresh scrambled Sobol set and around
// the best trials, at distances from a third to a thousandth of the space; the
// best few candidates climb by gradient, and by changing single categories and
// integers. The close candidates are what a trust region would add (Eriksson et
// al., "Scalable global optimization via local Bayesian optimization", 2019):
// they let the search follow a narrow funnel, as Ackley's, in many dimensions.
// A space of at most 1,024 points is evaluated in full.
//
// Pending trials are taken to turn out as predicted, so that parallel trials
// spread. Where trials failed, a second process learns where they do, and
// expected improvement is weighted by the probability of success (Gelbart, Snoek
// and Adams, "Bayesian optimization with unknown constraints", 2014); the
// objective's process never sees a made-up value. No point is suggested twice
// while there is another.
//
// # Stopping trials
//
// A Stopper looks at what the trials have reported of their objective while they
// run, and says which need not go on. Like a Suggester it sees nothing but the
// history, so a restart changes none of its decisions; and it may be asked at any
// time: an answer that was lost is given again.
//
// Median is the rule of SageMaker's early stopping. Halving is asynchronous
// successive halving in the variant that stops trials and never pauses one
// (Li et al., "A system for massively parallel hyperparameter tuning", 2020;
// Tiao et al., "Model-based asynchronous hyperparameter and neural architecture
// search", 2020). A report is one unit of resource. At the rungs Min, 3·Min,
// 9·Min … a trial is compared with all that got as far; it goes on while it is
// among the best third. A trial that passed early, when there were few to compare
// with, is compared anew as others come, until it reaches its next rung.
//
// One implementation serves both names. ASHA is one bracket: all trials are first
// compared at Min. Hyperband hedges against early reports that mislead: its
// brackets begin at Min, 3·Min, … and at Max, in the shares that Li et al.
// ("Hyperband", 2018) give them, and only trials of one bracket are compared. The
// values come from Random, as on SageMaker; any other Suggester would fit.
//
// # What comes next
//
// A strategy is one Suggester; New is the only place that lists them. A tree of
// Parzen estimators fits this interface as it is.
package hpo
