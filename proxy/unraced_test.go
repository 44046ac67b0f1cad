//go:build !race

package proxy

// raced says that the race detector is off.
const raced = false
