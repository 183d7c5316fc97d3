// Package record holds what runners share that keep their work in folders:
// records that are whole or not there, and logs that are written up to a limit
// and followed.
package record
