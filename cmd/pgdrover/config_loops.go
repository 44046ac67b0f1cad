package main

import (
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// Loops is how many event loops run the sessions.
type Loops int

// The values of loops that are no number of loops.
const (
	LoopsOff  Loops = 0  // sessions are goroutines
	LoopsAuto Loops = -1 // as many as the machine is best served with
)

// maxLoops is the most event loops that can be asked for.
const maxLoops = 1024

// UnmarshalText reads a value of loops.
func (l *Loops) UnmarshalText(text []byte) error {
	switch word := string(text); word {
	case "auto":
		*l = LoopsAuto
	case "off":
		*l = LoopsOff
	default:
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > maxLoops {
			return fmt.Errorf("%q is no number of event loops: write auto, off or a number from 1 to %d", word, maxLoops)
		}
		if !task.LoopsSupported() {
			return fmt.Errorf("this system has no event loops for sessions, which Linux has: write auto or off")
		}
		*l = Loops(n)
	}
	return nil
}

// String is the value as it is written.
func (l Loops) String() string {
	switch l {
	case LoopsAuto:
		return "auto"
	case LoopsOff:
		return "off"
	}
	return strconv.Itoa(int(l))
}

// count is the number of loops to start.
func (l Loops) count() int {
	if l == LoopsAuto {
		return task.AutoLoops()
	}
	return int(l)
}

// stallLimit is how long a session may hold up the others of its event loop before that is seen.
const stallLimit = 50 * time.Millisecond

// stallQuiet is how long nothing is logged of stalls after one was.
const stallQuiet = 10 * time.Second

// start starts the loops; none are nil.
func (l Loops) start(log *slog.Logger) (*task.Loops, error) {
	n := l.count()
	if n == 0 {
		return nil, nil
	}
	var quiet atomic.Int64 // until when, in Unix nanoseconds
	return task.NewLoops(n, task.Watch{Limit: stallLimit, Seen: func(s task.Stall) {
		now := time.Now()
		if until := quiet.Load(); now.UnixNano() >= until && quiet.CompareAndSwap(until, now.Add(stallQuiet).UnixNano()) {
			log.Warn("a session holds up its event loop", "loop", s.Loop, "for", s.For, "stack", s.Stack)
		}
	}})
}
