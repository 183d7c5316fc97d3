// Package runtimes finds what runs on this machine for a container image.
//
//	store, err := runtimes.Open(dataFolder, runtimes.Options{Cache: cacheFolder})
//	rt, err := store.Resolve("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.1-cpu-py310")
//	// rt.Name is "pytorch", rt.Python an interpreter that imports torch
//
// An image leads to the name of a runtime, by patterns: those that the user
// gave, then those of images.txt. The name leads to an interpreter, the first
// of
//
//	added      the user named it: `musher runtime add pytorch /opt/conda/bin/python3`
//	installed  made from a recipe: `musher runtime install pytorch`
//	found      on this machine anyway, and it imports what the runtime needs (runtimes.txt)
//
// What the user added is state of an account, so it lies in the data folder
// and two servers know different runtimes. What can be had again lies in the
// cache. Both are read at each call: a server sees at once what the command
// line has changed.
//
//	DATA/runtimes.json                    what the user added
//	CACHE/runtimes/environments/NAME-X/   an environment made from a recipe
//	CACHE/runtimes/recipes/NAME.json      which of them is whole, and so is used
//	CACHE/runtimes/interpreters/HASH.json what an interpreter said of itself
//	CACHE/runtimes/bin/HASH/              python, python3 and pip, which start one interpreter
//
// An interpreter is asked once, by running it with a small script; it is asked
// again when it or its folders of packages have changed. Nothing of it happens
// before the first call that needs it.
package runtimes
