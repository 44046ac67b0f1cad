//go:build race

package proxy

// raced says that the race detector is on.
const raced = true
