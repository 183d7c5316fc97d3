// Package transform runs batch transform jobs: every object of a prefix goes
// through a model, and what the model answers becomes an object.
//
// Operations: CreateTransformJob, DescribeTransformJob, ListTransformJobs,
// StopTransformJob.
//
//	InProgress ──► Completed
//	    │     └──► Failed       at least one object could not be transformed,
//	    ▼                       or the instances did not come up
//	Stopping ──► Stopped
//
// A job leases instances of its model from hosting, which brings them up and
// replaces those that end. Once they answer, the job writes down its objects,
// one row each, and sends them, several at a time:
//
//	object ─► gunzip ─► records ─► batches ─► InputFilter ─► model
//	                                                           │
//	KEY.out ◄─ put whole ◄─ in order ◄─ OutputFilter ◄─ join ◄─┘
//
// An object that fails does not keep others from being transformed. Its row
// says when an object is done, after its output is there, so a job goes on
// where a server died. The last status is written when the instances are gone
// and their logs are complete.
package transform
