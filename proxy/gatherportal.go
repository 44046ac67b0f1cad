package proxy

import (
	"math"

	"github.com/pgdrover/pgdrover/pgwire"
)

// executeGather carries out an Execute of a portal that is answered from all shards. most is how many rows the client wants of it now;
// 0: all. What it does not want yet is kept with the portal, as its transaction's: no shard is left waiting with a portal of its own.
func (s *session) executeGather(at *portal, name []byte, most uint32) bool {
	whole := at.gathering.Writes() || at.gathering.Copy() != nil
	if most > math.MaxInt32 || whole {
		most = 0
	}
	switch {
	case at.ran && whole:
		return s.mistake(s.ranPortal(at, name))
	case at.ran:
		return s.executeHeld(at, most)
	}
	at.ran = true
	if !s.detach() {
		return !s.cut.Load()
	}
	var m pgwire.Bind
	if err := pgwire.DecodeBind(at.bind, &m); err != nil {
		return s.fail(errProtocol)
	}
	g := gatherer{s: s, q: &at.stmt.query, plan: at.gathering, bind: &m, oids: at.stmt.oids, described: at.described, hold: most > 0}
	if !g.hold {
		if e := g.answer(at.route); e != nil {
			return s.fail(e)
		}
		return true
	}
	if e := g.find(at.route); e != nil {
		return s.fail(e)
	}
	at.held = g.held
	return s.executeHeld(at, most)
}

// executeHeld tells the client the next rows of those that are kept. That a portal is at its end shows when it has fewer rows than it is
// asked for, as in PostgreSQL (PortalRunSelect).
func (s *session) executeHeld(at *portal, most uint32) bool {
	if s.tx.aborted {
		return s.fail(errAborted)
	}
	size, rows := 0, 0
	for _, frame := range framesIn(at.held) {
		if most > 0 && rows == int(most) {
			break
		}
		size += len(frame)
		rows++
	}
	told := append([]byte(nil), at.held[:size]...)
	at.held = at.held[size:]
	if most > 0 && rows == int(most) {
		told = pgwire.AppendPortalSuspended(told)
	} else {
		g := gatherer{plan: at.gathering}
		told, at.held = pgwire.AppendCommandComplete(told, g.tag(rows)), nil
	}
	s.owe(deferred{fake: told})
	return true
}
