// Package training runs training jobs: the built-in algorithm, and users'
// scripts in Python runtimes or containers.
//
// Operations: CreateTrainingJob, DescribeTrainingJob, ListTrainingJobs,
// StopTrainingJob, UpdateTrainingJob.
//
// A job's TrainingJobStatus is set in capitals, its SecondaryStatus below:
//
//	INPROGRESS                                             COMPLETED
//	Starting ──► Downloading ──► Training ──► Uploading ──► Completed
//	    ▲             │          │  ▲  │          │
//	    │             │          │  └──┘ Restarting: the machine or the server
//	    │             │          │       went away; the next attempt
//	    └──── Interrupted ◄──────┤ its spot instances were taken away
//	    ├─────────────┴──────────┴────────────────┤
//	    │ StopTrainingJob                         │ any fault
//	    ▼                                         ▼
//	STOPPING Stopping ──► STOPPED Stopped     FAILED Failed
//	                  ├──► STOPPED MaxRuntimeExceeded
//	                  └──► STOPPED MaxWaitTimeExceeded
//
// A stopped job keeps the model that it had written so far. The row of a job
// says where it stands; the loop takes it one status further at a time, and
// each status can be entered again after a crash: data is staged under a name
// that its content gives, the processes are started by ids that the runner
// knows, and the artifacts are put to the same keys.
//
// # Instances
//
// Each instance of a job is a piece of work with a folder in the layout of
// /opt/ml, mounted there where the runner can (else variables point to it).
// They are called algo-1, algo-2 …, have a loopback address each, and begin
// and end together: one that fails ends the others. What they leave in
// their model folders becomes one model.
//
//	DATA/jobs/NAME/algo-N/             an instance's folder, while the job lasts
//	DATA/jobs/NAME/log, log.algo-N     what they printed, in all attempts
//	DATA/jobs/NAME/hosts               their /etc/hosts
//	DATA/jobs/NAME/checkpoints.algo-N.json  what of the checkpoints is in S3
//	DATA/jobs/NAME/pool/               what a warm pool keeps
//
// # What this server does beside the processes
//
// It searches the logs for metrics, takes checkpoints to S3 and feeds pipes.
// The first two go on with the next server where this one left off. A pipe
// cannot: its reader has seen an end that was none, so the job starts again.
package training
