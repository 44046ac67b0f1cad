//go:build !race

package pool

// raced says that the race detector is off.
const raced = false
