package proxy

import "github.com/pgdrover/pgdrover/pgwire"

// flush takes a Flush: the client gets what it is owed so far.
func (s *session) flush() bool {
	if !s.startBatch() {
		return false
	}
	l := s.batch.link
	if l == nil || s.skipping {
		return true
	}
	s.take()
	if l.busy() {
		l.conn.SetQueue(pgwire.AppendFlush(l.conn.QueueBuffer()))
		return s.finish(l) && !s.cut.Load()
	}
	return true
}

// sync takes a Sync: the batch is over, and the transaction with it unless one is open.
func (s *session) sync() bool {
	wasSkipping := s.skipping
	s.skipping = false
	if !wasSkipping && !s.startBatch() {
		return false
	}
	l := s.batch.link
	s.take()
	if s.tx.ofBatch {
		return s.syncSeveral()
	}
	if l == nil || l.lost != nil || s.skipping {
		s.skipping = false
		return s.syncAlone()
	}
	s.sent(l)
	if l.aside {
		return s.syncAside(l)
	}
	l.conn.SetQueue(pgwire.AppendSync(l.conn.QueueBuffer()))
	l.replies.add(pgwire.MsgSync)
	_ = l.conn.Flush()
	return s.answerLater(l)
}

// synchronise ends a batch whose Sync was sent, once it is answered.
func (s *session) synchronise(l *link) bool {
	ok := true
	if l.busy() || l.lost != nil || s.copyRest > 0 {
		l, ok = s.finishBatch(l)
	}
	switch {
	case !ok:
		return false
	case l == nil:
		return s.syncAlone()
	case l.unsynced && l.lost == nil:
		return !s.cut.Load()
	}
	s.batchEnd()
	return s.unitEnd()
}

// syncAside ends a batch of which a backend has seen what takes no part in the open transaction.
func (s *session) syncAside(l *link) bool {
	l.send(pgwire.AppendSync(l.conn.QueueBuffer()), reply{kind: pgwire.MsgSync, do: skip})
	ok := s.finish(l)
	if l.lost == nil {
		return ok && s.syncAlone()
	}
	s.batchEnd()
	return s.unitEnd()
}

// syncAlone answers a Sync that no backend needs to hear of.
func (s *session) syncAlone() bool {
	if !s.tx.open {
		s.transactionEnded(false)
	}
	s.readyForQuery()
	s.batchEnd()
	return s.unitEnd()
}
