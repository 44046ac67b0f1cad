package main

import (
	"context"
	"time"
)

// window is the time that is measured: what ended outside it does not count.
type window struct{ from, to time.Time }

func (w window) seconds() float64 { return w.to.Sub(w.from).Seconds() }

func (w window) holds(t time.Time) bool { return !t.Before(w.from) && t.Before(w.to) }

// cpuUse is the CPU time that was used in a window.
type cpuUse struct{ proxy, server time.Duration }

func (u cpuUse) since(before cpuUse) cpuUse {
	return cpuUse{u.proxy - before.proxy, u.server - before.server}
}

// measureWindow lets time pass, and says what CPU the target and PostgreSQL used in it.
func measureWindow(ctx context.Context, s *stage, v *server, length time.Duration) (window, cpuUse, error) {
	before, err := useSoFar(s, v)
	w := window{from: time.Now()}
	if err != nil {
		return w, cpuUse{}, err
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return w, cpuUse{}, ctx.Err()
	}
	after, err := useSoFar(s, v)
	w.to = time.Now()
	return w, after.since(before), err
}

// useSoFar is the CPU time that the target and PostgreSQL have used until now.
func useSoFar(s *stage, v *server) (cpuUse, error) {
	c, err := takeCensus()
	if err != nil {
		return cpuUse{}, err
	}
	return cpuUse{proxy: c.cpu(v.pid()), server: c.cpu(s.serverPIDs()...)}, nil
}
