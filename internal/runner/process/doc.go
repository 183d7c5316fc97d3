// Package process runs work as processes of this machine.
//
//	r, err := process.New(dir, process.Options{Supervisor: []string{exe, "supervise"}, OnChange: loop.Poke, Log: log})
//
// The binary named by Supervisor must call [Supervise] with what follows
// --dir. Each piece of work gets such a supervisor: a small process that starts
// the command in a sandbox, keeps its log, ends it when told to, and writes down
// how it ended. The supervisor, not the server, is the command's parent, so work
// goes on when the server crashes, and a later server finds it again.
//
// # What lies in the folder
//
//	server.lock            locked as long as a server has the runner open
//	work/<id>/launch.json     what was asked for; durable before Start returns
//	work/<id>/lock            locked as long as the supervisor lives
//	work/<id>/supervisor.json process id and start time of the supervisor
//	work/<id>/running.json    process id and start time of the command
//	work/<id>/stop.json       a stop was asked for, and until when it may take
//	work/<id>/status.json     how it ended; durable
//	work/<id>/log             stdout and stderr, unless the spec names a path
//
// Every record is written whole or not at all (renamed into place), by one
// writer, and the phase follows from which of them exist:
//
//	launch ────────► supervisor ────────► running ────────► status
//	Starting         Starting             Running           Exited, Lost
//
// The server watches the folders (inotify) and the supervisors (pidfd), so
// OnChange is called within milliseconds of each change of phase, whoever
// started the work.
//
// # What may happen, and what then holds
//
//   - The server is killed. Work goes on. New finds it again; a launch that had
//     been accepted but not begun is begun then.
//   - The supervisor is killed. The kernel ends all of the work with it; the
//     server, or the next one, records Exited with a reason.
//   - The command ends. All that it left behind, also daemons in sessions of
//     their own, is killed before the work counts as Exited.
//   - The machine restarts. Work without a status is Lost; it is never started a
//     second time. Never are there two processes for one id: the supervisor
//     takes the lock, and no second one begins where supervisor.json exists.
//   - The server stays away. After Options.OrphanGrace without anybody holding
//     server.lock, the supervisor stops the work; its reason says "orphaned".
//   - A process id is used again. Start times and the machine's boot id are
//     compared, and signals go through pidfds.
//
// # What the work gets
//
// Its folder, its mounts and the system's programs, and nothing else: see the
// sandbox package. The environment is the spec's, plus TMPDIR (a private tmp in
// the working folder) if the spec has none, plus CUDA_VISIBLE_DEVICES if it asks
// for GPUs. SIGTERM goes to the command alone, as in a container, and SIGKILL to
// all of it.
//
// Work with runner.NoNetwork has a loopback device of its own and no other
// network. Sockets in its mounts still work, so a model server is reached as
// ever. The server is not: calls to its address fail, also those to the URL of
// the container credentials. That is what isolation means on the service, too,
// where the platform, not the work, moves data in and out.
//
// Where neither root nor unprivileged user namespaces are to be had, work runs
// under Landlock alone, mounts can't be remapped, work with runner.NoNetwork
// shows as Exited with a reason, and if a supervisor is killed,
// processes of the work that had left its session survive it.
package process
