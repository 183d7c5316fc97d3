// Package training runs training jobs.
//
// Operations: CreateTrainingJob, DescribeTrainingJob, ListTrainingJobs,
// StopTrainingJob.
//
// A job's TrainingJobStatus is set in capitals, its SecondaryStatus below:
//
//	INPROGRESS                                             COMPLETED
//	Starting ──► Downloading ──► Training ──► Uploading ──► Completed
//	    │             │          │  ▲  │          │
//	    │             │          │  └──┘ Restarting: the machine or the server
//	    │             │          │       went away; the next attempt
//	    ├─────────────┴──────────┴────────────────┤
//	    │ StopTrainingJob                         │ any fault
//	    ▼                                         ▼
//	STOPPING Stopping ──► STOPPED Stopped     FAILED Failed
//	                  └──► STOPPED MaxRuntimeExceeded
//
// A stopped job keeps the model that it had written so far. The row of a job
// says where it stands; the loop takes it one status further at a time, and
// each status can be entered again after a crash: data is staged under a name
// that its content gives, the process is started by an id that the runner
// knows, and the artifact is put to the same key.
package training
