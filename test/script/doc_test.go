// Package script_test drives the musher binary through the scripts beside it,
// one *.txtar for each subject.
//
// Beside testscript's own commands there are
//
//	exits CODE PROGRAM ARG…   runs a program that must end with this exit code
//	await FILE                waits until a file is there
//	match VARIABLE PATTERN    sets a variable to the name of the first file that matches
//	photos DIR CLASSES EACH   makes a flat data set: plain colours with noise, one colour a class
//
// and the condition [assets]: ONNX Runtime and the backbone's weights are here
// or can be fetched.
package script_test
