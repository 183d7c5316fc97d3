// Package musher gives tests a whole server and the means to drive it as users
// do, through the AWS APIs.
//
//	srv := musher.New(t)             // the real binary, as a child process
//	srv := musher.InProcess(t)       // the same server in this process, with a fake runner
//	lab := srv.Lab(t)                // a bucket, a role that may use it, and photos
//	lab.Train(t, "job-1", nil)
//	job := lab.AwaitTraining(t, "job-1")
//
// New builds the binary once per test run (or takes the one that MUSHER_BINARY
// names), keeps the state in a folder of its own, and shares the cache of
// weights and libraries: MUSHER_CACHE, else the user's own. When the test ends
// it stops the server, fails the test if a process is left behind, and shows
// the end of the logs if the test has failed.
//
//	New ──► up ──► Kill (SIGKILL) or Stop (SIGTERM) ──► down ──► Restart ──► up
//
// InProcess needs neither weights nor libraries: its jobs and instances are
// functions, see [Trainer] and [ModelServer].
package musher
