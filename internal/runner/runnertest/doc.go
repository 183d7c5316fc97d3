// Package runnertest holds what every runner must do: [Run] is the conformance
// suite for implementations of runner.Runner.
//
// The work that the suite starts is written in a small language, one step per
// argument, so that real processes and a fake can both carry it out:
//
//	out TEXT       print a line to stdout
//	err TEXT       print a line to stderr
//	hex DIGITS     print bytes
//	flood N        print N bytes, in lines of 64
//	env            print the environment, one NAME=VALUE a line, sorted
//	sleep D        wait, such as "sleep 1.5s"
//	trap ignore    ignore SIGTERM from now on
//	trap N         exit with code N on SIGTERM from now on
//	dial NET ADDR  connect, as to "tcp 127.0.0.1:80" or "unix /path"; print
//	               "connected" or "failed"
//	loopback       listen on 127.0.0.1 and connect to it; print as dial does
//	spawn MARK     leave a process behind, in a session of its own, that ignores
//	               SIGTERM; print "spawned"
//	signal NAME    end by that signal
//	exit N         end with that code; at the end of the steps: 0
//
// A real runner's test binary calls [Program] when it is started as such, and
// its Harness gives the command line that does so.
package runnertest
