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

// Sub is how much later m is than o.
func (m Moment) Sub(o Moment) time.Duration { return time.Duration(m - o) }

// Since is how long ago the moment was.
func (m Moment) Since() time.Duration { return time.Since(began) - time.Duration(m) }

// now is the present moment.
func now() Moment { return Moment(time.Since(began)) }

// untilMoment is a deadline as a Moment; 0 of the zero time, which is none.
func untilMoment(deadline time.Time) Moment {
	if deadline.IsZero() {
		return 0
	}
	return MomentOf(deadline)
}

// Moment is the time as the task's loop saw it when it woke. It is for the code that runs as the task, and costs no look at the clock, but for a
// goroutine.
func (t *Task) Moment() Moment {
	if t.loop != nil {
		return t.loop.moment
	}
	return now()
}
