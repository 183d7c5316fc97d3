// Package processing runs processing jobs: a program of the user's own over
// files from S3, with what it writes going back there.
//
// Operations: CreateProcessingJob, DescribeProcessingJob, ListProcessingJobs,
// StopProcessingJob.
//
// A job's ProcessingJobStatus is set in capitals, where it stands below:
//
//	INPROGRESS                                COMPLETED
//	starting ──► running ──► uploading ──────► ended
//	    │  ▲        │ │          │
//	    │  └────────┘ │          │  (the machine or the server went away:
//	    │             │          │   the next attempt)
//	    ├─────────────┴──────────┤
//	    │ StopProcessingJob,     │ any fault
//	    ▼ MaxRuntimeInSeconds    ▼
//	STOPPING ──► STOPPED       FAILED
//
// Each instance is a piece of work with two kinds of folders: one that it sees
// as /opt/ml, and one for each LocalPath of the job's inputs and outputs, which
// is mounted there. The latter lie where the job cannot put a link in their
// place, and so does what is taken to S3 from them.
//
// Inputs are the job's own copies, unlike the channels of training jobs:
// programs unpack archives where they find them.
package processing
