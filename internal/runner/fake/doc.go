// Package fake is a runner without processes that misbehaves on command. It is
// for tests of what sits above runners, also under testing/synctest: it keeps
// time with the time package alone, and does nothing between two events.
//
//	r := fake.New(fake.Options{OnChange: loop.Poke})
//	defer r.Close()
//
// What work does follows from its spec. In order:
//
//   - Options.Behave, if given, says it from the spec;
//   - a command that begins with [Program] is a list of runnertest's steps;
//   - variables of the environment say it: see [FromEnv].
//
// Work of which nothing says how it behaves runs until it is stopped.
//
// [Runner.Reopen] gives a second runner over the same work, as a restarted
// server would have; the first tells of no changes from then on.
package fake
