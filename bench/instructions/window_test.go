//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// paper is memory that is made up.
func paper(at map[uint64][]byte) memory {
	return memory{
		read: func(address uint64, into []byte) bool {
			for start, content := range at {
				if address >= start && address+uint64(len(into)) <= start+uint64(len(content)) {
					copy(into, content[address-start:])
					return true
				}
			}
			return false
		},
		write: func(address uint64, from []byte) bool { return copy(at[address], from) == len(from) },
	}
}

// Addresses of a program that is all system calls up to 0x140, and of what is sent.
const (
	kernelAt  = 0x100
	plainAt   = 0x150
	answerAt  = 0x1000
	partAt    = 0x2000
	oneClient = 7
	other     = 8
	backend   = 9
)

func newMadeUpWindow(wanted int) *window {
	s := madeUp()
	copy(s.text, kernelCall)
	m := paper(map[uint64][]byte{answerAt: []byte("C\x00\x00\x00\x0dSELECT 1\x00" + idle), partAt: []byte("1\x00\x00\x00\x04")})
	return &window{symbols: s, memory: m, clients: []uint64{oneClient, other}, before: 1, wanted: wanted}
}

// play tells a window of a system call and of an instruction after it, and returns whether it wanted to hear of more.
func (w *window) play(call, descriptor, at, length, result uint64) bool {
	more := w.see(registers{at: kernelAt, call: call, arguments: [3]uint64{descriptor, at, length}})
	return more && w.see(registers{at: plainAt, result: result})
}

func (w *window) read(descriptor uint64) bool {
	return w.play(unix.SYS_RECVFROM, descriptor, 0, 100, 30)
}

func (w *window) answer(descriptor uint64) bool {
	return w.play(unix.SYS_SENDTO, descriptor, answerAt, 20, 20)
}

func TestWindow(t *testing.T) {
	again := int64(-11) // EAGAIN
	for name, test := range map[string]struct {
		play         func(w *window) (more bool)
		wanted       int
		more         bool
		ended, trace int
	}{
		"what comes before the first answer that counts does not": {
			play:   func(w *window) bool { return w.read(oneClient) && w.answer(oneClient) && w.read(oneClient) },
			wanted: 1, more: true, ended: 1, trace: 0,
		},
		"one transaction, from answer to answer": {
			play: func(w *window) bool {
				return w.answer(oneClient) && w.answer(oneClient) && w.read(oneClient) && w.answer(oneClient)
			},
			wanted: 1, ended: 1, trace: 4,
		},
		"it stays open while fewer have begun than ended": {
			play: func(w *window) bool {
				return w.answer(oneClient) && w.answer(oneClient) && w.answer(other) && w.read(other) && w.read(oneClient) && w.answer(oneClient)
			},
			wanted: 1, ended: 2, trace: 8,
		},
		"a part of an answer, what goes to a backend, and a read that finds nothing are no transactions": {
			play: func(w *window) bool {
				return w.answer(oneClient) && w.answer(oneClient) && w.play(unix.SYS_SENDTO, oneClient, partAt, 5, 5) &&
					w.answer(backend) && w.read(backend) && w.play(unix.SYS_RECVFROM, oneClient, 0, 100, uint64(again))
			},
			wanted: 1, more: true, ended: 0, trace: 10,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMadeUpWindow(test.wanted)
			if more := test.play(w); more != test.more || w.ended != test.ended || len(w.trace) != test.trace {
				t.Errorf("more %v, %d ended, %d instructions; want %v, %d, %d", more, w.ended, len(w.trace), test.more, test.ended, test.trace)
			}
		})
	}
}

// TestWindowInStep has two more transactions begin than end, from the first one on.
func TestWindowInStep(t *testing.T) {
	w := newMadeUpWindow(1)
	w.answer(oneClient)
	w.answer(oneClient)
	for range 2 {
		w.read(other)
	}
	n := 1
	for w.read(oneClient); w.answer(oneClient); w.read(oneClient) {
		n++
	}
	if n != 2*negligible || w.ended != n || w.begun != n+2 {
		t.Errorf("it closes at answer %d, with %d begun and %d ended", n, w.begun, w.ended)
	}
}

func TestConnections(t *testing.T) {
	again := int64(-11) // EAGAIN
	s := madeUp()
	copy(s.text, kernelCall)
	c := &connections{accepted: map[uint64]bool{}, window: window{symbols: s, before: 1, wanted: 2}}
	play := func(call, descriptor, result uint64) bool {
		more := c.see(registers{at: kernelAt, call: call, arguments: [3]uint64{descriptor}})
		return more && c.see(registers{at: plainAt, result: result})
	}
	accept := func(descriptor uint64) bool { return play(unix.SYS_ACCEPT4, 3, descriptor) }
	leave := func(descriptor uint64) bool { return play(unix.SYS_CLOSE, descriptor, 0) }
	if !leave(other) || !accept(oneClient) || !leave(oneClient) || c.open || c.ended != 1 {
		t.Fatalf("it is open (%v) after %d connections: who was there before does not count, nor does the first", c.open, c.ended)
	}
	if !accept(oneClient) || !leave(oneClient) || !c.open || c.ended != 0 || len(c.trace) != 2 {
		t.Fatalf("it is open (%v) since %d connections and %d instructions, want 0 and 2", c.open, c.ended, len(c.trace))
	}
	if !accept(uint64(again)) || !leave(backend) || !accept(oneClient) || !accept(other) || !leave(oneClient) || c.begun != 2 || c.ended != 1 {
		t.Errorf("%d have begun and %d ended, want 2 and 1", c.begun, c.ended)
	}
	if leave(other) || c.ended != 2 || len(c.trace) != 12 {
		t.Errorf("it has not closed after %d connections and %d instructions, want 2 and 12", c.ended, len(c.trace))
	}
}

// TestClock has a thread ask for the time three times: what it is told first is true, and from then on a nanosecond passes for each instruction.
func TestClock(t *testing.T) {
	const result, page, stranger = 0x3000, 0x7fff0000, 0x4000
	at := map[uint64][]byte{result: make([]byte, 16), stranger: make([]byte, 16)}
	c := &clock{symbols: madeUp(), memory: paper(at), began: map[uint64]time.Duration{}}
	ask := func(real time.Duration) time.Duration {
		c.see(registers{at: plainAt})
		c.see(registers{at: page, arguments: [3]uint64{unix.CLOCK_MONOTONIC, result}})
		binary.LittleEndian.PutUint64(at[result], uint64(real/time.Second))
		binary.LittleEndian.PutUint64(at[result][8:], uint64(real%time.Second))
		c.see(registers{at: page + 4, arguments: [3]uint64{0, stranger}})
		c.see(registers{at: plainAt})
		return time.Duration(binary.LittleEndian.Uint64(at[result]))*time.Second + time.Duration(binary.LittleEndian.Uint64(at[result][8:]))
	}
	c.see(registers{at: page, arguments: [3]uint64{0, stranger}}) // it was there before anybody looked
	c.see(registers{at: plainAt})
	first := 5*time.Second - 2
	for i, want := range []time.Duration{first, first + 4, first + 8} {
		if got := ask(first + time.Duration(i)*time.Hour); got != want {
			t.Errorf("question %d was answered %d ns, want %d", i+1, got, want)
		}
	}
	for _, b := range at[stranger] {
		if b != 0 {
			t.Fatal("the clock wrote where nobody wants the time")
		}
	}
}

func TestAcceptedConnections(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F1C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F1C 0100007F:A2C4 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:A2C4 0100007F:1F1C 01 00000000:00000000 00:00000000 00000000     0        0 103 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:1F1C 0100007F:A2C6 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0000000000000000
`
	if got := acceptedAt(table, 0x1f1c); len(got) != 1 || !got["102"] {
		t.Errorf("inodes %v, want 102 alone: not who listens, the other end, or what is closed", got)
	}
}
