//go:build linux && (amd64 || arm64)

package main

import "golang.org/x/sys/unix"

// connections is a window for transactions that have a connection each: one begins when that is accepted, and ends when it is closed. Those that were
// accepted before anybody looked do not count.
type connections struct {
	window
	accepting bool            // the last instruction accepts a connection
	accepted  map[uint64]bool // descriptors
}

// see is window.see.
func (c *connections) see(r registers) (more bool) {
	if c.accepting && int64(r.result) >= 0 {
		c.accepted[r.result] = true
		c.begun++
	}
	c.accepting = false
	if c.symbols.callsKernel(r.at) {
		c.accepting = r.call == unix.SYS_ACCEPT4
		if r.call == unix.SYS_CLOSE && c.accepted[r.arguments[0]] {
			delete(c.accepted, r.arguments[0])
			if !c.end() {
				return false
			}
		}
	}
	c.keep(r)
	return true
}
