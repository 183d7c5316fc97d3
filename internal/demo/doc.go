// Package demo does the main job once, as a client of the public APIs:
//
//	bucket, role ─► photos ─► training job ─► tuning job ─► model ─► endpoint ─► predictions
//
// It knows no server: it gets the address of one, and keys. [Photos] finds
// out what a data set holds and how it is split; [Run] does the job and
// returns what came of it, which [Result.Write] prints.
//
// What it makes has fixed names, so that a second run uses what is there and a
// broken one leaves nothing behind for ever:
//
//	bucket and role        musher-demo; the role may use this bucket and nothing else
//	s3://musher-demo/DATA/{train,validation,test}/CLASS/PHOTO   kept; only changed photos are sent again
//	s3://musher-demo/output/JOB/                                kept until the next run
//	training jobs          demo-DATE-TIME, and the tuning job's trials
//	model, configuration and endpoint musher-demo               deleted at the end
//
// The same photos give the same features, which the server keeps: the second
// run's jobs find them.
package demo
