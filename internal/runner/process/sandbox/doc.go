// Package sandbox starts one command that sees and may do only what it was
// given: its folder, its mounts, the operating system's programs and libraries,
// and its own processes.
//
//	child, err := sandbox.Start(sandbox.Config{Command: …, Dir: …, Output: pipe, Isolation: sandbox.Namespaces})
//
// What the command gets is decided once, by a pure function (view.go), and then
// enforced by every layer that the machine offers:
//
//	root.go      a private root file system that holds the view and nothing else
//	             (mount namespace; needs root or an unprivileged user namespace)
//	network.go   on request, a network of its own with a loopback device only
//	landlock.go  the same view as Landlock rules, and no signals or abstract
//	             sockets to processes outside (Linux 5.13 and later, as far as
//	             the kernel knows each of them)
//	privs.go     no new privileges, no capabilities beyond what handling one's own
//	             files takes, limits
//
// With Isolation None only Landlock and the privileges are left: paths outside
// can then still be named and stat'ed, and nothing can be mounted elsewhere.
//
// All of it is set up on one operating system thread that nothing else uses:
// Linux keeps root, mounts, capabilities and Landlock domain per thread, and a
// child inherits those of the thread that forks it. So the caller itself stays
// unrestricted, and no second program has to be executed in between.
package sandbox
