// Package batch lets many callers share a few workers, and a worker do the work
// of several callers at once.
//
// It hides who waits for whom. A caller hands in one item and gets its answer:
//
//	b := batch.New(batch.Options{Workers: 2, MaxBatch: 8, MaxQueue: 100}, run)
//	err := b.Do(ctx, item)
//
// The life of an item:
//
//	            a worker is idle
//	Do ──┬──────────────────────────────────────► running ──► done
//	     │ all are busy                              ▲
//	     ├────────► queued ── a worker is free ──────┘
//	     │             └───── the caller gives up ──► gone (never run)
//	     └─ the queue is full, or closed ──► refused
//
// What is decided here, and why:
//
//   - There are no timers. A lone item runs at once: waiting for company that may
//     never come costs every caller the wait, and gains nothing while workers are
//     idle. Company gathers by itself while all workers are busy, and a worker that
//     becomes free takes whatever has gathered, up to MaxBatch, oldest first.
//   - There are no worker goroutines. A worker is a token: the caller who holds it
//     runs the batch, its own item among others, in its own goroutine. So an item
//     that finds an idle worker costs a mutex and no switch of goroutines, and an
//     idle Batcher costs nothing at all.
//   - A caller never works longer than for one batch that its own item is in: it
//     hands its worker on to the oldest waiting caller.
//   - Do returns early for an item that still waits, never for one that runs. After
//     Do the item's memory is the caller's again, whatever happened.
//   - A panic of run is an error of the batch's members, and of nobody else.
//
// With MaxBatch 1 this is a fair scheduler with a bounded queue, which is the best
// that a CPU can do with a small network (a batch of eight takes longer there than
// eight single runs side by side). A GPU wants one worker and a large MaxBatch.
package batch
