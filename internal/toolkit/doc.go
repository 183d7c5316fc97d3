// Package toolkit plays the part of the training and inference toolkits that
// AWS's images carry: it runs a user's script, with all that the script may
// expect around it, in a Python runtime of this machine.
package toolkit
