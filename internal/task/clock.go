package task

import "time"

// began is when the program began, and never changes.
var began = time.Now()

// Moment is a time as nanoseconds since the program began. It does not jump when the machine's clock is set.
type Moment int64

// MomentOf is t as a Moment.
func MomentOf(t time.Time) Moment { return Moment(t.Sub(began)) }

// Time is the moment on the machine's clock.
func (m Moment) Time() time.Time { return began.Add(time.Duration(m)) }

// Since is how long ago the moment was.
func (m Moment) Since() time.Duration { return time.Since(began) - time.Duration(m) }

// Moment is Now as a Moment.
func (t *Task) Moment() Moment {
	if t.loop != nil {
		return t.loop.moment
	}
	return Moment(time.Since(began))
}
