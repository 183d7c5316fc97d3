// Package tuning runs hyperparameter tuning jobs: it decides which training
// job comes next and which was best; the training family runs them.
//
// Operations: CreateHyperParameterTuningJob, DescribeHyperParameterTuningJob,
// ListHyperParameterTuningJobs, StopHyperParameterTuningJob,
// ListTrainingJobsForHyperParameterTuningJob.
//
//	InProgress ──► Completed   no trial is left to start, or the objective is reached
//	    │     └──► Failed      every trial failed, or the next one cannot be found
//	    │ StopHyperParameterTuningJob, or MaxRuntimeInSeconds passed
//	    ▼
//	Stopping ────► Stopped     its trials are stopped too
//
// A trial is written to its table, values and name, before its training job is
// created. So a crash between the two neither loses a trial nor runs one
// twice, and the history that the next suggestion is made from is the table.
package tuning
