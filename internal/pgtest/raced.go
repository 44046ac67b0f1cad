//go:build race

package pgtest

// raceFactor is how much longer all takes with the race detector.
const raceFactor = 10
