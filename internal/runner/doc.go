// Package runner says what work is and what may be done with it: a training
// process, an endpoint's instance, later a function, a notebook or a machine.
//
//	        Start            the command runs         it ended
//	(none) ───────► Starting ───────────────► Running ─────────► Exited ──Remove──► (none)
//	                    │ cannot be started                          ▲
//	                    └────────────────────────────────────────────┘
//	                                          Running ── machine restarted ──► Lost
//
// The package holds types only. The implementations are its sub-packages;
// runnertest is the suite that each of them passes.
package runner
