// Package tuning runs hyperparameter tuning jobs: it decides which training
// job comes next, which need not go on and which was best; the training family
// runs them.
//
// Operations: CreateHyperParameterTuningJob, DescribeHyperParameterTuningJob,
// ListHyperParameterTuningJobs, StopHyperParameterTuningJob,
// ListTrainingJobsForHyperParameterTuningJob.
//
//	InProgress ──► Completed   no trial is left to start, or a completion criterion is met
//	    │     └──► Failed      no trial has an objective: all of them, or the first five
//	    │ StopHyperParameterTuningJob, or MaxRuntimeInSeconds passed
//	    ▼
//	Stopping ────► Stopped     its trials are stopped too
//
// A trial is written to its table, values and name, before its training job is
// created. So a crash between the two neither loses a trial nor runs one
// twice, and the history that the next suggestion is made from is the table.
//
// # Where the service leaves it open
//
// Definitions. Several take turns, one trial each; one whose grid is done is
// passed over. Objectives must be of one type, and are compared by their values.
//
// Early stopping. With Auto, a trial is stopped when its latest objective is
// worse than the median of the others' running averages at the same step. It
// needs two reports, and three trials that have ended and got as far. Hyperband
// is asynchronous; see package hpo. The tag musher:strategy=ASHA makes it a single
// bracket. MaxResource stops only trials that would go on: where the number of
// epochs is a static hyperparameter and no larger, they end by themselves, and
// their model is saved. A stopped trial counts with its last objective.
//
// Warm starts. A parent's trial is known to the new job if it could be one of its
// own: all values within the new ranges, and what is fixed now had that value.
// Others say nothing about the places that are searched. With TransferLearning
// the objectives are taken as they are; levels that differ act as noise.
//
// Improvement. A trial is better when it beats the best by one percent of it.
// Convergence is when the last half of the trials, and at least 10 or 5 for each
// hyperparameter, brought no improvement.
package tuning
