package pgtest

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/pgdrover/pgdrover/internal/task"
)

// stallLimit is how long a task may hold up its loop in a test.
const stallLimit = 10 * time.Millisecond * raceFactor

// largeStallLimit is the same where messages of tens of megabytes are copied.
const largeStallLimit = 10 * stallLimit

// LoopsForLarge are Loops for a test whose messages are so large that copying one takes its time.
func LoopsForLarge(t testing.TB) *task.Loops {
	t.Helper()
	return loopsWithin(t, largeStallLimit)
}

// Loops are event loops that end with the test, for it to run sessions on: as many as PGDROVER_LOOPS says, where off is none and auto or
// nothing is as many as pgdrover has on such a machine. None is nil, which is ready. A task that holds up its loop fails the test.
func Loops(t testing.TB) *task.Loops {
	t.Helper()
	return loopsWithin(t, stallLimit)
}

func loopsWithin(t testing.TB, limit time.Duration) *task.Loops {
	t.Helper()
	n := task.AutoLoops()
	switch word := os.Getenv("PGDROVER_LOOPS"); word {
	case "", "auto":
	case "off":
		n = 0
	default:
		var err error
		if n, err = strconv.Atoi(word); err != nil {
			t.Fatalf("PGDROVER_LOOPS: %v", err)
		}
	}
	if n == 0 {
		return nil
	}
	l, err := task.NewLoops(n, task.Watch{Limit: limit, Exact: true, Seen: func(s task.Stall) {
		t.Errorf("a task held up loop %d for %v:\n%s", s.Loop, s.For, s.Stack)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}
