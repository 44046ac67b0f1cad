package proxy

import (
	"errors"

	"github.com/pgdrover/pgdrover/pgwire"
	"github.com/pgdrover/pgdrover/pool"
	"github.com/pgdrover/pgdrover/router"
)

// again is what it takes to run a batch of one read on another node, should the replica that has it be unable to answer.
type again struct {
	route  router.Route
	portal *portal
	bind   []byte // the Bind; its memory is used for the next one
}

// hasReplicas reports whether there may be replicas where a route leads.
func (s *session) hasReplicas(r *router.Route) bool {
	return r.Kind != router.Single || s.nodes.HasReplicas(r.Shard)
}

// standsAlone reports whether the batch is this one statement, already here up to its Sync, outside a transaction, and whether
// it asks for the description of its rows.
func (s *session) standsAlone(frame []byte) (alone, described bool) {
	if s.tx.open || s.batch.link != nil || len(s.bound.Portal) > 0 {
		return false, false
	}
	b := s.client.Buffered()[len(frame):]
	executed := false
	for len(b) > 0 {
		typ, size, err := pgwire.Peek(b, s.cfg.MaxFrame)
		if err != nil || size == 0 || size > len(b) {
			return false, false
		}
		switch {
		case typ == pgwire.MsgSync:
			return executed, described
		case typ == pgwire.MsgDescribe && !executed && b[5] == 'P':
			described = true
		case typ == pgwire.MsgExecute && !executed:
			_, rows, err := pgwire.DecodeExecute(b[:size])
			if err != nil || rows != 0 {
				return false, false
			}
			executed = true
		default:
			return false, false
		}
		b = b[size:]
	}
	return false, false
}

// mayAskAgain keeps what l was sent of a batch that is one read.
func (s *session) mayAskAgain(l *link, at *portal, frame []byte) {
	if l.role != pool.Replica || l.hold != 0 {
		return
	}
	l.retry = true
	s.again.route, s.again.portal, s.again.bind = at.route, at, append(s.again.bind[:0], frame...)
}

// finishBatch relays the answers to a batch that has ended, asking another node if a replica could not give them. It returns the link that
// did, nil if none, and whether the session goes on.
func (s *session) finishBatch(l *link) (*link, bool) {
	for {
		if !s.finish(l) {
			return l, false
		}
		if l.lost == nil || !l.retry {
			return l, true
		}
		next, e := s.askAgain(l)
		if e != nil {
			s.client.SetQueue(pgwire.AppendError(s.client.QueueBuffer(), e))
			s.batch.link = nil
			return nil, true
		}
		l = next
	}
}

// askAgain sends another node what l has not answered. What it did answer has reached the client and is not told again.
func (s *session) askAgain(l *link) (*link, *pgwire.Error) {
	owed := make([]reply, 0, l.replies.n)
	for l.busy() {
		owed = append(owed, l.replies.pop())
	}
	at, role, not := s.again.portal, pool.Replica, l.backend.Node()
	if errors.Is(l.lost, errReadOnly) {
		role = pool.Primary
	}
	var m pgwire.Bind
	if err := pgwire.DecodeBind(s.again.bind, &m); err != nil {
		return nil, errProtocol
	}
	s.srv.metrics.Retries.Add(1)
	shard := l.shard
	s.destroy(l, "could not answer")
	next, e := s.acquire(shard, role, not)
	if e == nil {
		e = s.prepareLink(next)
	}
	if e != nil {
		return nil, e
	}
	s.batch.link, at.link = next, next
	next.retry = next.role == pool.Replica
	bound, parsed := false, false
	for _, r := range owed {
		bound = bound || r.kind == pgwire.MsgBind && r.do == forward
		parsed = parsed || r.kind == pgwire.MsgParse && r.do == forward
	}
	if !parsed {
		s.know(next, at.stmt)
	}
	if !bound {
		next.send(pgwire.AppendBindNamed(next.conn.QueueBuffer(), &m, at.stmt.backendName()), reply{kind: pgwire.MsgBind, do: skip})
	}
	for _, r := range owed {
		s.repeat(next, &m, r)
	}
	return next, nil
}

// repeat asks for one of the replies that are owed.
func (s *session) repeat(l *link, m *pgwire.Bind, r reply) {
	switch {
	case r.do == skip:
	case r.do == fake:
		s.oweOn(l, &deferred{fake: r.fake, stmt: r.stmt, gone: r.gone})
	case r.kind == pgwire.MsgParse:
		s.apply(l, &deferred{kind: pgwire.MsgParse, stmt: r.stmt, gone: r.gone})
	case r.kind == pgwire.MsgBind:
		l.send(pgwire.AppendBindNamed(l.conn.QueueBuffer(), m, s.again.portal.stmt.backendName()), r)
	case r.kind == pgwire.MsgDescribe:
		l.send(pgwire.AppendDescribe(l.conn.QueueBuffer(), 'P', ""), r)
	case r.kind == pgwire.MsgExecute:
		l.send(pgwire.AppendExecute(l.conn.QueueBuffer(), "", 0), r)
	case r.kind == pgwire.MsgSync:
		l.send(pgwire.AppendSync(l.conn.QueueBuffer()), r)
	}
}
