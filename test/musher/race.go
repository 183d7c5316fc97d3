//go:build race

package musher

const raceEnabled = true
