// Package spot takes instances away from managed spot training jobs, as the
// cloud does when it needs the capacity elsewhere. Here somebody must want it:
// to see that a job goes on from its checkpoint.
//
//	musher spot interrupt JOB                    once
//	musher spot rehearse ml.m5.large --every 10m again and again
//
// Operations: InterruptTrainingJob, PutRehearsal, DeleteRehearsal,
// DescribeSpot. AWS has no such service, so the model is written by hand
// (types.go); requests are signed, authorised (musher:InterruptTrainingJob on
// the job's ARN …) and answered as those of any other one.
//
// A rehearsal is a rule for an instance type. While it stands, each job that
// trains on such instances is interrupted some time after they came up:
//
//	Every                that long after
//	ProbabilityPerHour   at random; 0.1 takes one instance in ten within an hour
package spot
