// Package runtimes finds what runs on this machine for a container image.
package runtimes
