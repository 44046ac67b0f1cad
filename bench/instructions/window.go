//go:build linux && (amd64 || arm64)

package main

import (
	"slices"

	"golang.org/x/sys/unix"
)

// registers are those of a thread that this program looks at: where it is (the next instruction), its frame pointer, the number and the first
// arguments of a system call, when it is at one, and the result, when it comes from one.
type registers struct {
	at, frame    uint64
	call, result uint64
	arguments    [3]uint64
}

// idle is the end of an answer: ReadyForQuery outside a transaction block.
const idle = "Z\x00\x00\x00\x05I"

// window is the part of what a thread executes that counts. A transaction begins when something of a client is read, and ends when the client is sent the
// end of an answer, by whatever function: one that is named may be inlined by the compiler tomorrow.
//
// The window opens with an answer, after some that do not count: the clients get into step, as each of them is waited for. It closes with an
// answer when it has seen enough, and as many begin as end, so that as much of a transaction is under way then as when it opened. Clients in step may never come
// to that: later a difference will do that is too small to count.
type window struct {
	symbols *symbols
	memory  memory
	clients []uint64 // descriptors of their connections
	before  int      // answers that do not count
	wanted  int      // transactions that do, at least

	open         bool
	reading      bool     // the last instruction reads from a client
	begun, ended int      // since the window is open
	trace        []uint64 // addresses of the instructions executed, in order
}

// newWindow is a window of at least so many transactions.
func newWindow(s *symbols, m memory, clients []uint64, transactions int) *window {
	return &window{symbols: s, memory: m, clients: clients, before: 3 * len(clients), wanted: transactions}
}

// see is told of each next instruction, and says whether it wants to hear of more.
func (w *window) see(r registers) (more bool) {
	if w.reading && int64(r.result) > 0 {
		w.begun++
	}
	w.reading = false
	if !w.symbols.callsKernel(r.at) || !slices.Contains(w.clients, r.arguments[0]) {
		w.keep(r)
		return true
	}
	w.reading = r.call == unix.SYS_RECVFROM || r.call == unix.SYS_READ
	if w.answers(r) && !w.end() {
		return false
	}
	w.keep(r)
	return true
}

// negligible is of how many transactions one does not count.
const negligible = 200

// end counts the end of a transaction, with which the window opens or closes; false: it is closed.
func (w *window) end() (more bool) {
	w.ended++
	switch {
	case w.open && w.ended >= w.wanted && negligible*max(w.begun-w.ended, w.ended-w.begun) <= w.ended:
		return false
	case !w.open && w.ended > w.before:
		w.open, w.begun, w.ended = true, 0, 0
	}
	return true
}

// keep keeps an instruction of an open window.
func (w *window) keep(r registers) {
	if w.open {
		w.trace = append(w.trace, r.at)
	}
}

// answers reports whether a system call about a client's connection, send(2) or write(2), sends the end of an answer.
func (w *window) answers(r registers) bool {
	if r.call != unix.SYS_SENDTO && r.call != unix.SYS_WRITE {
		return false
	}
	var end [len(idle)]byte
	bytes, length := r.arguments[1], r.arguments[2]
	return length >= uint64(len(end)) && w.memory.read(bytes+length-uint64(len(end)), end[:]) && string(end[:]) == idle
}
