package proxy

import (
	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// A session in session mode on a map of one shard has one backend, and that backend is the truth about it: what is prepared, in which
// transaction it is, what its settings are. Messages go there at once and as they came. What the session notes besides says what to
// tell the cache, the catalog and those who change the shard map, and which statements are PgDrover's own.

// direct reports whether the session is such a one.
func (s *session) direct() bool { return s.mode == ModeSession && s.place != nil && s.place.single() }

// firstBackend gives a session that will have one backend all its life that backend at its login, and returns its process id, which
// is what a server would tell the client. It returns 0 where that has to wait until the first statement: the pool is full, the node is
// down, the database is paused, or the proxy is one of a fleet, whose process ids say which proxy they are of.
func (s *session) firstBackend() uint32 {
	if s.mode != ModeSession || s.replicates || s.cfg.PeerID != 0 || s.db.Paused() {
		return 0
	}
	s.takeScratch()
	s.enterTransaction()
	defer s.leaveTransaction()
	if !s.direct() {
		return 0
	}
	if n := s.nodes.Primary(0).Stats(); !n.Up || n.Busy+n.Waiting >= n.Size {
		return 0
	}
	l, e := s.join(0, pool.Primary)
	if e == nil {
		e = s.drainSkipped(l)
	}
	if e != nil {
		s.sweep()
		return 0
	}
	return l.backend.PID
}

// startDirect begins a batch on the session's backend, unless the map has got more shards.
func (s *session) startDirect() *pgwire.Error {
	if !s.tx.open && s.place != s.db.place.Load() {
		if e := s.follow(); e != nil || !s.direct() {
			return e
		}
	}
	l, e := s.enlist(&router.Route{Kind: router.Single, Write: true})
	if e == nil {
		s.batch.link = l
	}
	return e
}

// passDirect passes a message as it is; r is the reply that is owed to it.
func (s *session) passDirect(frame []byte, r reply) bool {
	l := s.batch.link
	l.conn.Queue(frame)
	l.replies.push(r)
	return s.relieve(l)
}

// parseDirect passes a Parse. gone is what has had the statement's name: if it still has it, the server refuses.
func (s *session) parseDirect(frame []byte, p, gone *prepared) bool {
	p.sent = true
	return s.passDirect(frame, reply{kind: pgwire.MsgParse, stmt: p, gone: gone})
}

// closeDirect passes a Close of a statement, which only the backend may know.
func (s *session) closeDirect(frame []byte, p *prepared) bool {
	if p != nil {
		s.dropStatement(p)
	}
	return s.passDirect(frame, reply{kind: pgwire.MsgClose, gone: p})
}

// bindUnseen passes a Bind of a statement that code on the server may have prepared. It may do anything: it counts as a function
// call does.
func (s *session) bindUnseen(frame []byte) bool {
	if e := s.boundError(); e != nil {
		return s.fail(e)
	}
	s.timed()
	l := s.batch.link
	l.wrote, l.owned, l.unsure = true, s.tx.open, true
	at := s.newPortal(s.bound.Portal)
	at.had = nil // it is gone, or the server refuses
	s.dropPortal(at)
	return s.passDirect(frame, reply{kind: pgwire.MsgBind})
}

// leaveDirect is for a session whose map has got more shards: from now on backends call its statements what PgDrover calls them, so
// that any of them can be told.
func (s *session) leaveDirect() {
	if s.mode != ModeSession || s.place.single() {
		return
	}
	for _, l := range s.links {
		s.db.senders.remove(processOf(l.backend))
	}
	for _, p := range s.statements {
		if p.own {
			continue
		}
		if p.names = p.query.Names(); !p.names {
			s.rename(p)
		}
	}
}
