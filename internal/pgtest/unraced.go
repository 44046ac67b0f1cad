//go:build !race

package pgtest

const raceFactor = 1
