package proxy

import (
	"testing"

	"github.com/pgdrover/pgdrover/internal/task"
)

// TestOwnEach has one of so many statements measured, whenever they come, and none when nothing is in hand.
func TestOwnEach(t *testing.T) {
	s := &session{}
	l := &link{use: use{notes: &notes{meter: &Meter{}}}}
	for i := range 100 * ownEach {
		s.timing.began = task.Moment(1_000_000_000 + i)
		s.sent(l)
	}
	s.timing.began = 0
	s.sent(l)
	if _, _, n, _ := l.notes.meter.Own.Snapshot(); n != 100 {
		t.Errorf("%d statements were measured, of %d", n, 100*ownEach)
	}
}
