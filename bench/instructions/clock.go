//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"time"
)

// clock makes time pass for a thread that is stepped through as if it ran: a nanosecond for each instruction. By the real clock a transaction
// would take a thousand times as long as it does, and what a program does every few seconds would be done for every few transactions.
//
// The thread asks the kernel's page of code that tells the time (vdso(7)), which is all of what it executes outside the program. The clock
// writes over the answer.
type clock struct {
	symbols *symbols
	memory  memory
	now     time.Duration            // since the first step
	began   map[uint64]time.Duration // what the first answer of each of the kernel's clocks was, less now then

	inside   bool   // the last instruction was the program's
	asking   bool   // the thread is in the kernel's page, and was seen to go there
	of, into uint64 // which clock it asks, and where it wants the answer: clock_gettime(2)
}

// see is told of each next instruction.
func (c *clock) see(r registers) {
	c.now++
	inside := c.symbols.holds(r.at)
	switch {
	case c.inside && !inside:
		c.asking, c.of, c.into = true, r.arguments[0], r.arguments[1]
	case inside && c.asking:
		c.asking = false
		c.answer()
	}
	c.inside = inside
}

// answer writes the time over what the thread was told.
func (c *clock) answer() {
	var spec [16]byte // seconds and nanoseconds
	if !c.memory.read(c.into, spec[:]) {
		return
	}
	began, known := c.began[c.of]
	if !known {
		seconds, nanoseconds := binary.LittleEndian.Uint64(spec[:]), binary.LittleEndian.Uint64(spec[8:])
		began = time.Duration(seconds)*time.Second + time.Duration(nanoseconds) - c.now
		c.began[c.of] = began
	}
	told := began + c.now
	binary.LittleEndian.PutUint64(spec[:], uint64(told/time.Second))
	binary.LittleEndian.PutUint64(spec[8:], uint64(told%time.Second))
	_ = c.memory.write(c.into, spec[:]) // it has just been written to
}
