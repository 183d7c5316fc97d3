// Package docker runs work in containers of the machine's own Docker engine.
//
//	r, err := docker.New(ctx, dir, docker.Options{Init: []string{exe, "container-init"}, OnChange: loop.Poke, Log: log})
//
// It speaks the engine's HTTP API over its Unix socket: a dozen calls, for which
// the engine's own client module would bring some forty others.
//
// The first process of a container is not the command but a small one of ours,
// [Init], which the engine finds in the binary of Options.Init. It is the
// command's parent: it writes the log, passes SIGTERM on, keeps the grace of a
// stop, kills what the command left behind, and tells how it ended. The engine
// could do some of that, but its logs lose the order of stdout and stderr and
// add a newline to what ends without one, its exit codes do not tell a signal
// from a number, and it reports a command that is not there only after the fact.
// As the log goes straight to its file, it needs neither this server nor the
// engine, and nothing of it is lost or doubled when either restarts.
//
// # What lies in the folder
//
//	runner.json           the name under which the engine knows this runner
//	work/<id>/launch.json what was asked for; durable before Start returns
//	work/<id>/begun.json  the container is about to be started
//	work/<id>/stop.json   a stop was asked for, and until when it may take
//	work/<id>/status.json how it ended; durable
//	work/<id>/log         stdout and stderr, unless the spec names a path
//
// Everything else is the engine's to know. A container is named after runner and
// id, so however often a start is repeated, there is one at most.
//
//	launch ──────► container created ──────► begun, started ──────► status
//	Starting       Starting                  Running                Exited, Lost
//
// # What may happen, and what then holds
//
//   - The server is killed. Containers run on; New finds them by their names.
//   - The engine is away. Phases stay as they are until it is back; then each
//     container is looked at again.
//   - A container that was begun is gone, or was found dead after a restart of
//     the machine: Lost. It is never started a second time.
//   - The server stays away. Containers run on, as the engine's do.
//
// # What the work gets
//
// The image's files and environment, over which go the spec's (without the
// image's PATH and library paths few images work; the engine adds HOSTNAME, and
// HOME and PATH if nobody gives them); its folder and its mounts, where the spec
// wants them; the user that the server runs as, so that its files can be read
// and removed by the server. GPUs are given whole, and only those that no other
// work of this runner has.
//
// The network is the machine's, as with processes: endpoints, instances of a job
// and the container credentials are on the loopback, which a network of the
// container's own would hide. With runner.NoNetwork there is a loopback device
// and no more. Raw sockets are never to be had: on the machine's network they
// would read what others send.
//
// Images come from the engine's own store. One that is not there is not fetched
// behind the user's back: the work shows as Exited, with the command that would.
package docker
